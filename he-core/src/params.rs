//! Parameter sets: one list of primes, and a table of which of them each level uses.
//!
//! The primes are *terminals* near `2^25`, *mains* below `2^30` and *specials* below `2^31`, in
//! this order. A level whose modulus has about `B` bits uses the first `k` terminals and the first
//! `m` mains, where `25k + 30m = B`; so levels of 40 and of 50 bits are built from 31-bit words and
//! none is half full. After Kim et al., *Cheddar: A swift fully homomorphic encryption library for
//! CUDA GPUs* (2024), section 4.
//!
//! From the bottom: the base, in which rows live; the levels of slots-to-coefficients; those left
//! for computing; those of the sine evaluation; those of coefficients-to-slots.

mod chain;
mod literal;
mod presets;
mod security;

use literal::MAX_DIGITS;
pub(crate) use literal::hash;
pub use literal::{ParamsLiteral, Stages, Strength};
pub use presets::{EDGE_128, PRECISE_128};
pub use security::{Instance, SecretKind, max_log_qp};

use crate::Error;
use crate::ring::Basis;

/// A checked parameter set.
#[derive(Clone, Debug)]
pub struct Params {
    literal: ParamsLiteral,
    primes: [u32; Basis::CAPACITY],
    prime_count: usize,
    digits: [Basis; MAX_DIGITS],
    digest: u64,
    /// Computing levels that are left out.
    skipped: usize,
}

