//! Sealed secrets in two slots: at any moment one of them is whole.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `HESEALED` |
//! | 2, 2, 4 | format 1, zero, length of the body, little-endian |
//! | 8 | version, little-endian: odd, and larger than that of everything sealed before |
//! | 24 | nonce, random |
//! | 16 | tag of `XChaCha20-Poly1305` over the body, and over all above as associated data |
//! | … | the body, encrypted |
//!
//! To store, the other slot is erased and written, body first; then the smallest version that is still
//! accepted is raised to the new one; then the old slot is erased. A cut leaves the old secrets or the
//! new ones, and opening finishes what was cut. Wiping raises the smallest version to an even one, which
//! says that nothing is there, so what a cut left of a body is no sign of harm: opening erases it. The nonce is random, so neither a cut nor a slot that
//! is written again can bring one back under another body.

use chacha20poly1305::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use chacha20poly1305::{Tag, XChaCha20Poly1305};
use embedded_storage::nor_flash::NorFlash;
use rand_core::TryCryptoRng;
use zeroize::Zeroize;

use crate::flash::{LONGEST_WORD, erase, is_blank, part, read, write};
use crate::{DeviceKey, Error, Monotonic};

const HEADER: usize = 64;
/// Where the body begins in a slot.
const BODY: u32 = 64;
const TAG: usize = 16;
const TAG_AT: usize = HEADER - TAG;
const NONCE: usize = 24;
const MAGIC: &[u8; 8] = b"HESEALED";
const FORMAT: u16 = 1;

/// The one body that is sealed, on a flash of two halves, with its version on another. It owns both.
#[derive(Debug)]
pub struct Vault<F, G> {
    slots: F,
    half: u32,
    version: Monotonic<G>,
    state: State,
}

/// What is known of the slots.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing yet.
    Closed,
    /// No body is in them.
    Empty,
    /// The newest body is in the slot at this offset.
    Holds(u32),
}

impl<F: NorFlash, G: NorFlash> Vault<F, G> {
    /// A vault in these pages.
    ///
    /// # Errors
    /// [`Error::Layout`] if they are not two slots.
    pub fn new(slots: F, version: Monotonic<G>) -> Result<Self, Error> {
        let half = part(&slots, 2)?;
        Ok(Self { slots, half, version, state: State::Closed })
    }

    /// Opens the vault and takes out what is in it: true if `body` has it now, false if nothing was ever
    /// stored or it was wiped. Finishes what a cut left undone.
    ///
    /// # Errors
    /// Those of the flash; [`Error::Layout`] if `body` does not fit a slot or is not a multiple of 32
    /// bytes; [`Error::Unreadable`] or [`Error::RolledBack`] if there is something that must not be used. `body`
    /// is all zeros then.
    pub fn open(&mut self, key: &DeviceKey, body: &mut [u8]) -> Result<bool, Error> {
        let found = self.check(body).and_then(|()| self.find(key, body));
        if found != Ok(true) {
            body.zeroize();
        }
        found
    }

    fn find(&mut self, key: &DeviceKey, body: &mut [u8]) -> Result<bool, Error> {
        let (mut best, mut is_blank) = (None, true);
        for start in [0, self.half] {
            is_blank &= self::is_blank(&mut self.slots, start, self.half)?;
            if let Some(version) = self.unseal(start, key, body)? {
                best = best.max(Some((version, start)));
            }
        }
        let Some((version, start)) = best else {
            if !is_blank && !self.version.value().is_multiple_of(2) {
                return Err(Error::Unreadable);
            }
            self.state = State::Empty;
            return Ok(false);
        };
        if version < self.version.value() {
            if self.version.value().is_multiple_of(2) {
                self.wipe()?;
                return Ok(false);
            }
            return Err(Error::RolledBack);
        }
        self.unseal(start, key, body)?.ok_or(Error::Unreadable)?;
        self.settle(version, start)?;
        Ok(true)
    }

    /// Seals `body` in place of what was there; `body` is all zeros afterwards.
    ///
    /// # Errors
    /// Those of the flash, of `body` as above, or of `rng`; [`Error::Closed`] if the vault was not
    /// opened. It has the old body or the new one then, as opening it again will tell.
    pub fn store(
        &mut self,
        key: &DeviceKey,
        rng: &mut impl TryCryptoRng,
        body: &mut [u8],
    ) -> Result<(), Error> {
        let stored = self.check(body).and_then(|()| self.try_store(key, rng, body));
        body.zeroize();
        stored
    }

