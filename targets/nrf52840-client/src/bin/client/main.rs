//! The client on the chip: the server at the kit's own serial port, over a stream that outlives a bad line; the
//! key authority and the operator at two more, which share a UARTE. `docs/boards/nrf52840.md` has the wiring.
#![no_std]
#![no_main]

mod board;

use board::Board;
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU8;
use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use defmt_rtt as _;
use he_firmware::client::{self, Links};
use he_transport::Stream;
use nrf_pac::uarte::vals::Baudrate;
use nrf_pac::{CLOCK, Interrupt, TIMER0, UARTE0, UARTE1};
use nrf52840_client::serial::{Limited, Pin, Pins, Serial};

/// To the kit's debug chip, which shows it as a serial port of the computer.
const SERVER: Pins = Pins {
    receive: Pin { port: 0, pin: 8 },
    transmit: Some(Pin { port: 0, pin: 6 }),
    flow: Some([Pin { port: 0, pin: 7 }, Pin { port: 0, pin: 5 }]),
};
/// D0 and D1 of the kit's header.
const OPERATOR: Pins =
    Pins { receive: Pin { port: 1, pin: 1 }, transmit: Some(Pin { port: 1, pin: 2 }), flow: None };
/// D2 of the kit's header.
const AUTHORITY: Pins = Pins { receive: Pin { port: 1, pin: 3 }, transmit: None, flow: None };
/// How long the server's line is waited for: a tenth of a second.
const WAIT: u16 = 3125;
/// Waits for a byte, and repetitions of a chunk: ten minutes.
const TRIES: u32 = 6000;
/// Cycles between an end and the new start: a second.
const PAUSE: u32 = 64_000_000;

#[entry]
fn main() -> ! {
    // The crystal, for serial ports as fast as said; until it runs the chip has a coarser clock.
    CLOCK.tasks_hfclkstart().write_value(1);
    if let Some(mut board) = Board::take() {
        static BYTES: [AtomicU8; 3] = [const { AtomicU8::new(0) }; 3];
        let [first, second, third] = &BYTES;
        // SAFETY: `Board::take` has masked interrupts, and nothing unmasks them; each byte is for one port.
        let port = |uarte, number, pins, speed, byte| unsafe {
            Serial::new(uarte, number, pins, speed, byte)
        };
        let server = port(UARTE0, Interrupt::UARTE0, SERVER, Baudrate::Baud1m, first);
        // SAFETY: as above.
        let server = unsafe { Limited::new(server, TIMER0, Interrupt::TIMER0, WAIT) };
        let line = he_transport::Serial::new(server);
        let mut server = Stream::open(line, board.session(), TRIES);
        let slow = Baudrate::Baud115200;
        let links = Links {
            server: &mut server,
            authority: port(UARTE1, Interrupt::UARTE1, AUTHORITY, slow, second),
            operator: port(UARTE1, Interrupt::UARTE1, OPERATOR, slow, third),
        };
        client::run(links, &mut board).ok();
    }
    restart()
}

/// Starts again. Starting erases all variables, expanded secrets among them, and the stack.
fn restart() -> ! {
    cortex_m::asm::delay(PAUSE);
    SCB::sys_reset()
}

/// Says where, to whoever listens by a probe. Nothing of the message, which has formatting code that would
/// not fit.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        defmt::error!("{=str}:{=u32}", place.file(), place.line());
    }
    restart()
}
