//! Back through the attention of every token to every token.
//!
//! Pairs are where the forward pass has them: query `i` in its own slot of copy `c` and variant `g`, with
//! partner `j` at `i xor rev(c) xor g`, halves exchanged or not. Exchanges are their own inverses, so
//! what belongs to partners goes back by the same masks and rotations: first over variants, then over
//! copies, whose sum is free on rows.
//!
//! Of a softmax `D = P∘(g vᵀ)` less `P` times the sums of its rows is the derivative by the scores.
//!
//! The kernel came out of its polynomial at the bottom, so it is bootstrapped again, as it is: one number
//! for each pair. Lower and upper tokens' pairs take turns over features, and leave the upper tokens' slots of
//! the pack to the derivative, whose lower and upper tokens take turns over copies.

use alloc::vec::Vec;

use he_core::circuit::linear::{Diagonals, Placement};
use he_core::eval::mul_values;
use he_core::ntt::bit_reversed;
use he_core::refresh::{Halves, Refresh, Weights};

use crate::Error;
use crate::backward::linears::Linears;
use crate::backward::normalisation::joined;
use crate::layer::assembly::{Assembly, as_product};
use crate::layer::wide_attention::{
    Both, COPY, FEATURE, HEAD, KEYS, KINDS, Operands, Order, Packs, QUERIES, VALUES, WideAttention,
    WideKernel, offset_at, offsets, split,
};
use crate::layout::{mul_to, row, sum_rotations, to_upper_half};
use crate::model::{AttentionWeights, Config, Linear};

/// Derivatives by queries, keys and values, `d` rows each, in this order; from that by the stream after
/// the attention, in halves.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn wide_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &AttentionWeights,
    (packs, kernel): (&Packs<E>, &WideKernel<E>),
    halves: &E::Rows,
    linears: &mut Linears<'_, '_, '_, E>,
) -> Result<E::Rows, Error> {
    let attention = WideAttention::new(eval, config)?;
    if attention.layout.size(COPY) < KINDS || config.head_width() < 2 * attention.variants {
        return Err(Error::Unsupported("copies and features do not hold what is bootstrapped"));
    }
    let pack = Pack { eval, config, attention };
    let [pairs, g] = pack.refreshed(&kernel.pairs, &weights.output, halves, linears)?;

    let back = Back { eval, attention, packs, pairs, g };
    let weights = back.spread(&back.pairs)?;
    let repeated = alloc::vec![[&back.g.low, &back.g.high]; attention.variants];
    let values = back.to_partners(&weights, &repeated, VALUES)?;
    let (queries, keys) = match &kernel.operands {
        Operands::Differences(differences) => {
            let weights = back.spread(&back.by_distance()?)?;
            let differences: Vec<_> =
                differences.iter().map(|Both { low, high }| [low, high]).collect();
            let keys = back.to_partners(&weights, &differences, KEYS)?;
            (back.to_queries(&weights, &differences)?, eval.neg(&keys))
        }
        Operands::Factors { queries, keys } => {
            let weights = back.spread(&back.by_score()?)?;
            let variants = 0..attention.variants;
            let keys: Vec<_> = variants.clone().map(|g| attention.sources(keys, g)).collect();
            let queries: Vec<_> = variants.map(|_| [&queries.low, &queries.high]).collect();
            (back.to_queries(&weights, &keys)?, back.to_partners(&weights, &queries, KEYS)?)
        }
    };
    let all = eval.slots_to_rows(&eval.add(&eval.add(&queries, &keys)?, &values)?)?;
    let (layout, depth) = (attention.layout, config.head_width());
    let place = |i: usize| {
        let (kind, i) = (i / config.width, i % config.width);
        alloc::vec![row(layout.row([i / depth, kind, i % depth]))]
    };
    Ok(eval.select(&all, &(0..KINDS * config.width).map(place).collect::<Vec<_>>())?)
}

/// What is bootstrapped together: the kernel in the lower tokens' slots, the derivative in the upper ones'.
struct Pack<'a, E: Refresh> {
    eval: &'a E,
    config: &'a Config,
    attention: WideAttention,
}

