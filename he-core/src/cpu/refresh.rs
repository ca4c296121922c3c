//! The way between rows and slots on real ciphertexts.

use alloc::vec;
use alloc::vec::Vec;

use super::Cpu;
use crate::Error;
use crate::bootstrap::dft::{self, Dft, Setting};
use crate::bootstrap::eval_mod::EvalMod;
use crate::ciphertext::Ciphertext;
use crate::circuit::linear::Placement;
use crate::eval::Evaluator;
use crate::eval::refresh::{Halves, Refresh, Term, Weights};
use crate::keyswitch::KeyPlan;
use crate::linear::{
    EdgeAnswer, EdgePair, Rows, SeededUpload, answer, edge_ring, pack, receive, to_edge,
};
use crate::ntt::bit_reversed;
use crate::params::Params;
use crate::ring::{Converter, Poly, Ring};

/// The scale of a product of rows and weights. A value 1 is `q0 / 2^12`, so values up to 16 stay
/// below `q0 / 2^8`, where a sine is linear to 13 bits.
pub const PRODUCT_SCALE: f64 = (1u64 << 38) as f64;

/// The scale of the slots between `coeffs_to_slots` and `eval_mod`.
const SINE_SCALE: f64 = (1u64 << 50) as f64;

/// Multiples of `q0` that raising adds, at most: with a secret of weight 32 the probability that one
/// of 65,536 coefficients has more is `2^-138`.
const SINE_RANGE: u16 = 16;

/// What an answer is multiplied by before it is reduced to one prime.
const ANSWER_GAIN: f64 = (1u64 << 16) as f64;

/// What a bootstrap needs besides keys.
#[derive(Debug)]
pub(super) struct Bootstrap {
    edge: Ring,
    dft: Dft<Cpu>,
    eval_mod: EvalMod,
    /// The scale of rows before a product.
    row_scale: f64,
}

/// The keys of a bootstrap and of the linear layers; circuits add the rotations of their own.
///
/// # Errors
/// If the ring has too few slots.
pub fn bootstrap_keys(params: &Params) -> Result<KeyPlan, Error> {
    let (top, mut plan) = (params.max_level(), KeyPlan::new(params));
    for step in dft::rotations(params.degree() / 2)? {
        plan.need_rotation(params, step, top);
    }
    plan.need_conjugation(params, top - params.coeffs_to_slots_levels());
    Ok(plan)
}

impl Cpu {
    /// Prepares the transforms for models whose weights have `frac_bits` fractional bits.
    ///
    /// # Errors
    /// If a diagonal does not fit its encoding.
    pub fn with_bootstrap(mut self, frac_bits: u32) -> Result<Self, Error> {
        let eval_mod = EvalMod::new(SINE_RANGE, 3, 31)?;
        let row_scale = libm::ldexp(PRODUCT_SCALE, -frac_bits.cast_signed());
        let top = self.params.max_level();
        let to_slots = Setting {
            at: Placement {
                level: top,
                input_scale: self.base_product() * f64::from(SINE_RANGE),
                to_scale: SINE_SCALE,
            },
            // A real part is half the sum of a slot and its conjugate.
            constant: 0.5,
        };
        let to_coeffs = Setting {
            at: Placement {
                level: self.params.rows_level(),
                input_scale: self.default_scale(),
                to_scale: row_scale,
            },
            constant: 1.0,
        };
        let dft = Dft::new(&self, to_slots, to_coeffs)?;
        let edge = edge_ring(&self.ring, &self.params)?;
        self.bootstrap = Some(Bootstrap { edge, dft, eval_mod, row_scale });
        Ok(self)
    }

    /// Rows of uploaded ciphertexts, `n/T` each.
    ///
    /// # Errors
    /// If an upload does not fit the parameters.
    pub fn receive(&self, uploads: &[SeededUpload]) -> Result<Rows, Error> {
        let bootstrap = self.bootstrap()?;
        receive(&bootstrap.edge, &self.params, uploads, bootstrap.row_scale)
    }

    /// The edge ciphertext that holds rows `ρ < n/T` of `z`, for the device: token `t` of row `ρ` is
    /// at coefficient [`Self::answer_position`].
    ///
    /// # Errors
    /// If the level is too low.
    pub fn answer(&self, z: &Ciphertext) -> Result<EdgeAnswer, Error> {
        let bootstrap = self.bootstrap()?;
        let gained = self.with_scale(&self.mul_scalar(z, ANSWER_GAIN, 1.0), z.scale);
        let pairs = self.to_edge(&gained)?;
        let first = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?;
        Ok(answer(&bootstrap.edge, first, bootstrap.row_scale * ANSWER_GAIN))
    }

    /// The coefficient of row `row`, token 0, in an [`EdgeAnswer`]; `row` is below `n/T`.
    #[must_use]
    pub fn answer_position(&self, row: usize) -> usize {
        let stride = self.ring.degree() >> self.params.log_edge_degree();
        bit_reversed(row, self.rows_per_pack()) / stride
    }

    fn bootstrap(&self) -> Result<&Bootstrap, Error> {
        self.bootstrap.as_ref().ok_or(Error::InvalidParameters("no transforms were prepared"))
    }

