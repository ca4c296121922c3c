//! Gaussian-kernel attention of every token to every token, all pairs at once.
//!
//! `out_i = Σ_j exp(−|q_i − k_j|²) v_j` in every head; the kernel's width is folded into the
//! matrices, and padding has `v_j = 0`.
//!
//! A pack has room for `C = K / (H·D)` copies of all features: rows `h + H·(c + C·f)`. Copy `c` of
//! keys and values is shifted by `c` tokens, so that token `t` of it is token `t + c`. The other
//! pairs come from `G = T / C` *variants*: token `t` replaced by `t xor g·C`, which exchanges the
//! halves for the top bit and is a rotation by a few slots for the others, since tokens are bit
//! reversed. What passes token `T` in a shift changes its sign; the variants' masks change it back.
//!
//! Distances are sums over features, of `G` variants, in slots that hold one number for each
//! feature. So variant `g` takes the positions `f ≡ g (mod G)`, one ciphertext holds all distances,
//! lower tokens in the real part and upper ones in the imaginary part, and two polynomials
//! evaluate `T²·H` exponentials.
//!
//! The Gaussian kernel is that of Rho et al., *Encryption-Friendly LLM Architecture* (ICLR 2025),
//! section 4.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::complex::Complex;
use he_core::ntt::bit_reversed;
use he_core::refresh::{Halves, Refresh, Term};

use crate::Error;
use crate::approx::exponential;
use crate::layout::{Layout, row, sum_rotations};
use crate::model::Config;

/// The digits.
const HEAD: usize = 0;
const COPY: usize = 1;
const FEATURE: usize = 2;

/// A ciphertext for tokens below `T/2` and one for the others.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Both<E: Refresh> {
    /// Tokens below `T/2`.
    pub low: E::Ciphertext,
    /// The others.
    pub high: E::Ciphertext,
}

/// The layout of the three packs, and how many pairs they hold.
#[derive(Clone, Copy, Debug)]
pub struct WideAttention {
    layout: Layout<3>,
    tokens: usize,
    variants: usize,
}

/// Queries, keys and values in slots.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Packs<E: Refresh> {
    /// Every copy the same.
    pub queries: Both<E>,
    /// Copies shifted.
    pub keys: Both<E>,
    /// Copies shifted.
    pub values: Both<E>,
}

impl WideAttention {
    /// The layout for this model.
    ///
    /// # Errors
    /// If the model does not fill a pack, or has too few features for its variants.
    pub fn new<E: Refresh>(eval: &E, config: &Config) -> Result<Self, Error> {
        let rows = eval.rows_per_pack();
        let copies = rows / config.width;
        let sizes = [config.heads, copies, config.head_width()];
        let layout = Layout::new(sizes, config.tokens, rows)?;
        let variants = config.tokens / copies.max(1);
        if variants < 2 || !config.head_width().is_multiple_of(variants) {
            return Err(Error::Unsupported("copies and features do not cover all pairs"));
        }
        Ok(Self { layout, tokens: config.tokens, variants })
    }

    /// Bootstraps rows of projections: queries, keys and values, `d` each, in this order.
    ///
    /// # Errors
    /// If a key is missing or rows do not fit.
    pub fn packs<E: Refresh>(&self, eval: &E, projections: &E::Rows) -> Result<Packs<E>, Error> {
        let [heads, depth] = [HEAD, FEATURE].map(|digit| self.layout.size(digit));
        let pack = |first: usize, is_shifted: bool| {
            let sums = self.layout.pack(|[h, c, f]| {
                let shift = if is_shifted { (2 * self.tokens - c) % (2 * self.tokens) } else { 0 };
                alloc::vec![Term { row: first + h * depth + f, shift }]
            });
            let slots = eval.rows_to_slots(&eval.select(projections, &sums)?, Halves::Both)?;
            let Ok([low, high]) = <[_; 2]>::try_from(slots) else {
                return Err(Error::Unsupported("not two halves came back"));
            };
            Ok(Both { low, high })
        };
        Ok(Packs {
            queries: pack(0, false)?,
            keys: pack(heads * depth, true)?,
            values: pack(2 * heads * depth, true)?,
        })
    }

