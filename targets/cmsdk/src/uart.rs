//! Serial ports, as `embedded-io` streams.

use core::convert::Infallible;

use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::peripheral::{Peripheral, sleep_until};
use crate::timer::Timer;

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
/// The processor's clock by 16: the fastest the port goes.
const FASTEST: u32 = 16;

/// An open serial port, which is waited for without end.
#[derive(Debug)]
pub struct Uart(&'static Peripheral);

impl Uart {
    /// Opens a port at its fastest; the peripheral's interrupt is that of received bytes. `None` if it is
    /// already open.
    #[must_use]
    pub fn open(peripheral: &'static Peripheral) -> Option<Self> {
        if !peripheral.take() {
            return None;
        }
        peripheral.write(DIVIDER, FASTEST);
        peripheral.write(CONTROL, CONTROL_ALL);
        Some(Self(peripheral))
    }

    fn has_byte(&self) -> bool {
        self.0.read(STATE) & STATE_RX_FULL != 0
    }

    fn forget(&self) {
        self.0.write(INTERRUPT, INTERRUPT_RX);
    }

    /// Takes the bytes that are there.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "it takes bytes out of the port")]
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len() && self.has_byte() {
            buffer[count] = self.0.read(DATA).to_le_bytes()[0];
            count += 1;
        }
        count
    }

    #[expect(clippy::needless_pass_by_ref_mut, reason = "it hands bytes to the port")]
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while self.0.read(STATE) & STATE_TX_FULL != 0 {
                core::hint::spin_loop();
            }
            self.0.write(DATA, byte.into());
        }
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
        sleep_until(&[self.0], || self.forget(), || self.has_byte());
        Ok(self.take(buffer))
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A port that is waited for so many ticks of the processor's clock; then reading fails with
/// [`ErrorKind::TimedOut`].
#[derive(Debug)]
pub struct Limited {
    port: Uart,
    timer: Timer,
    ticks: u32,
}

impl Limited {
    /// A port whose waits this timer limits.
    #[must_use]
    pub const fn new(port: Uart, timer: Timer, ticks: u32) -> Self {
        Self { port, timer, ticks }
    }
}

impl ErrorType for Limited {
    type Error = ErrorKind;
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if !self.port.has_byte() {
            self.timer.start(self.ticks);
            let Self { port, timer, .. } = self;
            let is_over = || port.has_byte() || timer.has_ended();
            sleep_until(&[port.0, timer.0], || port.forget(), is_over);
            self.timer.stop();
        }
        match self.port.take(buffer) {
            0 => Err(ErrorKind::TimedOut),
            count => Ok(count),
        }
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.port.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
