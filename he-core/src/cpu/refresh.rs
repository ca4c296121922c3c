//! The way between rows and slots on real ciphertexts.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::Cpu;
use crate::Error;
use crate::bootstrap::dft::{self, Dft, Setting, Transform};
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

/// Multiples of `q0` that raising adds, at most: with a secret of weight 32 the probability that one
/// of 65,536 coefficients has more is `2^-138`.
const SINE_RANGE: u16 = 16;

/// The scale of an answer before it is reduced to one prime of 25 bits: values up to 32 fit then.
const ANSWER_SCALE: f64 = (1u64 << 44) as f64;
const ANSWER_BOUND: f64 = 32.0;

const UNPREPARED: &str = "no transforms were prepared";

/// What a bootstrap needs besides keys.
#[derive(Debug)]
pub(super) struct Bootstrap {
    edge: Ring,
    dft: Dft<Cpu>,
    /// By the number of rows.
    narrow: BTreeMap<usize, Transform<Cpu>>,
    eval_mod: EvalMod,
    /// The scale of rows before a product.
    row_scale: f64,
}

/// The sine of every bootstrap.
///
/// # Errors
/// None: a bootstrap needs it.
pub fn bootstrap_sine() -> Result<EvalMod, Error> {
    EvalMod::new(SINE_RANGE, 3, 31)
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

/// The keys that a bootstrap of only `rows` rows needs besides those of [`bootstrap_keys`].
///
/// # Errors
/// If the rows have too few slots.
pub fn need_narrow_bootstrap(
    params: &Params,
    plan: &mut KeyPlan,
    rows: usize,
) -> Result<(), Error> {
    let period = rows * params.tokens() / 2;
    let transform = dft::narrow_rotations(params.degree() / 2, period)?;
    for step in transform.into_iter().chain(traces(params, period)) {
        plan.need_rotation(params, step, params.max_level());
    }
    Ok(())
}

/// Rotations whose sums, one after another, make slots repeat after `period`: the trace to a subring.
fn traces(params: &Params, period: usize) -> impl Iterator<Item = isize> + use<> {
    let slots = params.degree() / 2;
    core::iter::successors(Some(period), |step| Some(2 * step))
        .take_while(move |&step| step < slots)
        .map(usize::cast_signed)
}

impl Cpu {
    /// Prepares the transforms for models whose weights have `frac_bits` fractional bits.
    ///
    /// # Errors
    /// If a diagonal does not fit its encoding.
    pub fn with_bootstrap(mut self, frac_bits: u32) -> Result<Self, Error> {
        let eval_mod = bootstrap_sine()?;
        let row_scale = self.params.row_scale(frac_bits);
        let top = self.params.max_level();
        let to_slots = Setting {
            at: Placement {
                level: top,
                input_scale: self.raised_scale(),
                to_scale: self.sine_step(),
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
        let dft = Dft {
            coeffs_to_slots: Transform::coeffs_to_slots(&self.for_every_chain(), to_slots)?,
            slots_to_coeffs: Transform::slots_to_coeffs(&self, to_coeffs)?,
        };
        let edge = edge_ring(&self.ring, &self.params)?;
        let bootstrap = Bootstrap { edge, dft, narrow: BTreeMap::new(), eval_mod, row_scale };
        self.bootstrap = Some(Arc::new(bootstrap));
        Ok(self)
    }

    /// Prepares bootstraps of `rows` rows, a power of two below [`Refresh::rows_per_pack`]: the
    /// modulus is raised as for more rows, the trace to the subring in which the rows lie removes all
    /// other coefficients, and a transform of that subring with few diagonals follows.
    ///
    /// # Errors
    /// If [`Self::with_bootstrap`] did not come before or another one shares what it prepared, or the rows are too few
    /// or too many.
    pub fn with_narrow_bootstrap(mut self, rows: usize) -> Result<Self, Error> {
        let all = self.rows_per_pack();
        if !rows.is_power_of_two() || rows >= all {
            return Err(Error::WrongLength { expected: all / 2, found: rows });
        }
        let input_scale = self.raised_scale() * exact((all / rows).trailing_zeros());
        let at =
            Placement { level: self.params.max_level(), input_scale, to_scale: self.sine_step() };
        let period = rows * self.params.tokens() / 2;
        let setting = Setting { at, constant: 0.5 };
        let transform =
            Transform::narrow_coeffs_to_slots(&self.for_every_chain(), period, setting)?;
        let bootstrap = self.bootstrap.as_mut().and_then(Arc::get_mut);
        let bootstrap = bootstrap.ok_or(Error::InvalidParameters(UNPREPARED))?;
        bootstrap.narrow.insert(rows, transform);
        Ok(self)
    }

    /// Rows of uploaded ciphertexts, `n/T` each.
    ///
    /// # Errors
    /// If an upload does not fit the parameters.
    pub fn receive(&self, uploads: &[SeededUpload]) -> Result<Rows, Error> {
        let _span = self.span("receive", 0, uploads.len());
        let bootstrap = self.bootstrap()?;
        receive(&bootstrap.edge, &self.params, uploads, bootstrap.row_scale)
    }

    /// The edge ciphertext that holds rows `ρ < n/T` of `z`, for the device: token `t` of row `ρ` is
    /// at coefficient [`Self::answer_position`].
    ///
    /// # Errors
    /// If the level is too low.
    pub fn answer(&self, z: &Ciphertext) -> Result<EdgeAnswer, Error> {
        let _span = self.span("answer", z.level, 1);
        let pairs = self.to_answers(z, ANSWER_SCALE)?;
        let first = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?;
        Ok(answer(&self.bootstrap()?.edge, first, ANSWER_SCALE))
    }

    /// All slots for the owner of the edge secret, where [`crate::linear::answer_slot`] says; the values'
    /// magnitude is below `bound`, a power of two of at most 32.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn answers(&self, z: &Ciphertext, bound: f64) -> Result<Vec<EdgeAnswer>, Error> {
        let _span = self.span("answers", z.level, 1);
        let (edge, scale) = (&self.bootstrap()?.edge, ANSWER_SCALE * (ANSWER_BOUND / bound));
        let pairs = self.to_answers(z, scale)?;
        Ok(pairs.iter().map(|pair| answer(edge, pair, scale)).collect())
    }

    /// Rows for the owner of the edge secret, one answer each: token `t` is at coefficient `t·n/T`. The values'
    /// magnitude is below `bound`, a power of two of at most 32. No key is used.
    ///
    /// # Errors
    /// If no transforms were prepared.
    pub fn row_answers(&self, rows: &Rows, bound: f64) -> Result<Vec<EdgeAnswer>, Error> {
        let _span = self.span("row_answers", 0, rows.count());
        let edge = &self.bootstrap()?.edge;
        let mut factor = 1;
        while f64::from(2 * factor) * rows.scale * bound <= ANSWER_SCALE * ANSWER_BOUND {
            factor *= 2;
        }
        let one = |row| {
            let pair = rows.to_edge(&self.ring, self.params.base(), row, factor);
            answer(edge, &pair, rows.scale * f64::from(factor))
        };
        Ok((0..rows.count()).map(one).collect())
    }

    /// Edge ciphertexts whose values are multiplied by `scale`.
    fn to_answers(&self, z: &Ciphertext, scale: f64) -> Result<Vec<EdgePair>, Error> {
        let gained = self.mul_scalar(z, scale / self.bootstrap()?.row_scale, 1.0);
        self.to_edge(&self.with_scale(&gained, z.scale))
    }

    /// The coefficient of row `row`, token 0, in an [`EdgeAnswer`]; `row` is below `n/T`.
    #[must_use]
    pub fn answer_position(&self, row: usize) -> usize {
        let stride = self.ring.degree() >> self.params.log_edge_degree();
        bit_reversed(row, self.rows_per_pack()) / stride
    }

    fn bootstrap(&self) -> Result<&Bootstrap, Error> {
        self.bootstrap.as_deref().ok_or(Error::InvalidParameters(UNPREPARED))
    }

    /// `q0`, exactly.
    fn base_product(&self) -> f64 {
        self.params.base().iter().map(|i| f64::from(self.params.primes()[i])).product()
    }

    /// Slots to coefficients, and from the big ring to the edge ring.
    fn to_edge(&self, z: &Ciphertext) -> Result<Vec<EdgePair>, Error> {
        let z = self.adjust(z, self.params.rows_level(), self.default_scale())?;
        let transform = &self.bootstrap()?.dft.slots_to_coeffs;
        let low = {
            let _span = self.span("slots_to_coeffs", z.level, 1);
            transform.apply(self, &z)?
        };
        let _span = self.span("to_edge", 0, 1);
        to_edge(&self.ring, &self.params, &self.keys, &low.b, &low.a)
    }

    /// Packs rows and takes them from the base modulus to the whole chain: the slots of the result,
    /// read as coefficients, are `(m + q0·I) / (q0·range)`.
    fn raise(&self, rows: &Rows) -> Result<Ciphertext, Error> {
        let (b, a) = {
            let _span = self.span("pack", 0, rows.count());
            pack(&self.ring, &self.params, &self.keys, rows)?
        };
        let level = self.params.max_level();
        let (base, all) = (self.params.base(), self.params.basis(level));
        let _span = self.span_to("raise", level, [base, all], 1);
        let up = Converter::new(&self.ring, base, all.difference(base));
        let lift = |poly: &Poly| up.extend(&self.ring, poly);
        // The mask is still under the ephemeral secret.
        // The base is not always part of the chain.
        let a = lift(&a).restrict(&self.ring, all);
        let [mut switched, mask] = self.keys.raise(all)?.switch(&self.ring, &a);
        switched.add_assign(&self.ring, &lift(&b));
        Ok(Ciphertext { b: switched, a: mask, level, scale: self.raised_scale() })
    }

    /// The evaluator on the chain of a bootstrap that returns to `level`.
    fn returning_to(&self, level: usize) -> Result<Self, Error> {
        Ok(Self { params: self.params.returning_to(level)?, ..self.alike() })
    }

    /// An evaluator whose encoded vectors serve every chain.
    fn for_every_chain(&self) -> Self {
        Self { spare: self.ring.basis(), ..self.alike() }
    }

    /// The same ring and keys without transforms.
    pub(super) fn alike(&self) -> Self {
        Self {
            params: self.params.clone(),
            ring: Arc::clone(&self.ring),
            encoder: Arc::clone(&self.encoder),
            keys: Arc::clone(&self.keys),
            bootstrap: None,
            observer: self.observer.clone(),
            spare: self.spare,
        }
    }

    /// Coefficients of packed rows, where slots have them, to slots, on a shorter chain.
    fn raise_to_slots(&self, chain: &Self, rows: &Rows) -> Result<Ciphertext, Error> {
        let (count, all) = (rows.count(), self.rows_per_pack());
        if !count.is_power_of_two() || count > all {
            return Err(Error::WrongLength { expected: all, found: count });
        }
        let bootstrap = self.bootstrap()?;
        let narrow = bootstrap.narrow.get(&count);
        let place = |index: usize| match narrow {
            Some(_) if index >= count => Vec::new(),
            _ => vec![Term { row: index % count, shift: 0 }],
        };
        let places = || (0..all).map(place).collect::<Vec<_>>();
        let padded = (count < all).then(|| self.select(rows, &places())).transpose()?;
        let mut slots = chain.raise(padded.as_ref().unwrap_or(rows))?;
        if narrow.is_some() {
            let _span = self.span("trace", slots.level, 1);
            for step in traces(&self.params, count * self.params.tokens() / 2) {
                slots = chain.add(&slots, &chain.rotate(&slots, step)?)?;
            }
            slots.scale *= exact((all / count).trailing_zeros());
        }
        let _span = self.span("coeffs_to_slots", slots.level, 1);
        let slots = narrow.unwrap_or(&bootstrap.dft.coeffs_to_slots).apply(chain, &slots)?;
        // The diagonals are for the steps of the whole chain.
        let steps = |cpu: &Self| -> f64 {
            (slots.level + 1..=self.params.max_level()).map(|level| cpu.step(level)).product()
        };
        Ok(chain.with_scale(&slots, slots.scale * steps(self) / steps(chain)))
    }

    fn raised_scale(&self) -> f64 {
        self.base_product() * f64::from(SINE_RANGE)
    }

    /// The scale of the slots between `coeffs_to_slots` and `eval_mod`.
    fn sine_step(&self) -> f64 {
        libm::exp2(f64::from(self.params.literal().bootstrap_bits))
    }

    /// The two halves of the transformed coefficients, reduced modulo `q0`, for rows of `scale`.
    fn sines(
        &self,
        eval_mod: &EvalMod,
        slots: &Ciphertext,
        halves: Halves,
        scale: f64,
    ) -> Result<Vec<Ciphertext>, Error> {
        let conjugate = self.conjugate(slots)?;
        let mut parts = vec![self.add(slots, &conjugate)?];
        if halves == Halves::Both {
            parts.push(self.mul_i(&self.sub(&conjugate, slots)?));
        }
        let sine = |part: &Ciphertext| {
            let _span = self.span("eval_mod", part.level, 1);
            let sine = eval_mod.apply(self, part, self.sine_scale(scale))?;
            Ok(self.with_scale(&sine, self.default_scale()))
        };
        parts.iter().map(sine).collect()
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
        let _span = self.span("select", 0, sums.iter().map(Vec::len).sum());
        rows.select(&self.ring, self.params.base(), sums)
    }

    fn concat(&self, a: &Rows, b: &Rows) -> Result<Rows, Error> {
        let _span = self.span("concat", 0, a.count() + b.count());
        super::check_scales(a.scale, b.scale)?;
        Ok(a.concat(&self.ring, b))
    }

    fn add_rows(&self, a: &Rows, b: &Rows) -> Result<Rows, Error> {
        let _span = self.span("add_rows", 0, a.count());
        super::check_scales(a.scale, b.scale)?;
        a.add(&self.ring, self.params.base(), b)
    }

    fn add_constants(&self, a: &Rows, constants: &[(usize, f64)]) -> Result<Rows, Error> {
        let _span = self.span("add_constants", 0, a.count());
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
        let _span = self.span("matmul", 0, weights.entries.iter().filter(|&&w| w != 0).count());
        x.matmul(&self.ring, self.params.base(), weights)
    }

    fn slots_to_rows(&self, z: &Ciphertext) -> Result<Rows, Error> {
        let _span = self.span("slots_to_rows", z.level, 1);
        let pairs = self.to_edge(z)?;
        // Big row `i + stride·f` is row `f` of edge ciphertext `i`.
        let (count, stride) = (self.rows_per_pack(), pairs.len());
        let place = |row: usize| {
            let offset = bit_reversed(row, count);
            offset % stride * (count / stride) + offset / stride
        };
        let _span = self.span("from_edge", 0, count);
        let scale = self.bootstrap()?.row_scale;
        Ok(Rows::from_edge(&self.ring, &self.params, &pairs, scale, place))
    }

    fn rows_level(&self) -> usize {
        self.params.rows_level()
    }

    fn computing_level(&self) -> usize {
        self.params.computing_level()
    }

    fn rows_to_slots_at(
        &self,
        rows: &Rows,
        halves: Halves,
        level: usize,
    ) -> Result<Vec<Ciphertext>, Error> {
        let _span = self.span("rows_to_slots", self.params.max_level(), rows.count());
        let chain = self.returning_to(level)?;
        let slots = self.raise_to_slots(&chain, rows)?;
        let parts = chain.sines(&self.bootstrap()?.eval_mod, &slots, halves, rows.scale)?;
        let end = chain.params.returns_to();
        let lower = |part| self.drop_level(&Ciphertext { level: end, ..part }, level);
        parts.into_iter().map(lower).collect()
    }
}

/// `2^exponent`.
fn exact(exponent: u32) -> f64 {
    libm::ldexp(1.0, exponent.cast_signed())
}