    /// The attention's output: rows of `d` features, and the level that was reached.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn attend<E: Refresh>(
        &self,
        eval: &E,
        packs: &Packs<E>,
        largest_exponent: f64,
    ) -> Result<(E::Rows, usize), Error> {
        let exp = exponential(largest_exponent)?;
        let keys = self.all_variants(eval, &packs.keys, eval.scale(&packs.queries.low))?;
        let distances = self.distances(eval, &packs.queries, &keys)?;
        drop(keys);
        let level = eval.level(&distances[0]) - 1;
        let input = polynomial::input_scale(eval, level, exp.domain());
        // Halved, because both parts come doubled from sums with the conjugate.
        let merged = self.merged(eval, &distances, input / 2.0)?;
        drop(distances);
        let conjugate = eval.conjugate(&merged)?;
        let low = eval.add(&merged, &conjugate)?;
        let high = eval.mul_i(&eval.sub(&conjugate, &merged)?);
        let kernel = |x: &E::Ciphertext| {
            let x = eval.with_scale(x, 2.0 * eval.scale(x));
            let y = polynomial::evaluate(eval, &x, &exp, eval.default_scale())?;
            self.spread(eval, &y)
        };
        let (low, high) = (kernel(&low)?, kernel(&high)?);

        let level = eval.level(&low[0]) + 1;
        let values = Both::<E> {
            low: eval.drop_level(&packs.values.low, level)?,
            high: eval.drop_level(&packs.values.high, level)?,
        };
        let values = self.all_variants(eval, &values, eval.default_scale())?;
        let high: Vec<_> = high.iter().map(|a| eval.mul_i(a)).collect();
        let mut pairs = Vec::new();
        for (g, (low, high)) in low.iter().zip(&high).enumerate() {
            let [for_low, for_high] = self.sources(&values, g);
            pairs.extend([(low, for_low), (high, for_high)]);
        }
        let out = eval.dot_rescaled(&pairs)?;
        let rows = eval.slots_to_rows(&out)?;
        let depth = self.layout.size(FEATURE);
        let sums: Vec<Vec<_>> = (0..self.layout.size(HEAD) * depth)
            .map(|i| {
                let copies = 0..self.layout.size(COPY);
                copies.map(|c| row(self.layout.row([i / depth, c, i % depth]))).collect()
            })
            .collect();
        Ok((eval.select(&rows, &sums)?, eval.level(&out)))
    }

    /// For variant `g`: what meets the lower and what meets the upper tokens. Variants beyond
    /// `G/2` exchange the halves.
    fn sources<'a, E: Refresh>(&self, variants: &'a [Both<E>], g: usize) -> [&'a E::Ciphertext; 2] {
        let half = self.variants / 2;
        let Both { low, high } = &variants[g % half];
        if g < half { [low, high] } else { [high, low] }
    }

    /// `G/2` variants of both halves, one level down, at the scale `to`.
    fn all_variants<E: Refresh>(
        &self,
        eval: &E,
        pack: &Both<E>,
        to: f64,
    ) -> Result<Vec<Both<E>>, Error> {
        let low = self.variants_of(eval, &pack.low, 0, to)?;
        let high = self.variants_of(eval, &pack.high, self.tokens / 2, to)?;
        Ok(low.into_iter().zip(high).map(|(low, high)| Both { low, high }).collect())
    }

    /// Slot `τ xor x` in the place of slot `τ`, for each `x` below `G/2`, with the sign of what a
    /// shift wrapped around changed back. `first` is the half's first token.
    fn variants_of<E: Refresh>(
        &self,
        eval: &E,
        a: &E::Ciphertext,
        first: usize,
        to: f64,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let half = self.variants / 2;
        let steps: Vec<isize> = (1 - half.cast_signed()..half.cast_signed()).collect();
        let rotated = eval.rotate_many(a, &steps)?;
        let scale = to * eval.step(eval.level(a)) / eval.scale(a);
        let variant = |x: usize| {
            let mut masks = Vec::new();
            for (&step, rotated) in steps.iter().zip(&rotated) {
                if let Some(mask) = self.variant_mask(x, step, first) {
                    masks.push((rotated, eval.encode(&mask, eval.level(a), scale)?));
                }
            }
            let pairs: Vec<_> = masks.iter().map(|(a, mask)| (*a, mask)).collect();
            Ok(eval.rescale(&eval.dot_plain(&pairs)?)?)
        };
        (0..half).map(variant).collect()
    }

    /// Where `τ xor x = τ + step`: the sign of the source there, and 0 elsewhere.
    fn variant_mask(&self, x: usize, step: isize, first: usize) -> Option<Vec<Complex>> {
        let half = self.tokens / 2;
        let source = |token: usize| bit_reversed(token, half) ^ x;
        let is_here = |token: usize| {
            source(token).cast_signed() - bit_reversed(token, half).cast_signed() == step
        };
        if !(0..half).any(is_here) {
            return None;
        }
        Some(self.layout.values(|[_, c, _], token| {
            let shifted = first + bit_reversed(source(token), half) + c;
            match (is_here(token), shifted < self.tokens) {
                (false, _) => 0.0,
                (true, true) => 1.0,
                (true, false) => -1.0,
            }
        }))
    }

    /// `(q − k)²` of every variant, lower tokens in the real part and upper ones in the imaginary.
    fn distances<E: Refresh>(
        &self,
        eval: &E,
        queries: &Both<E>,
        keys: &[Both<E>],
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let level = eval.level(&keys[0].low);
        let q_low = eval.drop_level(&queries.low, level)?;
        let q_high = eval.drop_level(&queries.high, level)?;
        let distance = |g| {
            let [for_low, for_high] = self.sources(keys, g);
            let low = eval.sub(&q_low, for_low)?;
            let high = eval.sub(&q_high, for_high)?;
            Ok(eval.dot_rescaled(&[(&low, &low), (&eval.mul_i(&high), &high)])?)
        };
        (0..self.variants).map(distance).collect()
    }

    /// Sums over all features, that of variant `g` where `f ≡ g (mod G)`; one level down, at `to`.
    ///
    /// `Σ_k rot_k(V_k)` with `V_k = Σ_g [f ≡ g + k] Z_g` sums windows of `G` features; rotations by
    /// multiples of `G` do the rest.
    fn merged<E: Refresh>(
        &self,
        eval: &E,
        distances: &[E::Ciphertext],
        to: f64,
    ) -> Result<E::Ciphertext, Error> {
        let masks = self.feature_masks(eval, &distances[0], to)?;
        let step = self.layout.step(FEATURE);
        let mut total: Option<E::Ciphertext> = None;
        for k in (0..self.variants).rev() {
            let shifted = |(g, z)| (z, &masks[(g + k) % self.variants]);
            let pairs: Vec<_> = distances.iter().enumerate().map(shifted).collect();
            let part = eval.rescale(&eval.dot_plain(&pairs)?)?;
            total = Some(match total {
                None => part,
                Some(total) => eval.add(&part, &eval.rotate(&total, step)?)?,
            });
        }
        let total = total.ok_or(Error::Unsupported("no variants"))?;
        sum_rotations(eval, &total, step, self.variants..self.layout.size(FEATURE))
    }

    /// The inverse: for each `g`, the value where `f ≡ g (mod G)` in every place; one level down.
    fn spread<E: Refresh>(&self, eval: &E, a: &E::Ciphertext) -> Result<Vec<E::Ciphertext>, Error> {
        let masks = self.feature_masks(eval, a, eval.default_scale())?;
        let step = self.layout.step(FEATURE);
        let steps: Vec<isize> = (0..self.variants).map(|k| step * k.cast_signed()).collect();
        let rotated = eval.rotate_many(a, &steps)?;
        let one = |g: usize| {
            let shifted = |(k, a)| (a, &masks[(g + self.variants - k) % self.variants]);
            let pairs: Vec<_> = rotated.iter().enumerate().map(shifted).collect();
            Ok(eval.rescale(&eval.dot_plain(&pairs)?)?)
        };
        (0..self.variants).map(one).collect()
    }

    /// 1 where `f ≡ m (mod G)`, for each `m`; a product with `like` rescales to the scale `to`.
    fn feature_masks<E: Refresh>(
        &self,
        eval: &E,
        like: &E::Ciphertext,
        to: f64,
    ) -> Result<Vec<E::Plaintext>, Error> {
        let level = eval.level(like);
        let scale = to * eval.step(level) / eval.scale(like);
        let mask = |m| {
            let is_here = |f: usize| if f % self.variants == m { 1.0 } else { 0.0 };
            Ok(eval.encode(&self.layout.values(|[_, _, f], _| is_here(f)), level, scale)?)
        };
        (0..self.variants).map(mask).collect()
    }
}
