//! The client on the board: the server at the first serial port, the key authority at the second,
//! the operator at the third. The program's argument names the file that plays flash.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_firmware::client::{self, Links};
use mps2_an386::uart::{Port, Uart};
use mps2_an386_client::Board;
use semihosting::process;

#[entry]
fn main() -> ! {
    let ports = (Uart::open(Port::Zero), Uart::open(Port::One), Uart::open(Port::Two));
    let (Some(mut board), (Some(server), Some(authority), Some(operator))) = (Board::take(), ports)
    else {
        process::exit(2)
    };
    let links = Links { server, authority, operator };
    let outcome = client::run(links, &mut board);
    process::exit(i32::from(outcome.is_err()))
}
