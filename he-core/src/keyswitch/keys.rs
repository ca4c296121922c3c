//! Which evaluation keys there are, which ones a computation needs, and the set that a server holds.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::SwitchingKey;
use crate::Error;
use crate::params::Params;
use crate::ring::{Automorphism, Basis, Ring, galois_of_conjugation, galois_of_rotation};

/// What a switching key is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KeyKind {
    /// From `S²` to `S`.
    Relinearization,
    /// From `S` to `φ⁻¹(S)`, for the automorphism `φ: X → X^g`.
    Galois(u32),
    /// From the ephemeral sparse secret `E` to `S`, after the modulus was raised.
    Raise,
    /// From `s_j(X^K)`, a part of the edge secret, to `E`, at the base modulus.
    Pack(u32),
    /// From `S` to `s(X^(N/n))`, at the base modulus.
    Down,
}

impl KeyKind {
    /// The kind and its Galois element or part, as numbers for files and wires.
    #[must_use]
    pub const fn numbers(self) -> (u32, u32) {
        match self {
            Self::Relinearization => (1, 0),
            Self::Galois(galois) => (2, galois),
            Self::Raise => (3, 0),
            Self::Pack(part) => (4, part),
            Self::Down => (5, 0),
        }
    }

    /// The kind with these numbers, if there is one.
    #[must_use]
    pub const fn from_numbers(kind: u32, number: u32) -> Option<Self> {
        match (kind, number) {
            (1, 0) => Some(Self::Relinearization),
            (2, galois) => Some(Self::Galois(galois)),
            (3, 0) => Some(Self::Raise),
            (4, part) => Some(Self::Pack(part)),
            (5, 0) => Some(Self::Down),
            _ => None,
        }
    }
}

/// One key to be made: its kind and the highest level that it serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySpec {
    /// What it is for.
    pub kind: KeyKind,
    /// The highest level at which it is used; 0 for `Pack` and `Down`.
    pub level: usize,
}

impl KeySpec {
    /// The digits of the key, restricted to the primes of its levels.
    #[must_use]
    pub fn digits(&self, params: &Params) -> Vec<Basis> {
        match self.kind {
            KeyKind::Pack(_) => alloc::vec![params.base()],
            KeyKind::Down => params.base().iter().map(Basis::single).collect(),
            _ => {
                let primes = self.primes(params);
                let digits = params.digits().iter().map(|d| d.intersection(primes));
                digits.filter(|d| !d.is_empty()).collect()
            }
        }
    }

    /// The special primes that the key switch divides by.
    #[must_use]
    pub fn special(&self, params: &Params) -> Basis {
        match self.kind {
            KeyKind::Pack(_) => params.special_small(),
            KeyKind::Down => params.edge_special(),
            _ => params.specials(),
        }
    }

    /// All primes of the key.
    #[must_use]
    pub fn basis(&self, params: &Params) -> Basis {
        self.primes(params).union(self.special(params))
    }

    /// Checks that such a key exists and that making it does not weaken a secret: the moduli of
    /// the sparse secret and of the edge secret are fixed, whatever level is asked for.
    ///
    /// # Errors
    /// If there is no such level, automorphism or part of the edge secret, or the modulus would be
    /// larger than that of its secret.
    pub fn check(&self, params: &Params) -> Result<(), Error> {
        let refused = match self.kind {
            KeyKind::Pack(_) | KeyKind::Down if self.level > 0 => {
                "a key above its secret's modulus"
            }
            _ if self.level > params.max_level() => "a key above the chain",
            KeyKind::Galois(galois)
                if galois % 2 == 0 || galois >> (params.log_degree() + 1) > 0 =>
            {
                "not the exponent of an automorphism"
            }
            KeyKind::Pack(part) if part >> (params.log_edge_degree() - params.log_tokens()) > 0 => {
                "not a part of the edge secret"
            }
            _ => return Ok(()),
        };
        Err(Error::InvalidParameters(refused))
    }

    /// The ordinary primes: those of every level up to the highest one.
    fn primes(&self, params: &Params) -> Basis {
        params.basis_to(self.level)
    }
}

/// The keys that a computation needs, each to the level of its highest use.
#[derive(Clone, Debug, Default)]
pub struct KeyPlan {
    levels: BTreeMap<KeyKind, usize>,
}

