//! Back through the Gaussian attention of every token to every token.
//!
//! Pairs are where the forward pass has them: query `i` in its own slot of copy `c` and variant `g`, with
//! partner `j` at `i xor rev(c) xor g`, halves exchanged or not. Exchanges are their own inverses, so
//! what belongs to partners goes back by the same masks and rotations: first over variants, then over
//! copies, whose sum is free on rows.
//!
//! The kernel came out of its polynomial at the bottom, so it is bootstrapped again, as it is: one number
//! for each pair.

use alloc::vec::Vec;

use he_core::circuit::linear::{Diagonals, Placement};
use he_core::ntt::bit_reversed;
use he_core::refresh::{Halves, Refresh};

use crate::Error;
use crate::layer::assembly::Assembly;
use crate::layer::wide_attention::{
    Both, COPY, KEYS, Order, Packs, QUERIES, VALUES, WideAttention, WideKernel, offset_at, offsets,
    split,
};
use crate::layout::row;
use crate::model::{AttentionWeights, Config};

/// Derivatives by queries, keys and values, `d` rows each, in this order; from that by the stream after
/// the attention, as `d` rows from slots. The bootstraps, of the kernel and of the derivative, are to
/// `levels`.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn wide_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &AttentionWeights,
    (packs, kernel): (&Packs<E>, &WideKernel<E>),
    rows: &E::Rows,
    levels: [usize; 2],
) -> Result<E::Rows, Error> {
    let attention = WideAttention::new(eval, config)?;
    let [kernel_level, level] = levels;
    let kernel = refreshed(eval, config, kernel, kernel_level)?;
    let width = config.width;
    let output = Assembly::new(width, width, config.weight_frac_bits)
        .with_transposed(0, 0, &weights.output, 1)
        .finish();
    let (layout, depth) = (attention.layout, config.head_width());
    let sums = layout.pack(|[h, _, f]| alloc::vec![row(h * depth + f)]);
    let g = both(eval, &eval.select(&eval.matmul(rows, &output)?, &sums)?, level)?;

    let back = Back { eval, attention, packs, kernel, g };
    let weights = back.spread(&back.kernel)?;
    let values = back.to_partners(&weights, &back.repeated_output())?;
    let by_distance = back.by_distance()?;
    let weights = back.spread(&by_distance)?;
    let differences = back.differences(eval.level(&weights[0].low))?;
    let queries = back.to_queries(&weights, &differences)?;
    let keys = eval.neg(&back.to_partners(&weights, &differences)?);
    let [queries, keys, values] =
        [queries, keys, values].map(|slots| attention.summed_copies(eval, &slots));
    Ok(eval.concat(&eval.concat(&queries?, &keys?)?, &values?)?)
}

/// The kernel at `level`.
fn refreshed<E: Refresh>(
    eval: &E,
    config: &Config,
    WideKernel(kernel): &WideKernel<E>,
    level: usize,
) -> Result<Both<E>, Error> {
    let all = eval.rows_per_pack();
    let joined = eval.add(&kernel.low, &eval.mul_i(&kernel.high))?;
    let identity = Assembly::new(all, all, config.weight_frac_bits).with_identity(0, 0, all);
    both(eval, &eval.matmul(&eval.slots_to_rows(&joined)?, &identity.finish())?, level)
}

/// A pack in slots, lower and upper tokens.
fn both<E: Refresh>(eval: &E, rows: &E::Rows, level: usize) -> Result<Both<E>, Error> {
    let halves = eval.rows_to_slots_at(rows, Halves::Both, level)?;
    let Ok([low, high]) = <[_; 2]>::try_from(halves) else {
        return Err(Error::Unsupported("not two halves came back"));
    };
    Ok(Both { low, high })
}

/// What all derivatives are made of.
struct Back<'a, E: Refresh> {
    eval: &'a E,
    attention: WideAttention,
    packs: &'a Packs<E>,
    kernel: Both<E>,
    /// The derivative by the output, in every copy.
    g: Both<E>,
}