impl Params {
    /// Checks a literal: the primes, the size of every level and, unless it is declared insecure,
    /// that each secret is used under moduli of at least 128 bits of security only.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn new(literal: ParamsLiteral) -> Result<Self, Error> {
        literal.check()?;
        let mut primes = [0; Basis::CAPACITY];
        primes.iter_mut().zip(literal.primes()).for_each(|(to, q)| *to = q);
        let chain = literal.terminals.len() + literal.mains.len();
        let size = chain.div_ceil(literal.digits);
        let digit = |i: usize| Basis::range((i * size).min(chain)..((i + 1) * size).min(chain));
        let params = Self {
            literal,
            primes,
            prime_count: chain + literal.specials.len(),
            digits: core::array::from_fn(digit),
            digest: literal.digest(),
            skipped: 0,
        };
        params.check_levels()?;
        if !params.is_insecure() && !params.instances().iter().all(Instance::is_secure) {
            return Err(Error::InvalidParameters("a modulus is too large for its secret"));
        }
        Ok(params)
    }

    /// The preset for devices: 128 bits, sentences of 64 tokens.
    ///
    /// # Errors
    /// None: a test builds it.
    pub fn edge_128() -> Result<Self, Error> {
        Self::new(EDGE_128)
    }

    /// The preset for values of more than 20 bits: see [`PRECISE_128`].
    ///
    /// # Errors
    /// None: a test builds it.
    pub fn precise_128() -> Result<Self, Error> {
        Self::new(PRECISE_128)
    }

    /// The chain of [`EDGE_128`] at small degrees, **without any security**, for tests.
    ///
    /// # Errors
    /// If the degrees or the tokens do not fit each other.
    pub fn insecure_small(
        log_degree: u32,
        log_edge_degree: u32,
        log_tokens: u32,
    ) -> Result<Self, Error> {
        let strength = Strength::Insecure;
        Self::new(ParamsLiteral { log_degree, log_edge_degree, log_tokens, strength, ..EDGE_128 })
    }

    /// The same chain for a bootstrap that has to return to `level` only: computing levels above it are
    /// left out, all of them if there are primes for it. The levels of the bootstrap keep their
    /// numbers, as has the computing level, which has the modulus of [`Self::returns_to`]; those
    /// between do not count.
    ///
    /// # Errors
    /// If `level` is not between those of slots-to-coefficients and the computing level.
    pub fn returning_to(&self, level: usize) -> Result<Self, Error> {
        let highest = self.computing_level();
        let needed = Error::LevelExhausted { needed: level, left: highest };
        if level < self.rows_level() {
            return Err(needed);
        }
        let chain = |end: usize| {
            let chain = Self { skipped: highest - end, ..self.clone() };
            // Keys of the sine reach as far as it does on the whole chain, those before it further.
            let sine = self.max_level() - self.coeffs_to_slots_levels();
            let reach = |level| self.basis_to(if level > sine { self.max_level() } else { level });
            let mut above = highest..=self.max_level();
            above.all(|level| chain.basis(level).is_subset(reach(level))).then_some(chain)
        };
        (level..=highest).find_map(chain).ok_or(needed)
    }

    /// The level that a bootstrap on this chain returns to.
    #[must_use]
    pub const fn returns_to(&self) -> usize {
        self.computing_level() - self.skipped
    }

    /// What the set was built from.
    #[must_use]
    pub const fn literal(&self) -> &ParamsLiteral {
        &self.literal
    }

    /// Identifies the set: a hash of everything in the literal.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the set is for tests only.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.literal.strength == Strength::Insecure
    }

    /// `log2(N)` of the big ring.
    #[must_use]
    pub const fn log_degree(&self) -> u32 {
        self.literal.log_degree
    }

    /// `N` of the big ring.
    #[must_use]
    pub const fn degree(&self) -> usize {
        1 << self.literal.log_degree
    }

    /// `log2(n)` of the edge ring.
    #[must_use]
    pub const fn log_edge_degree(&self) -> u32 {
        self.literal.log_edge_degree
    }

    /// `n` of the edge ring.
    #[must_use]
    pub const fn edge_degree(&self) -> usize {
        1 << self.literal.log_edge_degree
    }

    /// `log2(T)`.
    #[must_use]
    pub const fn log_tokens(&self) -> u32 {
        self.literal.log_tokens
    }

    /// `T`, the tokens of a sentence.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        1 << self.literal.log_tokens
    }

    /// The non-zero coefficients of the sparse secret of a bootstrap.
    #[must_use]
    pub const fn hamming_weight(&self) -> usize {
        self.literal.hamming_weight
    }

    /// All primes: terminals, mains, specials. Basis indices refer to this list.
    #[must_use]
    pub fn primes(&self) -> &[u32] {
        &self.primes[..self.prime_count]
    }

    /// The primes near `2^25`.
    #[must_use]
    pub const fn terminals(&self) -> Basis {
        Basis::range(0..self.literal.terminals.len())
    }

    /// The primes just below `2^30`.
    #[must_use]
    pub const fn mains(&self) -> Basis {
        let start = self.literal.terminals.len();
        Basis::range(start..start + self.literal.mains.len())
    }

    /// The primes that key switching adds.
    #[must_use]
    pub const fn specials(&self) -> Basis {
        Basis::range(self.prime_count - self.literal.specials.len()..self.prime_count)
    }

    /// The specials of keys under the sparse secret: the first two.
    #[must_use]
    pub const fn special_small(&self) -> Basis {
        let start = self.prime_count - self.literal.specials.len();
        Basis::range(start..start + 2)
    }

    /// The special of keys under the edge secret: the first.
    #[must_use]
    pub const fn edge_special(&self) -> Basis {
        let start = self.prime_count - self.literal.specials.len();
        Basis::single(start)
    }

    /// The digits of a key switch: terminals and mains in runs of equal length, the last one shorter.
    #[must_use]
    pub fn digits(&self) -> &[Basis] {
        &self.digits[..self.literal.digits]
    }

    /// The highest level.
    #[must_use]
    pub const fn max_level(&self) -> usize {
        self.literal.stages.total()
    }

    /// How many levels there are, the base among them.
    #[must_use]
    pub const fn level_count(&self) -> usize {
        self.max_level() + 1
    }

    /// The level at which slots must be for slots-to-coefficients to end in the base.
    #[must_use]
    pub const fn rows_level(&self) -> usize {
        self.literal.stages.slots_to_coeffs
    }

    /// The level that a bootstrap returns to.
    #[must_use]
    pub const fn computing_level(&self) -> usize {
        self.rows_level() + self.literal.stages.computing
    }

    /// Levels that the sine evaluation uses.
    #[must_use]
    pub const fn eval_mod_levels(&self) -> usize {
        self.literal.stages.eval_mod
    }

    /// Levels that coefficients-to-slots uses.
    #[must_use]
    pub const fn coeffs_to_slots_levels(&self) -> usize {
        self.literal.stages.coeffs_to_slots
    }

    /// The scale that computing levels keep: a power of two.
    #[must_use]
    pub fn default_scale(&self) -> f64 {
        libm::exp2(f64::from(self.literal.computing_bits))
    }

    /// The primes of the modulus `Q_level`.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub const fn basis(&self, level: usize) -> Basis {
        let (terminals, mains) = self.split(level);
        let start = self.literal.terminals.len();
        Basis::range(0..terminals).union(Basis::range(start..start + mains))
    }

    /// The primes of every level up to this one.
    #[must_use]
    pub fn basis_to(&self, level: usize) -> Basis {
        (0..=level).fold(Basis::EMPTY, |all, level| all.union(self.basis(level)))
    }

    /// The primes of the base, level 0.
    #[must_use]
    pub const fn base(&self) -> Basis {
        self.basis(0)
    }

    /// `log2(Q_level)`.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn log_q(&self, level: usize) -> f64 {
        self.basis(level).log2_product(self.primes())
    }

    /// `Q_level / Q_(level−1)`: what a rescale from `level` divides the scale by.
    ///
    /// # Panics
    /// If there is no such level, or it is the base.
    #[must_use]
    pub fn step(&self, level: usize) -> f64 {
        self.basis(level).product_ratio(self.basis(level - 1), self.primes())
    }

    /// `log2(QP)`, all primes together.
    #[must_use]
    pub fn log_qp(&self) -> f64 {
        Basis::range(0..self.prime_count).log2_product(self.primes())
    }

    /// The hard problems that the set rests on, one for each secret and the largest modulus that
    /// anything is encrypted with under it.
    #[must_use]
    pub fn instances(&self) -> [Instance; 3] {
        let log = |basis: Basis| basis.log2_product(self.primes());
        let sparse = SecretKind::Sparse { weight: self.hamming_weight() };
        let edge = self.base().union(self.edge_special());
        [
            Instance::new("big", self.log_degree(), SecretKind::Dense, self.log_qp()),
            Instance::new(
                "sparse",
                self.log_degree(),
                sparse,
                log(self.base().union(self.special_small())),
            ),
            Instance::new("edge", self.log_edge_degree(), SecretKind::Dense, log(edge)),
        ]
    }

    /// The scale of a product of rows and weights.
    #[must_use]
    pub fn product_scale(&self) -> f64 {
        libm::exp2(f64::from(self.literal.product_bits))
    }

    /// The scale of the rows of an upload, for weights of `frac_bits` fractional bits.
    #[must_use]
    pub fn row_scale(&self, frac_bits: u32) -> f64 {
        libm::ldexp(self.product_scale(), -frac_bits.cast_signed())
    }

    /// How many terminals and mains the modulus of `level` has.
    #[expect(clippy::cast_possible_truncation, reason = "there are at most 64 levels")]
    const fn split(&self, level: usize) -> (usize, usize) {
        let skipped = if level < self.computing_level() { 0 } else { self.skipped as u32 };
        let bits = self.literal.level_bits(level) - skipped * self.literal.computing_bits;
        ParamsLiteral::split_bits(bits)
    }

    fn check_levels(&self) -> Result<(), Error> {
        for level in 0..self.level_count() {
            let (terminals, mains) = self.literal.split(level);
            if terminals > self.literal.terminals.len() || mains > self.literal.mains.len() {
                return Err(Error::InvalidParameters("a level needs more primes than there are"));
            }
            let (bits, size) = match level.checked_sub(1) {
                None => (self.log_q(0), self.literal.level_bits(0)),
                Some(below) => {
                    let size = self.literal.level_bits(level) - self.literal.level_bits(below);
                    (self.log_q(level) - self.log_q(below), size)
                }
            };
            if (bits - f64::from(size)).abs() > chain::TOLERANCE_BITS {
                return Err(Error::InvalidParameters("a level is too far from its size"));
            }
        }
        let special = self.specials().log2_product(self.primes());
        if self.digits.iter().any(|d| d.log2_product(self.primes()) > special) {
            return Err(Error::InvalidParameters("the specials do not cover a digit"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
