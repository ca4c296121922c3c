//! The key of one device, made by itself and known to nobody else.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use zeroize::Zeroize;

use crate::Error;
use crate::flash::{LONGEST_WORD, erase, part, read, write};

const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
const KEY: usize = 32;
/// Key, CRC-32, padding.
const RECORD: usize = 2 * LONGEST_WORD;

/// What a device seals its secrets under. It cannot be copied or printed, and is erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct DeviceKey([u8; KEY]);

impl DeviceKey {
    /// A key from elsewhere: fuses, a secure element, a physically unclonable function.
    #[must_use]
    pub const fn new(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// The key in `flash`, or a new one if there is none or it was torn: then nothing is sealed yet.
    ///
    /// # Errors
    /// Those of the flash, or [`Error::Randomness`].
    pub fn open(flash: &mut impl NorFlash, rng: &mut impl TryCryptoRng) -> Result<Self, Error> {
        let mut record = [0; RECORD];
        let end = part(flash, 1)?;
        read(flash, 0, &mut record)?;
        if Self::parse(&record).is_none() {
            record.fill(0xff);
            rng.try_fill_bytes(&mut record[..KEY]).map_err(|_| Error::Randomness)?;
            let check = CRC.checksum(&record[..KEY]).to_le_bytes();
            record[KEY..KEY + 4].copy_from_slice(&check);
            erase(flash, 0, end)?;
            write(flash, 0, &record)?;
            read(flash, 0, &mut record)?;
        }
        let key = Self::parse(&record);
        record.zeroize();
        key.ok_or(Error::Worn)
    }

    fn parse(record: &[u8; RECORD]) -> Option<Self> {
        let (key, rest) = record.split_first_chunk::<KEY>()?;
        let (check, _) = rest.split_first_chunk::<4>()?;
        (CRC.checksum(key) == u32::from_le_bytes(*check)).then_some(Self(*key))
    }

    pub(crate) const fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl Drop for DeviceKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng;

    #[test]
    fn a_device_keeps_its_key_and_devices_differ() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (mut one, mut two) = (Simulated::<128, 4, 128>::new(), Simulated::<128, 4, 128>::new());
        let first = DeviceKey::open(&mut one, &mut rng).unwrap();
        let other = DeviceKey::open(&mut two, &mut rng).unwrap();
        let again = DeviceKey::open(&mut one, &mut rng).unwrap();
        assert_eq!(first.0, again.0);
        assert_ne!(first.0, other.0);
    }

    #[test]
    fn a_key_that_was_used_survives_and_a_torn_one_is_replaced() {
        for torn in 0..50 {
            for step in 0.. {
                let mut rng = ChaCha20Rng::from_seed([2; 32]);
                let mut flash = Simulated::<128, 4, 128>::new();
                flash.cut_at(step, torn);
                let used = DeviceKey::open(&mut flash, &mut rng).ok();
                flash.restore();
                let later = DeviceKey::open(&mut flash, &mut rng).unwrap();
                if let Some(used) = used {
                    assert_eq!(used.0, later.0);
                    break;
                }
            }
        }
    }
}
