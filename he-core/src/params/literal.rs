//! Parameters as a person writes them, before they are checked.

use super::chain::{LOG_MAIN, LOG_TERMINAL};
use crate::Error;
use crate::modulus::Modulus;
use crate::primes::{LOG_STEP, is_prime};
use crate::ring::Basis;

/// The most digits of a key switch.
pub(super) const MAX_DIGITS: usize = 4;

/// A parameter set as it is written down; [`super::Params`] is what it becomes when it is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParamsLiteral {
    /// `log2(N)` of the big ring, at most 16.
    pub log_degree: u32,
    /// `log2(n)` of the edge ring.
    pub log_edge_degree: u32,
    /// `log2(T)`: tokens of a sentence.
    pub log_tokens: u32,
    /// Non-zero coefficients of the sparse secret of a bootstrap.
    pub hamming_weight: usize,
    /// What the set promises.
    pub strength: Strength,
    /// Bits of the base, level 0.
    pub base_bits: u32,
    /// Bits of each level of slots-to-coefficients and of computing.
    pub computing_bits: u32,
    /// Bits of each level of the sine evaluation and of coefficients-to-slots.
    pub bootstrap_bits: u32,
    /// `log2` of the scale of a product of rows and weights, which is what a bootstrap takes. A
    /// value `v` is `v·2^product_bits / q0` of the sine's period: the sine bends by
    /// `(2πv·2^product_bits / q0)²/6` of the value, and its noise counts the more the smaller this is.
    pub product_bits: u32,
    /// Into how many digits a key switch cuts a ciphertext; the specials must cover each.
    pub digits: usize,
    /// How many levels each stage has.
    pub stages: Stages,
    /// Primes near `2^25`.
    pub terminals: &'static [u32],
    /// Primes just below `2^30`, in the order in which levels take them.
    pub mains: &'static [u32],
    /// Primes below `2^31` for key switching.
    pub specials: &'static [u32],
}

/// How many levels each stage of the chain has, from the bottom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stages {
    /// Levels of slots-to-coefficients.
    pub slots_to_coeffs: usize,
    /// Levels left between bootstraps.
    pub computing: usize,
    /// Levels of the sine evaluation.
    pub eval_mod: usize,
    /// Levels of coefficients-to-slots.
    pub coeffs_to_slots: usize,
}

/// What a parameter set promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strength {
    /// 128 bits against classical attacks, by the HE Security Guidelines of 2024.
    Classical128,
    /// Nothing. For tests only.
    Insecure,
}

impl Stages {
    /// All levels above the base.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.slots_to_coeffs + self.computing + self.eval_mod + self.coeffs_to_slots
    }
}

impl ParamsLiteral {
    /// All primes in the order of their indices: terminals, mains, specials.
    pub fn primes(&self) -> impl Iterator<Item = u32> {
        self.terminals.iter().chain(self.mains).chain(self.specials).copied()
    }

    /// How many bits the modulus of `level` is meant to have.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "there are at most 64 levels")]
    pub const fn level_bits(&self, level: usize) -> u32 {
        assert!(level <= self.stages.total());
        let narrow = self.stages.slots_to_coeffs + self.stages.computing;
        let low = if level < narrow { level } else { narrow };
        let high = level - low;
        self.base_bits + low as u32 * self.computing_bits + high as u32 * self.bootstrap_bits
    }

    /// How many terminals and mains the modulus of `level` has: the fewest terminals for which
    /// both are whole numbers.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub const fn split(&self, level: usize) -> (usize, usize) {
        Self::split_bits(self.level_bits(level))
    }

    /// How many terminals and mains a modulus of so many bits has.
    pub(super) const fn split_bits(bits: u32) -> (usize, usize) {
        let mut terminals = 0;
        while terminals * LOG_TERMINAL < bits
            && !(bits - terminals * LOG_TERMINAL).is_multiple_of(LOG_MAIN)
        {
            terminals += 1;
        }
        let rest = bits.saturating_sub(terminals * LOG_TERMINAL);
        (terminals as usize, rest.div_ceil(LOG_MAIN) as usize)
    }

    /// A hash of everything in the literal (FNV-1a, 64 bits): it tells sets apart by accident, not
    /// against an adversary.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let stages = self.stages;
        let counts = [
            self.hamming_weight,
            self.digits,
            stages.slots_to_coeffs,
            stages.computing,
            stages.eval_mod,
            stages.coeffs_to_slots,
            self.terminals.len(),
            self.mains.len(),
            self.specials.len(),
        ];
        let strength = match self.strength {
            Strength::Classical128 => 128,
            Strength::Insecure => 0,
        };
        let small = [self.log_degree, self.log_edge_degree, self.log_tokens, strength]
            .into_iter()
            .chain([self.base_bits, self.computing_bits, self.bootstrap_bits, self.product_bits])
            .map(u64::from);
        hash(small.chain(counts.map(|n| n as u64)).chain(self.primes().map(u64::from)))
    }

    /// Checks everything that can be seen without the levels.
    pub(super) fn check(&self) -> Result<(), Error> {
        let rings_fit = (1..=16).contains(&self.log_degree)
            && (1..=self.log_degree).contains(&self.log_edge_degree)
            && (1..=self.log_edge_degree).contains(&self.log_tokens);
        if !rings_fit {
            return Err(Error::InvalidParameters("the degrees do not fit each other"));
        }
        if self.product_bits >= self.base_bits {
            return Err(Error::InvalidParameters("a product does not fit the base"));
        }
        if self.hamming_weight == 0 || self.hamming_weight > 1 << self.log_degree {
            return Err(Error::InvalidParameters("the weight of the sparse secret"));
        }
        if !(1..=MAX_DIGITS).contains(&self.digits) {
            return Err(Error::InvalidParameters("one to four digits"));
        }
        if self.specials.len() < 2 || self.primes().count() > Basis::CAPACITY {
            return Err(Error::InvalidParameters("too few or too many primes"));
        }
        let is_fit = |q: u32| {
            (q - 1).is_multiple_of(1 << LOG_STEP) && q >> Modulus::MAX_BITS == 0 && is_prime(q)
        };
        if !self.primes().all(|q| q > 0 && is_fit(q)) {
            return Err(Error::InvalidParameters("not a prime that is 1 modulo 2^17"));
        }
        if self.primes().enumerate().any(|(i, q)| self.primes().take(i).any(|other| other == q)) {
            return Err(Error::InvalidParameters("a prime occurs twice"));
        }
        Ok(())
    }
}

/// FNV-1a, 64 bits, of numbers of eight bytes.
pub(crate) fn hash(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.flat_map(u64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
