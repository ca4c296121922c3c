//! The client in the non-secure world: the server at the first serial port, the operator at the third.
//! Its secrets are behind the wall.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use cortex_m as _; // The critical sections that the logger asks for.
use defmt_semihosting as _;
use he_firmware::client;
use he_isolation::gateway::{Gateway, Room};
use mps2_an505_tz::application::{Board, gate};
use mps2_an505_tz::uart::{Port, Uart};
use semihosting::process;
use spin::Mutex;

static ROOM: Mutex<Room> = Mutex::new(Room::new());

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let ports = (Uart::open(Port::Server), Uart::open(Port::Operator), ROOM.try_lock());
    let (Some(mut server), Some(mut operator), Some(mut room)) = ports else { process::exit(2) };
    let (mut board, mut gateway) = (Board::start(), Gateway::new(gate, &mut room));
    if gateway.provision().is_err() {
        defmt::error!("there are no secrets");
        process::exit(1)
    }
    defmt::info!("provisioned behind the wall");
    let outcome = client::run_with(&mut gateway, &mut server, &mut operator, &mut board);
    process::exit(i32::from(outcome.is_err()))
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