    fn try_store(
        &mut self,
        key: &DeviceKey,
        rng: &mut impl TryCryptoRng,
        body: &mut [u8],
    ) -> Result<(), Error> {
        let version = self.version.value().checked_add(1).ok_or(Error::Exhausted)? | 1;
        let start = match self.state {
            State::Closed => return Err(Error::Closed),
            State::Empty => 0,
            State::Holds(current) => self.half - current,
        };
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        let length = u32::try_from(body.len()).map_err(|_| Error::Layout)?;
        header[12..16].copy_from_slice(&length.to_le_bytes());
        header[16..24].copy_from_slice(&version.to_le_bytes());
        let mut nonce = [0; NONCE];
        rng.try_fill_bytes(&mut nonce).map_err(|_| Error::Randomness)?;
        header[24..TAG_AT].copy_from_slice(&nonce);
        let tag = XChaCha20Poly1305::new(key.bytes().into())
            .encrypt_inout_detached(&nonce.into(), &header[..TAG_AT], InOutBuf::from(&mut *body))
            .map_err(|_| Error::Layout)?;
        header[TAG_AT..].copy_from_slice(&tag);

        erase(&mut self.slots, start, start + self.half)?;
        write(&mut self.slots, start + BODY, body)?;
        write(&mut self.slots, start, &header)?;
        if self.unseal(start, key, body)? != Some(version) {
            return Err(Error::Worn);
        }
        self.settle(version, start)
    }

    /// Erases everything. Copies of it are refused from now on.
    ///
    /// # Errors
    /// Those of the flash. Wiping again goes on where it was cut.
    pub fn wipe(&mut self) -> Result<(), Error> {
        let even = (self.version.value() | 1).checked_add(1).ok_or(Error::Exhausted)?;
        self.version.raise(even)?;
        self.state = State::Closed;
        erase(&mut self.slots, 0, 2 * self.half)?;
        self.state = State::Empty;
        Ok(())
    }

    /// What every store ends with: nothing older is accepted, and the other slot is erased.
    fn settle(&mut self, version: u64, start: u32) -> Result<(), Error> {
        self.version.raise(version)?;
        self.state = State::Holds(start);
        let other = self.half - start;
        if is_blank(&mut self.slots, other, self.half)? {
            return Ok(());
        }
        erase(&mut self.slots, other, other + self.half)
    }

    /// The version of what is in the slot, if it is authentic; `body` has it then.
    fn unseal(
        &mut self,
        start: u32,
        key: &DeviceKey,
        body: &mut [u8],
    ) -> Result<Option<u64>, Error> {
        let mut header = [0; HEADER];
        read(&mut self.slots, start, &mut header)?;
        let length = u32::from_le_bytes(field(&header, 12)) as usize;
        if header[..8] != *MAGIC
            || field(&header, 8) != FORMAT.to_le_bytes()
            || length != body.len()
        {
            return Ok(None);
        }
        read(&mut self.slots, start + BODY, body)?;
        let (nonce, tag): ([u8; NONCE], [u8; TAG]) = (field(&header, 24), field(&header, TAG_AT));
        let opened = XChaCha20Poly1305::new(key.bytes().into()).decrypt_inout_detached(
            &nonce.into(),
            &header[..TAG_AT],
            InOutBuf::from(&mut *body),
            &Tag::from(tag),
        );
        Ok(opened.is_ok().then(|| u64::from_le_bytes(field(&header, 16))))
    }

    fn check(&self, body: &[u8]) -> Result<(), Error> {
        let room = self.half as usize - HEADER;
        let fits = body.len() <= room && body.len().is_multiple_of(LONGEST_WORD);
        if fits { Ok(()) } else { Err(Error::Layout) }
    }
}

