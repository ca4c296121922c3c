//! The host's random bytes, as if they were raw noise.

use he_entropy::{Claim, Noise, Silent};
use semihosting::experimental::random;

/// Bytes asked of the host at a time.
const BATCH: usize = 64;

/// The host's random bytes.
#[derive(Debug)]
pub struct HostNoise {
    bytes: [u8; BATCH],
    used: usize,
}

impl HostNoise {
    /// A source that has asked for nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; BATCH], used: BATCH }
    }
}

impl Default for HostNoise {
    fn default() -> Self {
        Self::new()
    }
}

impl Noise for HostNoise {
    /// Half of what the host's generator gives, as a real source would be claimed to have less than
    /// eight bits a byte.
    const CLAIM: Claim = Claim::new(8, 64, 30);

    fn sample(&mut self) -> Result<u8, Silent> {
        if self.used == BATCH {
            random::fill_bytes(&mut self.bytes).map_err(|_| Silent)?;
            self.used = 0;
        }
        self.used += 1;
        Ok(core::mem::take(&mut self.bytes[self.used - 1]))
    }
}