impl<E: Refresh> Pack<'_, E> {
    /// The kernel and the derivative by the output, lower and upper tokens each.
    fn refreshed(
        &self,
        pairs: &Both<E>,
        output: &Weights,
        halves: &E::Rows,
        linears: &mut Linears<'_, '_, '_, E>,
    ) -> Result<[Both<E>; 2], Error> {
        let (eval, layout, width) = (self.eval, self.attention.layout, self.config.width);
        let (copies, period) = (layout.size(COPY), 2 * self.attention.variants);
        let kernel = self.kernel_rows(pairs)?;
        let back = Assembly::new(2 * width, 2 * width, self.config.weight_frac_bits)
            .with_transposed(0, 0, output, 1)
            .with_transposed(width, width, output, 1)
            .finish();
        let stream = joined(eval, self.config, halves)?;
        let (layer, product) = ((Linear::Output(0), &stream), eval.matmul(halves, &back)?);
        let derivative = linears.input_halves(eval, self.config, layer, product)?;
        let rows = eval.concat(&kernel, &derivative)?;
        let first = eval.row_count(&kernel);
        let sums = layout.pack(|[h, c, f]| {
            let pair = (h * copies + c) * period + f % period;
            let derivative = first + c % 2 * width + h * layout.size(FEATURE) + f;
            alloc::vec![row(pair), to_upper_half(derivative, self.config.tokens)]
        });
        let level = linears.bootstraps.levels().next(eval)?;
        let both = eval.rows_to_slots_at(&eval.select(&rows, &sums)?, Halves::Both, level)?;
        let [kernel, derivative] = &both[..] else {
            return Err(Error::Unsupported("not two halves came back"));
        };
        linears.bootstraps.watch(eval, derivative)?;
        let variants = self.attention.variants;
        let step = layout.step(FEATURE) * variants.cast_signed();
        let parted = |x, step, is_first: &dyn Fn([usize; 3]) -> bool| {
            self.attention.parted(eval, x, step, is_first)
        };
        let kernel = parted(kernel, step, &|[_, _, f]| f % period < variants)?;
        Ok([kernel, parted(derivative, layout.step(COPY), &|[_, c, _]| c % 2 == 0)?])
    }

    /// The kernel as rows of a product, one for each head, copy and two times the variants: lower tokens'
    /// pairs, then upper ones', all in the lower tokens' place.
    fn kernel_rows(&self, pairs: &Both<E>) -> Result<E::Rows, Error> {
        let (eval, layout, variants) = (self.eval, self.attention.layout, self.attention.variants);
        let mask = layout.values(|[_, _, f], _| indicator(f % (2 * variants) < variants));
        let scale = eval.default_scale();
        let low = mul_values(eval, &pairs.low, &mask, scale)?;
        let high = mul_values(eval, &pairs.high, &mask, scale)?;
        let high = eval.rotate(&high, -layout.step(FEATURE) * variants.cast_signed())?;
        let rows = eval.slots_to_rows(&eval.add(&low, &high)?)?;
        let copies = layout.size(COPY);
        let place = |i: usize| {
            let (pair, f) = (i / (2 * variants), i % (2 * variants));
            alloc::vec![row(layout.row([pair / copies, pair % copies, f]))]
        };
        let count = 2 * variants * copies * layout.size(HEAD);
        let rows = eval.select(&rows, &(0..count).map(place).collect::<Vec<_>>())?;
        as_product(eval, self.config, &rows)
    }
}

const fn indicator(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// What all derivatives are made of.
struct Back<'a, E: Refresh> {
    eval: &'a E,
    attention: WideAttention,
    packs: &'a Packs<E>,
    /// The kernel, one number for each pair.
    pairs: Both<E>,
    /// The derivative by the output, in every copy.
    g: Both<E>,
}

