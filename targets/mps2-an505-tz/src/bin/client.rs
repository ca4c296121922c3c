//! The client in the non-secure world: the server at the first serial port, over a stream that outlives a bad
//! line, the operator at the third. Its secrets are behind the wall.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use cortex_m as _; // The critical sections that the logger asks for.
use defmt_semihosting as _;
use he_cmsdk::{Limited, Timer, Uart};
use he_emulated::HostNoise;
use he_entropy::Noise;
use he_firmware::client;
use he_isolation::gateway::{Gateway, Room};
use he_transport::{Serial, Stream};
use mps2_an505_tz::application::{Board, gate};
use mps2_an505_tz::map::{OPERATOR, SERVER, TIMER};
use semihosting::process;
use spin::Mutex;

static ROOM: Mutex<Room> = Mutex::new(Room::new());

/// How long the line is waited for: 100 ms at 20 MHz.
const WAIT: u32 = 2_000_000;
/// Waits for a byte, and repetitions of a chunk: ten minutes.
const TRIES: u32 = 6000;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let ports = (Uart::open(&SERVER), Uart::open(&OPERATOR), Timer::take(&TIMER));
    let (Some(server), Some(mut operator), Some(timer)) = ports else { process::exit(2) };
    let Some(mut room) = ROOM.try_lock() else { process::exit(2) };
    let (mut board, mut gateway) = (Board::start(), Gateway::new(gate, &mut room));
    if gateway.provision().is_err() {
        defmt::error!("there are no secrets");
        process::exit(1)
    }
    defmt::info!("provisioned behind the wall");
    let line = Serial::new(Limited::new(server, timer, WAIT));
    let mut server = Stream::open(line, session(), TRIES);
    let outcome = client::run_with(&mut gateway, &mut server, &mut operator, &mut board);
    process::exit(i32::from(outcome.is_err()))
}

/// A number for the stream to the server, to tell it from earlier ones. No secret hangs on it.
fn session() -> u32 {
    let mut noise = HostNoise::new();
    u32::from_le_bytes([(); 4].map(|()| noise.sample().unwrap_or(1)))
}

/// Never reached: an erasure of the secure world's is not the application's business.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    process::exit(102)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}
