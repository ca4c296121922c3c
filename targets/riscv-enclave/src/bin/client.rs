//! The client in user mode: the server at the card's first serial port, over a stream that outlives a bad line, the
//! operator at the second. Its secrets are behind the wall.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use he_emulated::HostNoise;
use he_entropy::Noise;
use he_firmware::client;
use he_isolation::gateway::{Gateway, Room};
use he_transport::{Serial, Stream};
use riscv_enclave::application::{Board, gate, sleep};
use riscv_enclave::map::{OPERATOR, SERVER};
use riscv_enclave::port::Port;
use semihosting::process;
use spin::Mutex;

static ROOM: Mutex<Room> = Mutex::new(Room::new());

/// How long the line is waited for: 100 ms.
const NAPS: u32 = 200;
/// Waits for a byte, and repetitions of a chunk: ten minutes.
const TRIES: u32 = 6000;

/// Nobody listens to the log.
#[defmt::global_logger]
struct Silence;

// SAFETY: takes nothing, so nothing has to be released.
unsafe impl defmt::Logger for Silence {
    fn acquire() {}
    unsafe fn flush() {}
    unsafe fn release() {}
    unsafe fn write(_: &[u8]) {}
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    // SAFETY: the card's ports, where the monitor has put them for the application; each is opened once.
    let ports = unsafe { (Port::open(SERVER, sleep, NAPS), Port::open(OPERATOR, sleep, u32::MAX)) };
    let (Some(server), Some(mut operator)) = ports else { process::exit(2) };
    let Some(mut room) = ROOM.try_lock() else { process::exit(2) };
    let (mut board, mut gateway) = (Board::start(), Gateway::new(gate, &mut room));
    if gateway.provision().is_err() {
        semihosting::eprintln!("there are no secrets");
        process::exit(1)
    }
    let mut server = Stream::open(Serial::new(server), session(), TRIES);
    let outcome = client::run_with(&mut gateway, &mut server, &mut operator, &mut board);
    process::exit(i32::from(outcome.is_err()))
}

/// A number for the stream to the server, to tell it from earlier ones. No secret hangs on it.
fn session() -> u32 {
    let mut noise = HostNoise::new();
    u32::from_le_bytes([(); 4].map(|()| noise.sample().unwrap_or(1)))
}

/// Never reached: an erasure of the monitor's is not the application's business.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    process::exit(102)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}