/// The `N` bytes at an offset of the header.
fn field<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    core::array::from_fn(|i| header[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng;

    const LENGTH: usize = 160;
    type Slots = Simulated<512, 4, 256>;
    type Number = Simulated<128, 4, 64>;

    /// A device without its processor.
    #[derive(Clone)]
    struct Device {
        slots: Slots,
        number: Number,
        key: [u8; 32],
        rng: u8,
    }

    impl Device {
        fn new() -> Self {
            let (slots, mut number) = (Slots::new(), Number::new());
            Monotonic::begin(&mut number, 0).unwrap();
            Self { slots, number, key: [9; 32], rng: 0 }
        }

        fn vault(&mut self) -> Result<Vault<&mut Slots, &mut Number>, Error> {
            Vault::new(&mut self.slots, Monotonic::open(&mut self.number)?)
        }

        fn open(&mut self) -> Result<Option<[u8; LENGTH]>, Error> {
            let (key, mut body) = (DeviceKey::new(self.key), [0xaa; LENGTH]);
            let opened = self.vault()?.open(&key, &mut body);
            if opened != Ok(true) {
                assert_eq!(body, [0; LENGTH]);
            }
            Ok(opened?.then_some(body))
        }

        fn store(&mut self, content: u8) -> Result<(), Error> {
            self.rng = self.rng.wrapping_add(1);
            let mut rng = ChaCha20Rng::from_seed([self.rng; 32]);
            let (key, mut body) = (DeviceKey::new(self.key), [0; LENGTH]);
            let mut vault = self.vault()?;
            vault.open(&key, &mut body)?;
            body = [content; LENGTH];
            vault.store(&key, &mut rng, &mut body)
        }

        fn wipe(&mut self) -> Result<(), Error> {
            self.vault()?.wipe()
        }

        /// Power fails in a step of the slots' flash, or in one of the number's.
        fn cut_at(&mut self, in_slots: bool, step: u32, torn: u64) {
            if in_slots { self.slots.cut_at(step, torn) } else { self.number.cut_at(step, torn) }
        }

        /// After a cut no access works, of whichever flash: they share their power.
        fn restore(&mut self) {
            self.slots.restore();
            self.number.restore();
        }
    }

    #[test]
    fn what_is_stored_comes_back_until_it_is_wiped() {
        let mut device = Device::new();
        assert_eq!(device.open(), Ok(None));
        for content in 1..20 {
            device.store(content).unwrap();
            assert_eq!(device.open(), Ok(Some([content; LENGTH])));
        }
        device.wipe().unwrap();
        assert_eq!(device.open(), Ok(None));
        assert_eq!(*device.slots.bytes(), [0xff; 512]);
    }

    #[test]
    fn cuts_at_every_step_leave_the_old_secrets_or_the_new_ones() {
        for torn in 0..40 {
            let mut device = Device::new();
            let mut content = 0;
            for (in_slots, wiped) in [(true, false), (false, false), (true, true), (false, true)] {
                for step in 0.. {
                    if wiped {
                        device.wipe().unwrap();
                    }
                    let before = device.open().unwrap();
                    content += 1;
                    device.cut_at(in_slots, step, torn);
                    let is_done = device.store(content).is_ok();
                    device.restore();
                    let after = device.open().unwrap();
                    let is_new = after == Some([content; LENGTH]);
                    assert!(is_new || (!is_done && after == before), "step {step}: {after:?}");
                    // One of them, and nothing of the other.
                    let is_blank = |half: &[u8]| half.iter().all(|&byte| byte == 0xff);
                    let (a, b) = device.slots.bytes().split_at(256);
                    assert!(is_blank(a) || is_blank(b));
                    if is_done {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn cuts_at_every_step_of_wiping_leave_nothing_or_everything() {
        for torn in 0..40 {
            for in_slots in [true, false] {
                for step in 0.. {
                    let mut device = Device::new();
                    device.store(1).unwrap();
                    device.cut_at(in_slots, step, torn);
                    let is_done = device.wipe().is_ok();
                    device.restore();
                    let after = device.open();
                    let is_untouched = !is_done && !in_slots && after == Ok(Some([1; LENGTH]));
                    assert!(is_untouched || after == Ok(None), "{step}: {after:?}");
                    if is_done {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn no_bit_can_be_flipped() {
        let mut device = Device::new();
        device.store(1).unwrap();
        for bit in 0..8 * (HEADER + LENGTH) {
            let mut altered = device.clone();
            altered.slots.bytes()[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(altered.open(), Err(Error::Unreadable), "bit {bit}");
        }
    }

    #[test]
    fn older_secrets_are_refused_wherever_they_are_put() {
        let mut device = Device::new();
        device.store(1).unwrap();
        let old = *device.slots.bytes();
        device.store(2).unwrap();
        let mut both = device.clone();
        both.slots.bytes()[..256].copy_from_slice(&old[..256]);
        assert_eq!(both.open(), Ok(Some([2; LENGTH])));
        *device.slots.bytes() = old;
        assert_eq!(device.open(), Err(Error::RolledBack));
        device.slots.bytes().rotate_left(256);
        assert_eq!(device.open(), Err(Error::RolledBack));

        let mut wiped = Device::new();
        wiped.store(1).unwrap();
        let old = *wiped.slots.bytes();
        wiped.wipe().unwrap();
        *wiped.slots.bytes() = old;
        assert_eq!(wiped.open(), Ok(None));
        assert_eq!(*wiped.slots.bytes(), [0xff; 512]);
    }

    #[test]
    fn nothing_is_overwritten_before_it_was_looked_at() {
        let mut device = Device::new();
        device.store(1).unwrap();
        let key = DeviceKey::new(device.key);
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let stored = device.vault().unwrap().store(&key, &mut rng, &mut [2; LENGTH]);
        assert_eq!(stored, Err(Error::Closed));
        assert_eq!(device.open(), Ok(Some([1; LENGTH])));
    }

    #[test]
    fn another_device_cannot_open_them() {
        let mut device = Device::new();
        device.store(1).unwrap();
        device.key = [8; 32];
        assert_eq!(device.open(), Err(Error::Unreadable));
    }

    #[test]
    fn a_body_that_does_not_fit_is_refused() {
        let mut device = Device::new();
        for length in [LENGTH + 1, 224] {
            let (key, mut body) = (DeviceKey::new(device.key), [0; 256]);
            let opened = device.vault().unwrap().open(&key, &mut body[..length]);
            assert_eq!(opened.err(), Some(Error::Layout));
        }
    }
}