impl<E: Refresh> Back<'_, E> {
    /// `−2 p ⟨g_i, v_j⟩`, one number for each pair.
    fn by_distance(&self) -> Result<Both<E>, Error> {
        let (eval, attention) = (self.eval, &self.attention);
        let top = eval.level(&self.g.low).min(self.packs.level(eval).saturating_sub(2));
        let values = attention.copies(eval, self.packs, VALUES, (Order::Partners, top + 2))?;
        let values = attention.all_variants(eval, &values, eval.default_scale())?;
        let high = eval.mul_i(&self.g.high);
        let product = |g| {
            let [for_low, for_high] = attention.sources(&values, g);
            eval.dot_rescaled(&[(&self.g.low, for_low), (&high, for_high)])
        };
        let products: Result<Vec<_>, _> = (0..attention.variants).map(product).collect();
        let sums = attention.merged(eval, &products?, eval.default_scale() / 2.0)?;
        let sums = split(eval, &sums)?;
        let scaled = |kernel: &E::Ciphertext, sum: &E::Ciphertext| {
            let product = eval.mul_rescaled(kernel, sum)?;
            Ok::<_, Error>(eval.with_scale(&eval.neg(&product), eval.scale(&product) / 2.0))
        };
        let low = scaled(&self.kernel.low, &sums.low)?;
        Ok(Both { low, high: scaled(&self.kernel.high, &sums.high)? })
    }

    /// Numbers of pairs in the places of all features, variant by variant.
    fn spread(&self, pairs: &Both<E>) -> Result<Vec<Both<E>>, Error> {
        let low = self.attention.spread(self.eval, &pairs.low)?;
        let high = self.attention.spread(self.eval, &pairs.high)?;
        Ok(low.into_iter().zip(high).map(|(low, high)| Both { low, high }).collect())
    }

    /// `q_i − k_j` of every variant, at `level` or what the packs have.
    fn differences(&self, level: usize) -> Result<Vec<Both<E>>, Error> {
        let (eval, attention) = (self.eval, &self.attention);
        let level = level.min(self.packs.level(eval).saturating_sub(2));
        let keys = attention.copies(eval, self.packs, KEYS, (Order::Partners, level + 2))?;
        let keys = attention.all_variants(eval, &keys, eval.default_scale())?;
        let queries = attention.copies(eval, self.packs, QUERIES, (Order::Same, level + 1))?;
        let queries = split(eval, &queries)?;
        let one = |g| {
            let [for_low, for_high] = attention.sources(&keys, g);
            let low = eval.sub(&queries.low, for_low)?;
            Ok(Both { low, high: eval.sub(&queries.high, for_high)? })
        };
        (0..attention.variants).map(one).collect()
    }

    /// The derivative by the output for every variant.
    fn repeated_output(&self) -> Vec<Both<E>> {
        let one = |_| Both { low: self.g.low.clone(), high: self.g.high.clone() };
        (0..self.attention.variants).map(one).collect()
    }

    /// `Σ_g w_g ∘ x_g` where the queries are, upper tokens in the imaginary part.
    fn to_queries(&self, weights: &[Both<E>], x: &[Both<E>]) -> Result<E::Ciphertext, Error> {
        let high: Vec<_> = weights.iter().map(|w| self.eval.mul_i(&w.high)).collect();
        let mut pairs = Vec::new();
        for ((w, high), x) in weights.iter().zip(&high).zip(x) {
            pairs.extend([(&w.low, &x.low), (high, &x.high)]);
        }
        Ok(self.eval.dot_rescaled(&pairs)?)
    }

    /// The same where the partners are.
    fn to_partners(&self, weights: &[Both<E>], x: &[Both<E>]) -> Result<E::Ciphertext, Error> {
        let eval = self.eval;
        let half = self.attention.variants / 2;
        let mut exchanged = Vec::new();
        for variant in 0..half {
            let (straight, crossed) = (&weights[variant], &weights[variant + half]);
            let (x, y) = (&x[variant], &x[variant + half]);
            let [high, low] = [&straight.high, &crossed.low].map(|w| eval.mul_i(w));
            let pairs = [
                (&straight.low, &x.low),
                (&high, &x.high),
                (&low, &y.low),
                (&crossed.high, &y.high),
            ];
            exchanged.push(eval.dot_rescaled(&pairs)?);
        }
        self.from_copies(&self.from_variants(&exchanged)?)
    }

    /// Slot `τ` of variant `x` to slot `τ xor x`, summed over variants.
    fn from_variants(&self, variants: &[E::Ciphertext]) -> Result<E::Ciphertext, Error> {
        let (eval, half) = (self.eval, self.attention.tokens / 2);
        let mut terms = Vec::new();
        for (x, z) in variants.iter().enumerate() {
            let steps: Vec<isize> = offsets(half, x).into_iter().collect();
            let (level, scale) = (eval.level(z), eval.default_scale());
            let scale = scale * eval.step(level) / eval.scale(z);
            for (step, rotated) in steps.iter().zip(eval.rotate_many(z, &steps)?) {
                let is_here = |token| offset_at(bit_reversed(token, half), x) == *step;
                let mask = |_, token| if is_here(token) { 1.0 } else { 0.0 };
                terms.push((
                    rotated,
                    eval.encode(&self.attention.layout.values(mask), level, scale)?,
                ));
            }
        }
        let terms: Vec<_> = terms.iter().map(|(z, mask)| (z, mask)).collect();
        Ok(eval.rescale(&eval.dot_plain(&terms)?)?)
    }

    /// Slot `τ` of copy `c` to slot `τ xor rev(c)`.
    fn from_copies(&self, z: &E::Ciphertext) -> Result<E::Ciphertext, Error> {
        let (eval, layout) = (self.eval, self.attention.layout);
        let half = self.attention.tokens / 2;
        let mut map = Diagonals::zero(eval.slots());
        for c in 0..layout.size(COPY) {
            let partner = bit_reversed(c, half);
            for offset in offsets(half, partner) {
                let mask = layout.values(|[_, copy, _], token| {
                    let is_here = offset_at(bit_reversed(token, half), partner) == offset;
                    if copy == c && is_here { 1.0 } else { 0.0 }
                });
                map.diagonal_mut(offset).iter_mut().zip(mask).for_each(|(x, m)| *x += m);
            }
        }
        let at = Placement {
            level: eval.level(z),
            input_scale: eval.scale(z),
            to_scale: eval.default_scale(),
        };
        Ok(map.encode(eval, at)?.apply(eval, z)?)
    }
}
