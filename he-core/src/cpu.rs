//! The evaluator on real ciphertexts: CKKS in residue form, on whatever kernels and threads the
//! ring was given.

mod observe;
mod product;
mod refresh;
mod steps;

pub use observe::{Observer, Operation};
pub use refresh::{bootstrap_keys, bootstrap_sine, need_narrow_bootstrap};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use self::observe::Span;
use self::product::Products;
use crate::Error;
use crate::ciphertext::{Ciphertext, Plaintext, Side, pair};
use crate::complex::Complex;
use crate::encode::Encoder;
use crate::eval::steps::GiantSteps;
use crate::eval::{Evaluator, SCALE_TOLERANCE};
use crate::keyswitch::{BLOCK, EvaluationKeys, dot, rescale_pair};
use crate::modulus::Modulus;
use crate::params::Params;
use crate::ring::{
    Basis, Poly, Rescaler, Ring, galois_of_conjugation, galois_of_rotation, mul_i_limb,
};

/// The CKKS evaluator. It holds evaluation keys and no secret.
#[derive(Debug)]
pub struct Cpu {
    params: Params,
    ring: Arc<Ring>,
    encoder: Arc<Encoder>,
    keys: Arc<EvaluationKeys>,
    bootstrap: Option<Arc<refresh::Bootstrap>>,
    observer: Option<Arc<dyn Observer>>,
    /// Primes that encoded vectors have beside those of their level.
    spare: Basis,
}

/// An `adjust` multiplies by an integer of at least this size, so that the scale it reaches is
/// exact to within [`SCALE_TOLERANCE`].
const ADJUST_FACTOR: f64 = (1u64 << 36) as f64;

impl Cpu {
    /// An evaluator over `ring`, which must have the primes of `params`.
    ///
    /// # Errors
    /// If ring and parameters do not belong together.
    pub fn new(params: Params, ring: Ring, keys: EvaluationKeys) -> Result<Self, Error> {
        if ring.log_degree() != params.log_degree() || ring.primes() != params.primes() {
            return Err(Error::InvalidParameters("the ring is not that of the parameters"));
        }
        let encoder = Arc::new(Encoder::new(params.log_degree()));
        let (ring, keys) = (Arc::new(ring), Arc::new(keys));
        let spare = Basis::EMPTY;
        Ok(Self { params, ring, encoder, keys, bootstrap: None, observer: None, spare })
    }

    /// With these keys in place of those it has: transforms can be prepared before there are any.
    #[must_use]
    pub fn with_keys(self, keys: EvaluationKeys) -> Self {
        Self { keys: Arc::new(keys), ..self }
    }

    /// Another one with these keys, which shares the ring and what was prepared.
    #[must_use]
    pub fn sharing(&self, keys: EvaluationKeys) -> Self {
        let bootstrap = self.bootstrap.clone();
        Self { keys: Arc::new(keys), bootstrap, observer: None, ..self.alike() }
    }

