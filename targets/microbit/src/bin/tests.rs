//! The nRF52840's drivers: noise and flash on the micro:bit's nRF51822, whose registers for both are the
//! same, as QEMU plays them; the serial port on a model of our own.
#![no_std]
#![no_main]

use core::sync::atomic::AtomicU8;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};
use embedded_io::{ErrorKind, Read, Write};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use he_board::{Board, systick::SysTick};
use he_entropy::{Generator, Noise, Silent};
use he_firmware::check;
use he_firmware::harness::{Bench, Case, Failure};
use he_firmware::machine::{Entropy, Memory};
use he_firmware::persistent::{Pages, Persistent};
use microbit::uarte;
use nrf_pac::nvmc::vals::Wen;
use nrf_pac::timer::vals::Bitmode;
use nrf_pac::uarte::vals::Baudrate;
use nrf_pac::{Interrupt, NVMC, RNG, TIMER0, TIMER1, rng::Rng};
use nrf52840_client::flash::Flash;
use nrf52840_client::noise::RandomBytes;
use nrf52840_client::serial::{Damage, Limited, Pin, Pins, Serial};
use portable_atomic as _;

/// The processor's clock, 16 MHz, in picoseconds.
const TICK: u32 = 62_500;
/// From page to page: 1024 bytes on this chip.
const STRIDE: u32 = 1024;
const PAGE: usize = STRIDE as usize;
/// As long as a device's secrets.
const LENGTH: usize = 1088;
/// Ticks of the timer between two steps of the model: ten microseconds, of which QEMU makes more.
const STEP: u32 = 160;
/// Cycles of many steps.
const SOON: u32 = 1_000_000;
/// A tenth of a second, as a limit of waits has it.
const TENTH: u16 = 3125;

type Outcome = Result<(), Failure>;
type Machine = Board<SysTick>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => { [$(Case { name: stringify!($name), run: $name }),*] };
}

#[entry]
fn main() -> ! {
    let counter = SysTick::start(TICK);
    start_model();
    he_board::run_tests(
        counter,
        cases![
            the_generator_of_noise_passes_its_health_tests,
            a_generator_that_gives_nothing_is_reported,
            flash_keeps_what_is_written_until_it_is_erased,
            flash_is_read_only_between_accesses,
            secrets_and_numbers_outlive_an_opening,
            lines_pass_in_both_directions,
            constants_are_sent_from_ram,
            damage_is_reported_once,
            two_ports_take_turns_with_one_peripheral,
            a_wait_ends_and_the_byte_that_was_late_is_the_next_one,
        ],
    )
}

/// The model lives by a timer.
fn start_model() {
    TIMER0.bitmode().write(|mode| mode.set_bitmode(Bitmode::_32bit));
    TIMER0.prescaler().write(|prescaler| prescaler.set_prescaler(0));
    TIMER0.cc(0).write_value(STEP);
    TIMER0.shorts().write(|shorts| shorts.set_compare_clear(0, true));
    TIMER0.intenset().write(|events| events.set_compare(0, true));
    // SAFETY: the handler is `DefaultHandler`, which shares nothing but atomics.
    unsafe { NVIC::unmask(Interrupt::TIMER0) };
    TIMER0.tasks_start().write_value(1);
}

/// The client has interrupts masked, so that theirs only wake it; here the model's must come through.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    const CLOCK: i16 = Interrupt::TIMER0 as i16;
    const LIMIT: i16 = Interrupt::TIMER1 as i16;
    match number {
        CLOCK => {
            TIMER0.events_compare(0).write_value(0);
            uarte::step();
        }
        // What it says stays said until the driver takes it.
        LIMIT => NVIC::mask(Interrupt::TIMER1),
        _ => {}
    }
}

unsafe extern "C" {
    static _pages: u32;
}