impl KeyPlan {
    /// The keys that every half-bootstrap and every linear layer needs, without rotations.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let mut plan = Self::default();
        let top = params.max_level();
        plan.need(KeyKind::Relinearization, top - params.coeffs_to_slots_levels());
        plan.need(KeyKind::Raise, top);
        plan.need(KeyKind::Down, 0);
        let rank = (1u32 << params.log_edge_degree()) / (1 << params.log_tokens());
        (0..rank).for_each(|j| plan.need(KeyKind::Pack(j), 0));
        plan
    }

    /// Adds a key, or raises its level.
    pub fn need(&mut self, kind: KeyKind, level: usize) {
        let entry = self.levels.entry(kind).or_insert(level);
        *entry = level.max(*entry);
    }

    /// Adds the key of a rotation by `step` slots to the left.
    pub fn need_rotation(&mut self, params: &Params, step: isize, level: usize) {
        let galois = galois_of_rotation(params.log_degree(), step);
        if galois != 1 {
            self.need(KeyKind::Galois(galois), level);
        }
    }

    /// Adds the key of the conjugation.
    pub fn need_conjugation(&mut self, params: &Params, level: usize) {
        self.need(KeyKind::Galois(galois_of_conjugation(params.log_degree())), level);
    }

    /// The keys, in a fixed order.
    #[must_use]
    pub fn specs(&self) -> impl ExactSizeIterator<Item = KeySpec> + '_ {
        self.levels.iter().map(|(&kind, &level)| KeySpec { kind, level })
    }

    /// Bytes of all keys as they lie in a server's memory: both halves, one word a residue.
    #[must_use]
    pub fn resident_bytes(&self, params: &Params) -> u64 {
        self.sum(params, |_| 2 * 32)
    }

    /// Bytes of all keys on the wire: one half, residues packed to the width of their prime.
    #[must_use]
    pub fn wire_bytes(&self, params: &Params) -> u64 {
        self.sum(params, |prime| 32 - u64::from(params.primes()[prime].leading_zeros()))
    }

    fn sum(&self, params: &Params, bits: impl Fn(usize) -> u64) -> u64 {
        let polynomials = self.specs().map(|spec| {
            let limbs: u64 = spec.basis(params).iter().map(&bits).sum();
            limbs * spec.digits(params).len() as u64
        });
        polynomials.sum::<u64>() << params.log_degree() >> 3
    }
}

/// A switching key with the permutation that goes with it.
#[derive(Clone, Debug)]
pub struct GaloisKey {
    pub(crate) automorphism: Automorphism,
    pub(crate) key: SwitchingKey,
}

/// Everything that a server evaluates with.
#[derive(Clone, Debug, Default)]
pub struct EvaluationKeys {
    pub(crate) relinearization: Option<SwitchingKey>,
    pub(crate) galois: BTreeMap<u32, GaloisKey>,
    pub(crate) raise: Option<SwitchingKey>,
    pub(crate) pack: BTreeMap<u32, SwitchingKey>,
    pub(crate) down: Option<SwitchingKey>,
}

impl EvaluationKeys {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, in place of one of the same kind.
    pub fn insert(&mut self, ring: &Ring, kind: KeyKind, key: SwitchingKey) {
        match kind {
            KeyKind::Relinearization => self.relinearization = Some(key),
            KeyKind::Galois(galois) => {
                let automorphism = Automorphism::new(ring.log_degree(), galois);
                self.galois.insert(galois, GaloisKey { automorphism, key });
            }
            KeyKind::Raise => self.raise = Some(key),
            KeyKind::Pack(part) => {
                self.pack.insert(part, key);
            }
            KeyKind::Down => self.down = Some(key),
        }
    }

    /// The relinearization key, for polynomials over `basis`.
    pub(crate) fn relinearization(&self, basis: Basis) -> Result<&SwitchingKey, Error> {
        let missing = Error::MissingKey("relinearization");
        self.relinearization.as_ref().filter(|key| key.serves(basis)).ok_or(missing)
    }

    /// The key of the automorphism `X → X^galois`, for polynomials over `basis`.
    pub(crate) fn galois(&self, galois: u32, basis: Basis) -> Result<&GaloisKey, Error> {
        let missing = Error::MissingGaloisKey { galois };
        self.galois.get(&galois).filter(|entry| entry.key.serves(basis)).ok_or(missing)
    }

    /// The key from the sparse secret, for polynomials over `basis`.
    pub(crate) fn raise(&self, basis: Basis) -> Result<&SwitchingKey, Error> {
        let missing = Error::MissingKey("raising the modulus");
        self.raise.as_ref().filter(|key| key.serves(basis)).ok_or(missing)
    }

    /// The key to the sparse secret from part `part` of the edge secret.
    pub(crate) fn pack(&self, part: u32) -> Result<&SwitchingKey, Error> {
        self.pack.get(&part).ok_or(Error::MissingKey("packing rows"))
    }

    /// The key to the edge secret.
    pub(crate) fn down(&self) -> Result<&SwitchingKey, Error> {
        self.down.as_ref().ok_or(Error::MissingKey("the switch to the edge ring"))
    }
}
