#![no_std]
#![no_main]
use cortex_m_rt::entry;
use mps2_an386::{Board, uart::{Uart, Port}};
use embedded_io::{Read, Write};
use semihosting::process;
#[entry]
fn main() -> ! {
    let Some(_b) = Board::take() else { process::exit(2) };
    let mut u = Uart::open(Port::Zero).unwrap();
    let mut buf = [0u8; 64];
    let mut n = 0;
    while n < 20000 { n += u.read(&mut buf).unwrap(); }
    for i in 0..50000u32 { u.write(&[i as u8]).unwrap(); }
    u.read(&mut buf).unwrap();
    process::exit(0)
}