/// Some of the pages that `memory.x` keeps for tests.
fn flash(first: usize, count: usize) -> Flash<PAGE> {
    let start = (&raw const _pages).addr() + first * PAGE;
    // SAFETY: nothing of the program is there, and no test has a page twice at a time.
    unsafe { Flash::new(NVMC, start, count * PAGE) }
}

fn the_generator_of_noise_passes_its_health_tests(_: &mut Bench<'_, Machine>) -> Outcome {
    let noise = RandomBytes::new(RNG);
    check!(RNG.config().read().dercen());
    check!(Generator::start(noise).is_ok());
    Ok(())
}

fn a_generator_that_gives_nothing_is_reported(_: &mut Bench<'_, Machine>) -> Outcome {
    let mut dead = [0u32; 0x200];
    // SAFETY: as many words as the peripheral has registers.
    let mut noise = RandomBytes::new(unsafe { Rng::from_ptr(dead.as_mut_ptr().cast()) });
    check!(noise.sample() == Err(Silent));
    Ok(())
}

fn flash_keeps_what_is_written_until_it_is_erased(_: &mut Bench<'_, Machine>) -> Outcome {
    let mut flash = flash(0, 3);
    let (end, mut found) = (3 * STRIDE, [0; 8]);
    check!(flash.erase(0, end).is_ok());
    check!(flash.write(STRIDE - 4, &[1, 2, 3, 4, 5, 6, 7, 8]).is_ok());
    check!(flash.read(STRIDE - 4, &mut found).is_ok() && found == [1, 2, 3, 4, 5, 6, 7, 8]);
    // Writing makes zeros only.
    check!(flash.write(STRIDE, &[3, 0xff, 0, 0xff]).is_ok());
    check!(flash.read(STRIDE - 4, &mut found).is_ok() && found == [1, 2, 3, 4, 1, 6, 0, 8]);
    check!(flash.erase(STRIDE, 2 * STRIDE).is_ok());
    let erased = [1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff];
    check!(flash.read(STRIDE - 4, &mut found).is_ok() && found == erased);
    check!(flash.write(end - 4, &[0; 8]).is_err());
    check!(flash.write(2, &[0; 4]).is_err());
    check!(flash.erase(4, end).is_err());
    Ok(())
}

fn flash_is_read_only_between_accesses(_: &mut Bench<'_, Machine>) -> Outcome {
    let mut flash = flash(0, 1);
    check!(flash.erase(0, STRIDE).is_ok() && NVMC.config().read().wen() == Wen::Ren);
    check!(flash.write(0, &[0; 4]).is_ok() && NVMC.config().read().wen() == Wen::Ren);
    Ok(())
}

/// All that stands on noise and flash, as in the client.
fn secrets_and_numbers_outlive_an_opening(_: &mut Bench<'_, Machine>) -> Outcome {
    let pages = || Pages {
        key: flash(0, 1),
        version: flash(1, 2),
        numbers: flash(3, 2),
        slots: flash(5, 4),
    };
    let mut all = flash(0, 9);
    check!(all.erase(0, 9 * STRIDE).is_ok());
    let mut secrets = [0; LENGTH];
    let Ok(mut board) = Persistent::open(RandomBytes::new(RNG), pages()) else {
        check!(false, "a new board opens");
        return Ok(());
    };
    check!(board.recall(&mut secrets) == Ok(false));
    secrets.fill(0x5c);
    check!(board.keep(&mut secrets, 1000).is_ok() && secrets == [0; LENGTH]);
    let first = board.sequence();
    let Ok(mut board) = Persistent::open(RandomBytes::new(RNG), pages()) else {
        check!(false, "a board that has kept something opens");
        return Ok(());
    };
    check!(board.recall(&mut secrets) == Ok(true) && secrets == [0x5c; LENGTH]);
    check!(first == Ok(1000) && board.sequence().is_ok_and(|number| number > 1000));
    Ok(())
}

const fn pins(receive: u8) -> Pins {
    Pins {
        receive: Pin { port: 0, pin: receive },
        transmit: Some(Pin { port: 0, pin: receive + 1 }),
        flow: None,
    }
}