    /// `q0`, exactly.
    fn base_product(&self) -> f64 {
        self.params.base().iter().map(|i| f64::from(self.params.primes()[i])).product()
    }

    /// Slots to coefficients, and from the big ring to the edge ring.
    fn to_edge(&self, z: &Ciphertext) -> Result<Vec<EdgePair>, Error> {
        let z = self.adjust(z, self.params.rows_level(), self.default_scale())?;
        let low = self.bootstrap()?.dft.slots_to_coeffs.apply(self, &z)?;
        to_edge(&self.ring, &self.params, &self.keys, &low.b, &low.a)
    }

    /// From the base modulus to the whole chain: the slots of the result, read as coefficients, are
    /// `(m + q0·I) / (q0·range)`.
    fn raise(&self, b: &Poly, a: &Poly) -> Result<Ciphertext, Error> {
        let level = self.params.max_level();
        let (base, all) = (self.params.base(), self.params.basis(level));
        let up = Converter::new(&self.ring, base, all.difference(base));
        let lift = |poly: &Poly| {
            let mut coefficients = poly.clone();
            coefficients.inverse_ntt_assign(&self.ring);
            up.extend(&self.ring, &coefficients, poly)
        };
        // The mask is still under the ephemeral secret.
        let (mut switched, mask) =
            self.keys.raise(self.params.basis(level))?.switch(&self.ring, &lift(a));
        switched.add_assign(&self.ring, &lift(b));
        let scale = self.base_product() * f64::from(SINE_RANGE);
        Ok(Ciphertext { b: switched, a: mask, level, scale })
    }

    /// The scale at which `eval_mod` has to end, so that its sine read as values of rows of `scale`
    /// is at the default scale.
    fn sine_scale(&self, scale: f64) -> f64 {
        self.default_scale() * self.base_product() / (2.0 * core::f64::consts::PI * scale)
    }
}

impl Refresh for Cpu {
    type Rows = Rows;

    fn tokens(&self) -> usize {
        self.params.tokens()
    }

    fn row_count(&self, rows: &Rows) -> usize {
        rows.count()
    }

    fn select(&self, rows: &Rows, sums: &[Vec<Term>]) -> Result<Rows, Error> {
        rows.select(&self.ring, self.params.base(), sums)
    }

    fn concat(&self, a: &Rows, b: &Rows) -> Result<Rows, Error> {
        super::check_scales(a.scale, b.scale)?;
        Ok(a.concat(b))
    }

    fn add_rows(&self, a: &Rows, b: &Rows) -> Result<Rows, Error> {
        super::check_scales(a.scale, b.scale)?;
        a.add(&self.ring, self.params.base(), b)
    }

    fn add_constants(&self, a: &Rows, constants: &[(usize, f64)]) -> Result<Rows, Error> {
        let scaled = constants.iter().map(|&(row, value)| {
            let x = libm::round(value * a.scale);
            if libm::fabs(x) >= self.base_product() / 2.0 {
                return Err(Error::ValueOutOfRange);
            }
            #[expect(clippy::cast_possible_truncation, reason = "below q0, 50 bits")]
            let x = x as i64;
            Ok((row, x))
        });
        a.add_constants(&self.ring, self.params.base(), &scaled.collect::<Result<Vec<_>, _>>()?)
    }

    fn matmul(&self, x: &Rows, weights: &Weights) -> Result<Rows, Error> {
        x.matmul(&self.ring, self.params.base(), weights)
    }

    fn slots_to_rows(&self, z: &Ciphertext) -> Result<Rows, Error> {
        let pairs = self.to_edge(z)?;
        let rows = Rows::from_edge(&self.params, &pairs, self.bootstrap()?.row_scale);
        // Big row `i + stride·f` is row `f` of edge ciphertext `i`.
        let (count, stride) = (rows.count(), pairs.len());
        let at = |row: usize| {
            let offset = bit_reversed(row, count);
            Term { row: offset % stride * (count / stride) + offset / stride, shift: 0 }
        };
        self.select(&rows, &(0..count).map(|row| vec![at(row)]).collect::<Vec<_>>())
    }

    fn rows_level(&self) -> usize {
        self.params.rows_level()
    }

    fn rows_to_slots(&self, rows: &Rows, halves: Halves) -> Result<Vec<Ciphertext>, Error> {
        let bootstrap = self.bootstrap()?;
        let (b, a) = pack(&self.ring, &self.params, &self.keys, rows)?;
        let raised = self.raise(&b, &a)?;
        let slots = bootstrap.dft.coeffs_to_slots.apply(self, &raised)?;
        let conjugate = self.conjugate(&slots)?;
        let mut parts = vec![self.add(&slots, &conjugate)?];
        if halves == Halves::Both {
            parts.push(self.mul_i(&self.sub(&conjugate, &slots)?));
        }
        let sine = |part: &Ciphertext| {
            let sine = bootstrap.eval_mod.apply(self, part, self.sine_scale(rows.scale))?;
            Ok(self.with_scale(&sine, self.default_scale()))
        };
        parts.iter().map(sine).collect()
    }
}