    /// With somebody who is told of every operation.
    #[must_use]
    pub fn with_observer(self, observer: Box<dyn Observer>) -> Self {
        Self { observer: Some(observer.into()), ..self }
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The evaluation keys.
    #[must_use]
    pub fn keys(&self) -> &EvaluationKeys {
        &self.keys
    }

    /// An operation at a level begins, and ends when the result is dropped.
    fn span(&self, name: &'static str, level: usize, count: usize) -> Span<'_> {
        Span::begin(self.observer.as_deref(), || {
            let basis = self.params.basis(level);
            Operation { name, level, from: basis, to: basis, count, terms: 0 }
        })
    }

    /// An operation of `count` terms from some primes to others.
    fn span_to(
        &self,
        name: &'static str,
        level: usize,
        primes: [Basis; 2],
        count: usize,
    ) -> Span<'_> {
        let [from, to] = primes;
        Span::begin(self.observer.as_deref(), || Operation {
            name,
            level,
            from,
            to,
            count,
            terms: 0,
        })
    }

    /// A polynomial with small coefficients, in evaluation form at `level`.
    fn encode_poly(&self, coefficients: &[i64], level: usize) -> Poly {
        let basis = self.params.basis(level).union(self.spare);
        let mut poly = Poly::from_signed(&self.ring, basis, |i| coefficients[i]);
        poly.ntt_assign(&self.ring);
        poly
    }

    /// The ciphertext of which `f` writes the limbs, as by [`pair`].
    fn write(
        &self,
        level: usize,
        scale: f64,
        f: impl Fn(Side, usize, &mut [u32]) + Sync,
    ) -> Ciphertext {
        let [b, a] = pair(&self.ring, self.params.basis(level), f);
        Ciphertext { b, a, level, scale }
    }

    /// What `f(side, i, limb)` makes of each limb of a copy.
    fn map(
        &self,
        a: &Ciphertext,
        scale: f64,
        f: impl Fn(Side, usize, &mut [u32]) + Sync,
    ) -> Ciphertext {
        self.write(a.level, scale, |side, prime, limb| {
            limb.copy_from_slice(a.side(side).limb_at(prime));
            f(side, prime, limb);
        })
    }

    /// Multiplies both halves by an integer.
    fn mul_integer(&self, a: &Ciphertext, factor: i128, scale: f64) -> Ciphertext {
        self.map(a, scale, |_, prime, limb| {
            let q = self.ring.modulus(prime);
            self.ring.kernels().scale_assign(q, limb, q.factor(reduce_wide(q, factor)));
        })
    }

    /// The same plaintext at the same scale as `a`, with at least the primes of a lower or equal
    /// level.
    fn at_level<'a>(&self, a: &'a Ciphertext, level: usize) -> Result<Cow<'a, Ciphertext>, Error> {
        if level <= a.level && self.params.basis(level).is_subset(a.b.basis()) {
            return Ok(Cow::Borrowed(a));
        }
        Ok(Cow::Owned(self.drop_level(a, level)?))
    }

    /// What `f(q, left, right)` makes of the limbs of `a` and those of `b`, at the lower of their
    /// levels.
    fn combine(
        &self,
        a: &Ciphertext,
        b: &Ciphertext,
        f: impl Fn(Modulus, &mut [u32], &[u32]) + Sync,
    ) -> Result<Ciphertext, Error> {
        check_scales(a.scale, b.scale)?;
        let level = a.level.min(b.level);
        let (a, b) = (self.at_level(a, level)?, self.at_level(b, level)?);
        Ok(self.write(level, a.scale, |side, prime, limb| {
            limb.copy_from_slice(a.side(side).limb_at(prime));
            f(self.ring.modulus(prime), limb, b.side(side).limb_at(prime));
        }))
    }

    fn apply_galois(&self, a: &Ciphertext, galois: u32) -> Result<Ciphertext, Error> {
        let mut results = self.apply_many(a, &[galois])?;
        results.pop().ok_or(Error::WrongLength { expected: 1, found: 0 })
    }

    /// Automorphisms of one ciphertext, which is cut into digits once.
    fn apply_many(&self, a: &Ciphertext, galois: &[u32]) -> Result<Vec<Ciphertext>, Error> {
        let mut digits = None;
        let apply = |&galois: &u32| {
            if galois == 1 {
                return Ok(self.map(a, a.scale, |_, _, _| {}));
            }
            let entry = self.keys.galois(galois, a.a.basis())?;
            let cut = digits.get_or_insert_with(|| entry.key.decompose(&self.ring, &a.a));
            let kernels = self.ring.kernels();
            let [b, mask] = entry.key.apply(&self.ring, cut, |side, prime, limb| {
                if side == Side::B {
                    kernels.add_assign(self.ring.modulus(prime), limb, a.b.limb_at(prime));
                }
                let straight = limb.to_vec();
                kernels.gather(entry.automorphism.index(), &straight, limb);
            });
            Ok(Ciphertext { b, a: mask, ..*a })
        };
        galois.iter().map(apply).collect()
    }

    /// `Σ a_i · b_i`, not relinearised, at the lowest level of all operands.
    fn products<'a>(
        &self,
        pairs: &[(&'a Ciphertext, &'a Ciphertext)],
    ) -> Result<Products<'a>, Error> {
        let level = lowest(pairs)?;
        let (basis, scale) = (self.params.basis(level), pairs[0].0.scale * pairs[0].1.scale);
        let mut factors = Vec::with_capacity(pairs.len());
        for (x, y) in pairs {
            check_scales(scale, x.scale * y.scale)?;
            factors.push([self.at_level(x, level)?, self.at_level(y, level)?]);
        }
        Ok(Products { factors, basis, level, scale })
    }
}

