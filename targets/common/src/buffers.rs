//! The one set of big buffers that the device has: 52 KB, lent to one user at a time.

use he_core::edge::{BASE_PRIMES, DEGREE, EdgeKey, EdgeSecret, Workspace};
use spin::{Mutex, MutexGuard};

use crate::model::rings;

/// Memory for a key and for one encryption or decryption.
#[derive(Debug)]
pub struct Buffers {
    secrets: [[u32; DEGREE]; BASE_PRIMES],
    limb: [u32; DEGREE],
    errors: [i8; DEGREE],
}

static BUFFERS: Mutex<Buffers> = Mutex::new(Buffers {
    secrets: [[0; DEGREE]; BASE_PRIMES],
    limb: [0; DEGREE],
    errors: [0; DEGREE],
});

/// Takes the buffers; `None` while somebody else has them.
#[must_use]
pub fn take() -> Option<MutexGuard<'static, Buffers>> {
    BUFFERS.try_lock()
}

impl Buffers {
    /// Expands a secret, and lends the rest as a workspace. The key is erased when it is dropped.
    ///
    /// # Errors
    /// None: all degrees are the preset's.
    pub fn open(
        &mut self,
        secret: &EdgeSecret,
    ) -> Result<(EdgeKey<'_>, Workspace<'_>), he_core::Error> {
        let [first, second] = &mut self.secrets;
        let key = EdgeKey::expand(secret, rings(), [first, second])?;
        Ok((key, Workspace { limb: &mut self.limb, errors: &mut self.errors }))
    }

    /// Two limbs for whoever needs no key.
    pub fn words(&mut self) -> [&mut [u32]; 2] {
        let [first, second] = &mut self.secrets;
        [first, second]
    }
}
