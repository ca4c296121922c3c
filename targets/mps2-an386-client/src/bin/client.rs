//! The client on the board: the server at the first serial port, over a stream that outlives a bad line, the key
//! authority at the second, the operator at the third. The program's argument names the file that plays flash.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_cmsdk::{Limited, Timer, Uart};
use he_firmware::client::{self, Links};
use he_transport::{Serial, Stream};
use mps2_an386::{AUTHORITY, OPERATOR, SERVER, TIMER};
use mps2_an386_client::Board;
use semihosting::process;

/// How long the line is waited for: 100 ms at 25 MHz.
const WAIT: u32 = 2_500_000;
/// Waits for a byte, and repetitions of a chunk: ten minutes.
const TRIES: u32 = 6000;

#[entry]
fn main() -> ! {
    let ports = (Uart::open(&SERVER), Uart::open(&AUTHORITY), Uart::open(&OPERATOR));
    let (Some(mut board), (Some(server), Some(authority), Some(operator)), Some(timer)) =
        (Board::take(), ports, Timer::take(&TIMER))
    else {
        process::exit(2)
    };
    let line = Serial::new(Limited::new(server, timer, WAIT));
    let mut server = Stream::open(line, board.session(), TRIES);
    let links = Links { server: &mut server, authority, operator };
    let outcome = client::run(links, &mut board);
    process::exit(i32::from(outcome.is_err()))
}