impl Evaluator for Cpu {
    type Ciphertext = Ciphertext;
    type Plaintext = Plaintext;

    fn slots(&self) -> usize {
        self.ring.degree() / 2
    }

    fn default_scale(&self) -> f64 {
        self.params.default_scale()
    }

    fn step(&self, level: usize) -> f64 {
        self.params.step(level)
    }

    fn level(&self, a: &Ciphertext) -> usize {
        a.level
    }

    fn scale(&self, a: &Ciphertext) -> f64 {
        a.scale
    }

    fn with_scale(&self, a: &Ciphertext, scale: f64) -> Ciphertext {
        let _span = self.span("copy", a.level, 1);
        self.map(a, scale, |_, _, _| {})
    }

    fn encode(&self, values: &[Complex], level: usize, scale: f64) -> Result<Plaintext, Error> {
        let _span = self.span("encode", level, 1);
        let coefficients = self.encoder.coefficients(self.ring.threads(), values, scale)?;
        Ok(Plaintext { poly: self.encode_poly(&coefficients, level), level, scale })
    }

    fn add(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext, Error> {
        let _span = self.span("add", a.level.min(b.level), 1);
        self.combine(a, b, |q, left, right| self.ring.kernels().add_assign(q, left, right))
    }

    fn sub(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext, Error> {
        let _span = self.span("sub", a.level.min(b.level), 1);
        self.combine(a, b, |q, left, right| self.ring.kernels().sub_assign(q, left, right))
    }

    fn neg(&self, a: &Ciphertext) -> Ciphertext {
        let _span = self.span("neg", a.level, 1);
        self.map(a, a.scale, |_, prime, limb| {
            let q = self.ring.modulus(prime);
            limb.iter_mut().for_each(|x| *x = q.neg(*x));
        })
    }

    fn add_scalar(&self, a: &Ciphertext, value: f64) -> Ciphertext {
        let _span = self.span("add_scalar", a.level, 1);
        let constant = round_wide(value * a.scale);
        // A constant polynomial has the same value in every place.
        self.map(a, a.scale, |side, prime, limb| {
            if side == Side::B {
                let q = self.ring.modulus(prime);
                let constant = reduce_wide(q, constant);
                limb.iter_mut().for_each(|x| *x = q.add(*x, constant));
            }
        })
    }

    fn add_plain(&self, a: &Ciphertext, p: &Plaintext) -> Result<Ciphertext, Error> {
        let _span = self.span("add_plain", a.level, 1);
        check_scales(a.scale, p.scale)?;
        check_levels(a.level, p.level)?;
        Ok(self.map(a, a.scale, |side, prime, limb| {
            if side == Side::B {
                let q = self.ring.modulus(prime);
                self.ring.kernels().add_assign(q, limb, p.poly.limb_at(prime));
            }
        }))
    }

    fn mul_scalar(&self, a: &Ciphertext, value: f64, scale: f64) -> Ciphertext {
        let _span = self.span("mul_scalar", a.level, 1);
        self.mul_integer(a, round_wide(value * scale), a.scale * scale)
    }

    fn mul_i(&self, a: &Ciphertext) -> Ciphertext {
        let _span = self.span("mul_i", a.level, 1);
        self.map(a, a.scale, |_, prime, limb| mul_i_limb(&self.ring, prime, limb))
    }

    fn dot(&self, pairs: &[(&Ciphertext, &Ciphertext)]) -> Result<Ciphertext, Error> {
        let _span = self.span("dot", lowest(pairs)?, pairs.len());
        let (ring, products) = (&self.ring, self.products(pairs)?);
        let key = self.keys.relinearization(products.basis)?;
        let square = products.square(ring);
        let cut = key.decompose(ring, &square);
        let [b, a] = key.apply(ring, &cut, |side, prime, limb| {
            let q = ring.modulus(prime);
            products.for_each_block(ring, side, prime, |at, product| {
                ring.kernels().add_assign(q, &mut limb[at], product);
            });
        });
        Ok(Ciphertext { b, a, level: products.level, scale: products.scale })
    }

    fn dot_rescaled(&self, pairs: &[(&Ciphertext, &Ciphertext)]) -> Result<Ciphertext, Error> {
        let from = lowest(pairs)?;
        let level = from.checked_sub(1).ok_or(Error::LevelExhausted { needed: 1, left: from })?;
        let (basis, to) = (self.params.basis(from), self.params.basis(level));
        let _span = self.span_to("dot_rescaled", from, [basis, to], pairs.len());
        let (ring, products) = (&self.ring, self.products(pairs)?);
        let key = self.keys.relinearization(basis)?;
        let square = products.square(ring);
        let cut = key.decompose(ring, &square);
        // `P` times the sum, divided by `P` and what a rescale divides by.
        let gains: Vec<_> = basis.iter().map(|i| key.special_product(ring, i)).collect();
        let source = |side, prime: usize, at: Range<usize>, out: &mut [u32]| {
            key.product(ring, &cut, (side, prime, at.clone()), out);
            if let Some(rank) = basis.position(prime) {
                let (q, mut scratch) = (ring.modulus(prime), [0; BLOCK]);
                let scratch = &mut scratch[..out.len()];
                products.write(ring, (side, prime, at), scratch);
                ring.kernels().scale_assign(q, scratch, gains[rank]);
                ring.kernels().add_assign(q, out, scratch);
            }
        };
        let down = Rescaler::new(ring, basis.union(key.special), to);
        let [b, a] = rescale_pair(ring, &down, source, |_, _, _| {});
        Ok(Ciphertext { b, a, level, scale: products.scale / self.params.step(from) })
    }

    fn dot_plain(&self, pairs: &[(&Ciphertext, &Plaintext)]) -> Result<Ciphertext, Error> {
        let &(first, plain) = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?;
        let _span = self.span("dot_plain", first.level, pairs.len());
        let scale = first.scale * plain.scale;
        for (x, p) in pairs {
            check_scales(scale, x.scale * p.scale)?;
            check_levels(x.level, p.level)?;
            check_levels(x.level, first.level)?;
        }
        Ok(self.write(first.level, scale, |side, prime, limb| {
            let pairs = pairs.iter().map(|(x, p)| (x.side(side), &p.poly));
            let pairs = pairs.map(|(x, p)| (x.limb_at(prime), p.limb_at(prime)));
            dot(&self.ring, prime, limb, &pairs.collect::<Vec<_>>());
        }))
    }

    fn rescale(&self, a: &Ciphertext) -> Result<Ciphertext, Error> {
        let level =
            a.level.checked_sub(1).ok_or(Error::LevelExhausted { needed: 1, left: a.level })?;
        let (from, to) = (a.b.basis(), self.params.basis(level));
        let _span = self.span_to("rescale", a.level, [from, to], 1);
        let down = Rescaler::new(&self.ring, from, to);
        let source = |side, prime, at, out: &mut [u32]| {
            out.copy_from_slice(&a.side(side).limb_at(prime)[at]);
        };
        let [b, mask] = rescale_pair(&self.ring, &down, source, |_, _, _| {});
        Ok(Ciphertext { b, a: mask, level, scale: a.scale / self.params.step(a.level) })
    }

    fn adjust(&self, a: &Ciphertext, level: usize, scale: f64) -> Result<Ciphertext, Error> {
        let same_scale = check_scales(a.scale, scale).is_ok();
        if level == a.level && same_scale {
            return Ok(self.map(a, a.scale, |_, _, _| {}));
        }
        if level >= a.level {
            return Err(Error::LevelExhausted { needed: level + 1, left: a.level });
        }
        let (from, to) = (a.b.basis(), self.params.basis(level));
        if same_scale && from.union(to) == from {
            let _span = self.span("drop_level", level, 1);
            return Ok(self.write(level, a.scale, |side, prime, limb| {
                limb.copy_from_slice(a.side(side).limb_at(prime));
            }));
        }
        // Keep as few primes beyond `to` as a factor of the wanted size needs.
        let mut kept = from.intersection(to);
        let factor = |kept| scale / a.scale * self.ring.product_ratio(kept, to);
        for prime in from.difference(to).iter() {
            if factor(kept) >= ADJUST_FACTOR {
                break;
            }
            kept = kept.union(Basis::single(prime));
        }
        let _span = self.span_to("adjust", level, [kept, to], 1);
        let factor = round_wide(factor(kept));
        let down = Rescaler::new(&self.ring, kept, to);
        let source = |side, prime: usize, at, out: &mut [u32]| {
            let q = self.ring.modulus(prime);
            out.copy_from_slice(&a.side(side).limb_at(prime)[at]);
            self.ring.kernels().scale_assign(q, out, q.factor(reduce_wide(q, factor)));
        };
        let [b, mask] = rescale_pair(&self.ring, &down, source, |_, _, _| {});
        Ok(Ciphertext { b, a: mask, level, scale })
    }

    fn rotate_many(&self, a: &Ciphertext, steps: &[isize]) -> Result<Vec<Ciphertext>, Error> {
        let _span = self.span("rotate", a.level, steps.iter().filter(|&&step| step != 0).count());
        let galois = steps.iter().map(|&step| galois_of_rotation(self.ring.log_degree(), step));
        self.apply_many(a, &galois.collect::<Vec<_>>())
    }

    fn conjugate(&self, a: &Ciphertext) -> Result<Ciphertext, Error> {
        let _span = self.span("conjugate", a.level, 1);
        self.apply_galois(a, galois_of_conjugation(self.ring.log_degree()))
    }

    fn giant_steps(
        &self,
        a: &Ciphertext,
        steps: &GiantSteps<Plaintext>,
    ) -> Result<Ciphertext, Error> {
        self.sum_steps(a, steps)
    }
}

/// The lowest level of all operands.
fn lowest(pairs: &[(&Ciphertext, &Ciphertext)]) -> Result<usize, Error> {
    let levels = pairs.iter().flat_map(|(x, y)| [x.level, y.level]);
    levels.min().ok_or(Error::WrongLength { expected: 1, found: 0 })
}

fn check_scales(left: f64, right: f64) -> Result<(), Error> {
    if libm::fabs(left - right) <= SCALE_TOLERANCE * left {
        return Ok(());
    }
    Err(Error::ScaleMismatch { left, right })
}

fn check_levels(expected: usize, found: usize) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::WrongLength { expected, found }) }
}

/// `x` to the nearest integer. All constants here are far below `2^126`.
#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn round_wide(x: f64) -> i128 {
    libm::round(x) as i128
}

/// `x mod q` for a public constant.
fn reduce_wide(q: Modulus, x: i128) -> u32 {
    u32::try_from(x.rem_euclid(i128::from(q.value()))).unwrap_or(0)
}