impl<E: Refresh> Back<'_, E> {
    /// `−2 p ⟨g_i, v_j⟩`, one number for each pair.
    fn by_distance(&self) -> Result<Both<E>, Error> {
        let eval = self.eval;
        let Both { low, high } = self.by_weight()?;
        let [low, high] = [low, high].map(|x| eval.with_scale(&eval.neg(&x), eval.scale(&x) / 2.0));
        Ok(Both { low, high })
    }

    /// `p ⟨g_i, v_j⟩` less `p` times its sum over `j`, one number for each pair.
    fn by_score(&self) -> Result<Both<E>, Error> {
        let (eval, layout) = (self.eval, self.attention.layout);
        let Both { low, high } = self.by_weight()?;
        let sums = eval.add(&low, &eval.mul_i(&high))?;
        let sums = sum_rotations(eval, &sums, layout.step(COPY), 1..self.attention.tokens)?;
        let sums = split(eval, &sums)?;
        let less = |x: &E::Ciphertext, p: &E::Ciphertext, sum: &E::Ciphertext| {
            Ok::<_, Error>(eval.sub(x, &mul_to(eval, p, sum, eval.scale(x))?)?)
        };
        let low = less(&low, &self.pairs.low, &sums.low)?;
        Ok(Both { low, high: less(&high, &self.pairs.high, &sums.high)? })
    }

    /// `p ⟨g_i, v_j⟩`, one number for each pair.
    fn by_weight(&self) -> Result<Both<E>, Error> {
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
        let low = eval.mul_rescaled(&self.pairs.low, &sums.low)?;
        Ok(Both { low, high: eval.mul_rescaled(&self.pairs.high, &sums.high)? })
    }

    /// Numbers of pairs in the places of all features, variant by variant.
    fn spread(&self, pairs: &Both<E>) -> Result<Vec<Both<E>>, Error> {
        let low = self.attention.spread(self.eval, &pairs.low)?;
        let high = self.attention.spread(self.eval, &pairs.high)?;
        Ok(low.into_iter().zip(high).map(|(low, high)| Both { low, high }).collect())
    }

    /// `Σ w ∘ x` where the queries are, in their copy alone, upper tokens in the imaginary part.
    fn to_queries(
        &self,
        weights: &[Both<E>],
        x: &[[&E::Ciphertext; 2]],
    ) -> Result<E::Ciphertext, Error> {
        let (eval, layout) = (self.eval, self.attention.layout);
        let high: Vec<_> = weights.iter().map(|w| eval.mul_i(&w.high)).collect();
        let mut terms = Vec::new();
        for ((w, high), x) in weights.iter().zip(&high).zip(x) {
            terms.extend([(&w.low, x[0]), (high, x[1])]);
        }
        let sum = eval.dot_rescaled(&terms)?;
        let sum = sum_rotations(eval, &sum, layout.step(COPY), 1..layout.size(COPY))?;
        let mask = layout.values(|[_, c, _], _| indicator(c == QUERIES));
        Ok(mul_values(eval, &sum, &mask, eval.default_scale())?)
    }

    /// The same where the partners are, in copy `home`.
    fn to_partners(
        &self,
        weights: &[Both<E>],
        x: &[[&E::Ciphertext; 2]],
        home: usize,
    ) -> Result<E::Ciphertext, Error> {
        let eval = self.eval;
        let half = self.attention.variants / 2;
        let mut exchanged = Vec::new();
        for variant in 0..half {
            let (straight, crossed) = (&weights[variant], &weights[variant + half]);
            let (x, y) = (x[variant], x[variant + half]);
            let [high, low] = [&straight.high, &crossed.low].map(|w| eval.mul_i(w));
            let pairs = [(&straight.low, x[0]), (&high, x[1]), (&low, y[0]), (&crossed.high, y[1])];
            exchanged.push(eval.dot_rescaled(&pairs)?);
        }
        self.exchange_copies(&self.exchange_variants(&exchanged)?, home)
    }

    /// Slot `τ` of variant `x` to slot `τ xor x`, summed over variants.
    fn exchange_variants(&self, variants: &[E::Ciphertext]) -> Result<E::Ciphertext, Error> {
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

    /// Slot `τ` of copy `c` to slot `τ xor rev(c)`, summed over copies to copy `home`.
    fn exchange_copies(&self, z: &E::Ciphertext, home: usize) -> Result<E::Ciphertext, Error> {
        let (eval, layout) = (self.eval, self.attention.layout);
        let half = self.attention.tokens / 2;
        let mut map = Diagonals::zero(eval.slots());
        for c in 0..layout.size(COPY) {
            let partner = bit_reversed(c, half);
            let step = layout.step(COPY) * (c.cast_signed() - home.cast_signed());
            for offset in offsets(half, partner) {
                let mask = layout.values(|[_, copy, _], token| {
                    let is_here = offset_at(bit_reversed(token, half), partner) == offset;
                    indicator(copy == home && is_here)
                });
                let diagonal = map.diagonal_mut(step + offset);
                diagonal.iter_mut().zip(mask).for_each(|(x, m)| *x += m);
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
