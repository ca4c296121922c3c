//! The serial ports.

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

/// A serial port.
#[derive(Debug)]
pub struct Port(Uart16550<PioBackend>);

impl Port {
    /// The first one: the host.
    #[must_use]
    pub fn host() -> Option<Self> {
        Self::at(0x3f8)
    }

    /// The second one: the device.
    #[must_use]
    pub fn device() -> Option<Self> {
        Self::at(0x2f8)
    }

    fn at(port: u16) -> Option<Self> {
        // SAFETY: the standard places of serial ports; where there is none, reads give ones, which
        // the initialisation notices.
        let mut uart = unsafe { Uart16550::new_port(port) }.ok()?;
        uart.init(Config::default()).ok()?;
        Some(Self(uart))
    }

    /// Sends bytes, however long it takes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.send_bytes_exact(bytes);
    }
}

impl core::fmt::Write for Port {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.send(text.as_bytes());
        Ok(())
    }
}
