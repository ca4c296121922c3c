//! Serial ports that sleep while they wait.

use core::num::NonZeroUsize;

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use uart_16550::backend::MmioBackend;
use uart_16550::{Config, Uart16550};

/// A serial port.
#[derive(Debug)]
pub struct Port {
    uart: Uart16550<MmioBackend>,
    sleep: fn(),
    naps: u32,
}

impl Port {
    /// The port at `address` as it was found: what came before is not lost. When `naps` calls of `sleep` have
    /// brought nothing, reading fails with [`ErrorKind::TimedOut`]. `None` if there cannot be a port.
    ///
    /// # Safety
    /// There is a port, and nothing else uses it.
    #[must_use]
    pub unsafe fn found(address: usize, sleep: fn(), naps: u32) -> Option<Self> {
        let address = NonZeroUsize::new(address)?;
        // SAFETY: as promised by the caller; the registers of all of this board's ports lie side by side.
        let uart = unsafe { Uart16550::new_mmio_from_address(address, 1) }.ok()?;
        Some(Self { uart, sleep, naps })
    }

    /// The same with its queues switched on, which loses what came before. `None` if no port answers.
    ///
    /// # Safety
    /// As for [`Port::found`].
    #[must_use]
    pub unsafe fn open(address: usize, sleep: fn(), naps: u32) -> Option<Self> {
        // SAFETY: as promised by the caller.
        let mut port = unsafe { Self::found(address, sleep, naps) }?;
        port.uart.init(Config::default()).ok()?;
        Some(port)
    }
}

impl ErrorType for Port {
    type Error = ErrorKind;
}

impl Read for Port {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        for _ in 0..self.naps {
            match self.uart.receive_bytes(bytes) {
                0 if !bytes.is_empty() => (self.sleep)(),
                count => return Ok(count),
            }
        }
        Err(ErrorKind::TimedOut)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.uart.send_bytes_exact(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