/// A port on these pins. Ports of one test have different ones.
fn port(receive: u8) -> Serial {
    static BYTES: [AtomicU8; 32] = [const { AtomicU8::new(0) }; 32];
    let (uarte, byte) = (uarte::registers(), &BYTES[usize::from(receive)]);
    // SAFETY: the handler of this interrupt does nothing.
    unsafe { Serial::new(uarte, Interrupt::UARTE0, pins(receive), Baudrate::Baud1m, byte) }
}

fn lines_pass_in_both_directions(_: &mut Bench<'_, Machine>) -> Outcome {
    let mut port = port(1);
    let mut sent = [0; 150];
    sent.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    check!(port.write_all(&sent).is_ok() && port.flush().is_ok());
    let mut heard = [0; 200];
    check!(uarte::heard(&mut heard) == sent.len() && heard[..150] == sent);
    // The port sleeps until the first byte comes, after a millisecond.
    uarte::say(b"hello, board", 100);
    let mut read = [0; 12];
    check!(port.read_exact(&mut read).is_ok() && read == *b"hello, board");
    check!(uarte::faults() == 0);
    Ok(())
}

fn constants_are_sent_from_ram(_: &mut Bench<'_, Machine>) -> Outcome {
    static CONSTANT: &[u8] = b"a constant lies in flash";
    let mut heard = [0; 64];
    check!(port(1).write_all(CONSTANT).is_ok() && uarte::heard(&mut heard) == CONSTANT.len());
    check!(heard[..CONSTANT.len()] == *CONSTANT && uarte::faults() == 0);
    Ok(())
}

fn damage_is_reported_once(_: &mut Bench<'_, Machine>) -> Outcome {
    let mut port = port(1);
    for (errors, damage) in [(1, Damage::Overrun), (4, Damage::Framing), (5, Damage::Overrun)] {
        uarte::spoil(errors);
        uarte::say(b"x", 0);
        check!(port.read(&mut [0]) == Err(damage));
        // The driver has written ones, which erase; RAM does not know that.
        check!(uarte::registers().errorsrc().read().0 == errors);
        uarte::spoil(0);
        uarte::say(b"y", 0);
        check!(port.read(&mut [0]) == Ok(1));
    }
    Ok(())
}

fn two_ports_take_turns_with_one_peripheral(_: &mut Bench<'_, Machine>) -> Outcome {
    let (mut one, mut other) = (port(1), port(5));
    let selected = || uarte::registers().psel().txd().read().pin();
    for _ in 0..3 {
        check!(one.write_all(b"1").is_ok() && selected() == 2);
        check!(other.write_all(b"2").is_ok() && selected() == 6);
        uarte::say(b"3", 10);
        let mut read = [0];
        check!(one.read(&mut read) == Ok(1) && read == *b"3" && selected() == 2);
    }
    let mut heard = [0; 8];
    check!(uarte::heard(&mut heard) == 6 && heard[..6] == *b"121212");
    Ok(())
}

fn a_wait_ends_and_the_byte_that_was_late_is_the_next_one(
    bench: &mut Bench<'_, Machine>,
) -> Outcome {
    // SAFETY: the handler of this interrupt only masks it.
    let mut port = unsafe { Limited::new(port(9), TIMER1, Interrupt::TIMER1, TENTH) };
    let mut read = [0];
    for late in *b"late" {
        let (silent, nanoseconds) = bench.count(|| port.read(&mut read));
        check!(silent == Err(ErrorKind::TimedOut) && nanoseconds > 95_000_000);
        // The receiver still waits, and takes it while nobody reads.
        uarte::say(&[late], 0);
        cortex_m::asm::delay(SOON);
        check!(port.read(&mut read) == Ok(1) && read == [late]);
    }
    check!(port.write_all(b"answer").is_ok());
    let mut heard = [0; 8];
    check!(uarte::heard(&mut heard) == 6 && heard[..6] == *b"answer");
    Ok(())
}
