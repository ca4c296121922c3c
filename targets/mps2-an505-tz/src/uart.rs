//! The board's serial ports (Arm DDI 0479, section 4.3), as `embedded-io` streams that sleep while they
//! wait.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU8, Ordering};

use embedded_io::{ErrorType, Read, Write};

const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const INTERRUPT: usize = 3;
const DIVIDER: usize = 4;

const STATE_TX_FULL: u32 = 1;
const STATE_RX_FULL: u32 = 2;
/// Both directions, and an interrupt for each byte received.
const CONTROL_ALL: u32 = 1 | 2 | 8;
const INTERRUPT_RX: u32 = 2;
/// 20 MHz / 16: the fastest the port goes.
const FASTEST: u32 = 16;

/// Sets, clears and makes an interrupt from 32 to 63 not pending.
const ENABLE: *mut u32 = core::ptr::without_provenance_mut(0xE000_E104);
const DISABLE: *mut u32 = core::ptr::without_provenance_mut(0xE000_E184);
const FORGET: *mut u32 = core::ptr::without_provenance_mut(0xE000_E284);

/// A port of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// To the server: the application's.
    Server,
    /// To the key authority: the secure world's.
    Authority,
    /// To the operator: the application's.
    Operator,
}

/// An open serial port.
#[derive(Debug)]
pub struct Uart(Port);

impl Port {
    const fn registers(self) -> *mut u32 {
        core::ptr::without_provenance_mut(match self {
            Self::Server => 0x4020_0000,
            Self::Authority => 0x5020_1000,
            Self::Operator => 0x4020_2000,
        })
    }

    /// The bit of the port's interrupt, 42 to 44, among those from 32.
    const fn interrupt(self) -> u32 {
        match self {
            Self::Server => 1 << 10,
            Self::Authority => 1 << 11,
            Self::Operator => 1 << 12,
        }
    }
}

impl Uart {
    /// Opens `port` at its fastest. `None` if it is already open.
    #[must_use]
    pub fn open(port: Port) -> Option<Self> {
        static OPEN: AtomicU8 = AtomicU8::new(0);
        let bit = 1 << port as u8;
        if OPEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return None;
        }
        let mut uart = Self(port);
        uart.write_register(DIVIDER, FASTEST);
        uart.write_register(CONTROL, CONTROL_ALL);
        Some(uart)
    }

    fn register(&self, index: usize) -> u32 {
        // SAFETY: the port's five registers lie at this address and this value is their only owner (`open`).
        unsafe { self.0.registers().add(index).read_volatile() }
    }

    fn write_register(&mut self, index: usize, value: u32) {
        // SAFETY: as in `register`.
        unsafe { self.0.registers().add(index).write_volatile(value) }
    }

    fn has_byte(&self) -> bool {
        self.register(STATE) & STATE_RX_FULL != 0
    }

    /// Sleeps until a byte has arrived. Interrupts are masked, so that they only wake the processor, and
    /// only this port's is enabled meanwhile.
    fn wait_for_byte(&mut self) {
        cortex_m::interrupt::free(|_| {
            let interrupt = self.0.interrupt();
            // SAFETY: while interrupts are masked, none of them runs a handler.
            unsafe { ENABLE.write_volatile(interrupt) };
            while !self.has_byte() {
                self.write_register(INTERRUPT, INTERRUPT_RX);
                // SAFETY: as above.
                unsafe { FORGET.write_volatile(interrupt) };
                if self.has_byte() {
                    break;
                }
                cortex_m::asm::wfi();
            }
            // SAFETY: as above.
            unsafe { DISABLE.write_volatile(interrupt) };
        });
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
            buffer[count] = self.register(DATA).to_le_bytes()[0];
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
            self.write_register(DATA, byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
