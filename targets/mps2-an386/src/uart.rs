//! The board's serial ports, as `embedded-io` streams that sleep while they wait.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU8, Ordering};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};

const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const INTERRUPT: usize = 3;
const DIVIDER: usize = 4;

const STATE_TX_FULL: u32 = 1;
const STATE_RX_FULL: u32 = 2;
const CONTROL_TX: u32 = 1;
const CONTROL_RX: u32 = 2;
const CONTROL_RX_INTERRUPT: u32 = 8;
const INTERRUPT_RX: u32 = 2;
/// 25 MHz / 16: the fastest the port goes.
const FASTEST: u32 = 16;

/// A port of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// To the server.
    Zero,
    /// To the key authority.
    One,
    /// To the operator.
    Two,
}

impl Port {
    const fn registers(self) -> *mut u32 {
        core::ptr::without_provenance_mut(match self {
            Self::Zero => 0x4000_4000,
            Self::One => 0x4000_5000,
            Self::Two => 0x4000_6000,
        })
    }

    const fn receive_interrupt(self) -> u16 {
        match self {
            Self::Zero => 0,
            Self::One => 2,
            Self::Two => 4,
        }
    }
}

/// Lets a received byte wake the processor. Interrupts stay masked, so no handler ever runs.
#[derive(Debug, Clone, Copy)]
struct Interrupt(u16);

// SAFETY: the numbers come from `Port::receive_interrupt` alone and are below 32, the board's count.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// An open serial port.
#[derive(Debug)]
pub struct Uart(Port);

impl Uart {
    /// Opens `port` at its fastest. `None` if it is already open.
    #[must_use]
    pub fn open(port: Port) -> Option<Self> {
        static OPEN: AtomicU8 = AtomicU8::new(0);
        let bit = 1 << port.receive_interrupt();
        if OPEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return None;
        }
        let mut uart = Self(port);
        uart.write_register(DIVIDER, FASTEST);
        uart.write_register(CONTROL, CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT);
        Some(uart)
    }

    fn register(&self, index: usize) -> u32 {
        // SAFETY: the port's five registers lie at this address (DDI 0479, 4.3) and this value is
        // their only owner (`open`).
        unsafe { self.0.registers().add(index).read_volatile() }
    }

    fn write_register(&mut self, index: usize, value: u32) {
        // SAFETY: as in `register`.
        unsafe { self.0.registers().add(index).write_volatile(value) }
    }

    fn has_byte(&self) -> bool {
        self.register(STATE) & STATE_RX_FULL != 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "the data register holds eight bits")]
    #[expect(clippy::needless_pass_by_ref_mut, reason = "reading takes the byte out of the port")]
    fn take_byte(&mut self) -> u8 {
        self.register(DATA) as u8
    }

    /// Sleeps until a byte has arrived. Only this port wakes the processor meanwhile: interrupts of
    /// bytes that came to another one stay pending, and with them it would never sleep.
    fn wait_for_byte(&mut self) {
        let interrupt = Interrupt(self.0.receive_interrupt());
        // SAFETY: interrupts are masked for good (`Board::take`), so unmasking one in the NVIC
        // runs no handler and breaks no critical section; it only lets `wfi` return.
        unsafe { NVIC::unmask(interrupt) };
        while !self.has_byte() {
            self.write_register(INTERRUPT, INTERRUPT_RX);
            NVIC::unpend(interrupt);
            if self.has_byte() {
                break;
            }
            cortex_m::asm::wfi();
        }
        NVIC::mask(interrupt);
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.wait_for_byte();
        let mut count = 0;
        while count < buffer.len() && self.has_byte() {
            buffer[count] = self.take_byte();
            count += 1;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while self.register(STATE) & STATE_TX_FULL != 0 {
                core::hint::spin_loop();
            }
            self.write_register(DATA, u32::from(byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
