//! What an untrusted host asks for.
//!
//! | bytes | field, little-endian |
//! |---|---|
//! | 4 | `HEKO` |
//! | 4 | version, 1 |
//! | 8 | digest of the parameter set |
//! | 4 | level of the public key |
//! | 4 | evaluation keys that follow |
//! | 32 | a number used once, for the report |
//! | 12 each | kind, Galois element or part, highest level; as in [`KeyKind::numbers`] |

use alloc::vec::Vec;

use he_core::keyswitch::{KeyKind, KeySpec};
use he_core::params::Params;

use crate::Error;

/// The first bytes of an order.
pub const MAGIC: [u8; 4] = *b"HEKO";

/// The version that is read.
pub const VERSION: u32 = 1;

/// Most evaluation keys of an order.
pub const MOST_KEYS: usize = 512;

/// Bytes before the first key.
pub const HEAD: usize = 56;

/// Bytes of a key.
pub const ENTRY: usize = 12;

/// Bytes of the longest order.
pub const LONGEST: usize = HEAD + MOST_KEYS * ENTRY;

/// An order whose every key may be made.
#[derive(Clone, Debug)]
pub struct Order {
    params: Params,
    public_level: usize,
    nonce: [u8; 32],
    specs: Vec<KeySpec>,
}

/// The parameter sets of the product by their digests: none without security.
#[must_use]
pub fn presets(digest: u64) -> Option<Params> {
    let presets = [Params::edge_128(), Params::precise_128()];
    presets.into_iter().flatten().find(|params| params.digest() == digest)
}

impl Order {
    /// Reads and checks an order; `known` has the parameter sets that keys are made for.
    ///
    /// # Errors
    /// If it is not an order to the last byte, its parameters are not known, or one of its keys
    /// would weaken a secret or comes twice.
    pub fn parse(bytes: &[u8], known: impl Fn(u64) -> Option<Params>) -> Result<Self, Error> {
        let (head, entries) =
            bytes.split_first_chunk::<HEAD>().ok_or(Error::Order("it is too short"))?;
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| head[at + i]));
        if head[..4] != MAGIC || word(4) != VERSION {
            return Err(Error::Order("it is something else"));
        }
        let digest = u64::from_le_bytes(core::array::from_fn(|i| head[8 + i]));
        let nonce = core::array::from_fn(|i| head[24 + i]);
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if !rest.is_empty() || entries.len() > MOST_KEYS || size(word(20)) != entries.len() {
            return Err(Error::Order("its length is not what it says"));
        }
        let params = known(digest).ok_or(Error::Parameters)?;
        let public_level = size(word(16));
        if public_level > params.max_level() {
            return Err(Error::Order("a public key above the chain"));
        }
        let mut specs: Vec<KeySpec> = Vec::with_capacity(entries.len());
        for entry in entries {
            let spec = spec(entry).ok_or(Error::Order("a key of an unknown kind"))?;
            spec.check(&params)?;
            if specs.iter().any(|other| other.kind == spec.kind) {
                return Err(Error::Order("a key comes twice"));
            }
            specs.push(spec);
        }
        Ok(Self { params, public_level, nonce, specs })
    }

    /// The parameter set.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The level of the public key.
    #[must_use]
    pub const fn public_level(&self) -> usize {
        self.public_level
    }

    /// The number used once.
    #[must_use]
    pub const fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The evaluation keys, in the order in which they are made.
    #[must_use]
    pub fn specs(&self) -> &[KeySpec] {
        &self.specs
    }
}

/// An order as it is sent.
#[must_use]
pub fn write(params: &Params, public_level: u32, nonce: &[u8; 32], specs: &[KeySpec]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + ENTRY * specs.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(params.digest().to_le_bytes());
    bytes.extend(public_level.to_le_bytes());
    bytes.extend(u32::try_from(specs.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(nonce);
    for spec in specs {
        let (kind, number) = spec.kind.numbers();
        let level = u32::try_from(spec.level).unwrap_or(u32::MAX);
        bytes.extend([kind, number, level].map(u32::to_le_bytes).as_flattened());
    }
    bytes
}

fn spec(entry: &[u8; ENTRY]) -> Option<KeySpec> {
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| entry[at + i]));
    Some(KeySpec { kind: KeyKind::from_numbers(word(0), word(4))?, level: size(word(8)) })
}

/// A word as a count; too large ones stay too large.
fn size(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insecure() -> Params {
        Params::insecure_small(9, 6, 3).unwrap()
    }

    fn parse(bytes: &[u8]) -> Result<Order, Error> {
        let params = insecure();
        Order::parse(bytes, |digest| (digest == params.digest()).then(|| params.clone()))
    }

    fn order(specs: &[KeySpec]) -> Vec<u8> {
        write(&insecure(), 6, &[7; 32], specs)
    }

    const GOOD: [KeySpec; 3] = [
        KeySpec { kind: KeyKind::Galois(5), level: 4 },
        KeySpec { kind: KeyKind::Pack(7), level: 0 },
        KeySpec { kind: KeyKind::Down, level: 0 },
    ];

    #[test]
    fn what_is_written_is_read_back() {
        let read = parse(&order(&GOOD)).unwrap();
        assert_eq!((read.specs(), read.public_level(), read.nonce()), (&GOOD[..], 6, &[7; 32]));
    }

    #[test]
    fn every_shorter_and_longer_order_is_refused() {
        let good = order(&GOOD);
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err(), "{length}");
        }
        assert!(parse(&[&good[..], &[0]].concat()).is_err());
        assert!(parse(&[&good[..], &[0; ENTRY]].concat()).is_err());
    }

    #[test]
    fn a_key_that_weakens_a_secret_or_does_not_exist_is_refused() {
        let top = insecure().max_level();
        for (kind, level) in [
            (KeyKind::Pack(0), 1),
            (KeyKind::Down, 1),
            (KeyKind::Raise, top + 1),
            (KeyKind::Galois(4), 0),
            (KeyKind::Galois(1 << 20 | 1), 0),
            (KeyKind::Pack(8), 0),
        ] {
            let specs = [GOOD[0], KeySpec { kind, level }];
            assert!(matches!(parse(&order(&specs)), Err(Error::Refused(_))), "{kind:?} {level}");
        }
        let mut unknown = order(&GOOD);
        unknown[HEAD] = 9;
        assert!(matches!(parse(&unknown), Err(Error::Order(_))));
    }

    #[test]
    fn a_key_twice_too_many_keys_and_a_public_key_above_the_chain_are_refused() {
        let twice = [GOOD[0], KeySpec { level: 3, ..GOOD[0] }];
        assert!(matches!(parse(&order(&twice)), Err(Error::Order(_))));
        let many: Vec<_> = (0..=MOST_KEYS)
            .map(|i| 2 * u32::try_from(i).unwrap() + 1)
            .map(|galois| KeySpec { kind: KeyKind::Galois(galois), level: 0 })
            .collect();
        assert!(matches!(parse(&order(&many)), Err(Error::Order(_))));
        let above = write(&insecure(), 99, &[0; 32], &GOOD);
        assert!(matches!(parse(&above), Err(Error::Order(_))));
    }

    #[test]
    fn the_product_knows_no_parameters_without_security() {
        assert!(presets(insecure().digest()).is_none());
        assert!(presets(Params::edge_128().unwrap().digest()).is_some());
        assert_eq!(Order::parse(&order(&GOOD), presets).err(), Some(Error::Parameters));
    }
}
