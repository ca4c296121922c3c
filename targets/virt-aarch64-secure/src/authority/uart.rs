//! The secure serial port, a PL011 (Arm DDI 0183): the device's link.

use key_authority::Error;

use super::{SECURE_UART, address};

const DATA: usize = 0x000;
const FLAGS: usize = 0x018;
const CONTROL: usize = 0x030;

/// The port and its transmitter are on.
const ENABLED: u32 = 1 << 8 | 1;
/// The transmitter takes nothing now.
const FULL: u32 = 1 << 5;

/// How often a full transmitter is asked again before the link counts as broken.
const PATIENCE: u32 = 1 << 24;

fn register(offset: usize) -> *mut u32 {
    core::ptr::with_exposed_provenance_mut(address(SECURE_UART) + offset)
}

/// Sends bytes.
///
/// # Errors
/// [`Error::Link`] if the other end takes nothing for long.
pub(super) fn send(bytes: &[u8]) -> Result<(), Error> {
    // SAFETY: a register of a device that is mapped, and the authority's alone.
    unsafe { register(CONTROL).write_volatile(ENABLED) };
    for &byte in bytes {
        // SAFETY: as above.
        let is_full = || unsafe { register(FLAGS).read_volatile() } & FULL != 0;
        if (0..PATIENCE).all(|_| is_full()) {
            return Err(Error::Link);
        }
        // SAFETY: as above.
        unsafe { register(DATA).write_volatile(byte.into()) };
    }
    Ok(())
}
