//! Attention of every token to every token, all pairs at once.
//!
//! `out_i = Σ_j p_ij v_j` in every head, with `p_ij = exp(−|q_i − k_j|²)`, or `exp(q_i·k_j)` over its sum
//! (`shares`). The kernel's width is folded into the matrices, and padding has `v_j = 0`.
//!
//! A pack has room for `C = K / (H·D)` copies of all features: rows `h + H·(c + C·f)`. Queries, keys
//! and values of both halves of the tokens are six such copies, so one bootstrap with one sine brings
//! all of them to slots; the copies that pairs need are made there, by a linear map. In copy `c` of keys
//! and values slot `τ` of a row is slot `τ xor rev(c)`. The other pairs come from `G = T / C` *variants*:
//! `τ xor g` for `g < G/2`, and the halves exchanged. Tokens are bit reversed, so both together are
//! every slot of a row.
//!
//! Maps are linear over the complex numbers and both halves of the tokens want the same, so they
//! travel as real and imaginary part until they meet the other half.
//!
//! The Gaussian kernel is that of Rho et al., *Encryption-Friendly LLM Architecture* (ICLR 2025),
//! section 4.

mod pairs;
mod shares;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use he_core::bootstrap::dft;
use he_core::circuit::linear::{Diagonals, Placement};
use he_core::ntt::bit_reversed;
use he_core::refresh::Refresh;

use self::pairs::distances;
use crate::Error;
use crate::approx::exponential;
use crate::layer::softmax::Softmax;
use crate::layout::{Layout, factor_scale, low_half, row, upper_half};
use crate::levels::Levels;
use crate::model::{Config, Kernel};

/// The digits.
pub(crate) const HEAD: usize = 0;
pub(crate) const COPY: usize = 1;
pub(crate) const FEATURE: usize = 2;

/// What the copies of a pack hold before they are spread.
pub(crate) const QUERIES: usize = 0;
pub(crate) const KEYS: usize = 1;
pub(crate) const VALUES: usize = 2;
pub(crate) const KINDS: usize = 3;
/// For a softmax alone.
const MASK: usize = 3;

/// A ciphertext for tokens below `T/2` and one for the others.
pub(crate) struct Both<E: Refresh> {
    pub(crate) low: E::Ciphertext,
    pub(crate) high: E::Ciphertext,
}

/// The layout of a pack, and how many pairs it holds.
#[derive(Clone, Copy, Debug)]
pub struct WideAttention {
    pub(crate) layout: Layout<3>,
    pub(crate) tokens: usize,
    pub(crate) variants: usize,
    kinds: usize,
}

/// Queries, keys and values in slots: kind `k` is the `2k`-th copy, counted over all packs, lower
/// tokens in the real part and upper ones in the imaginary.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Packs<E: Refresh>(Vec<E::Ciphertext>);

impl<E: Refresh> Packs<E> {
    /// The lowest level of what came back.
    #[must_use]
    pub fn level(&self, eval: &E) -> usize {
        self.0.iter().map(|pack| eval.level(pack)).min().unwrap_or(0)
    }

    /// The pack of a kind, for packs of so many copies.
    fn pack(&self, kind: usize, copies: usize) -> Result<&E::Ciphertext, Error> {
        self.0.get(2 * kind / copies).ok_or(Error::Unsupported("a kind without a pack"))
    }
}

/// The weights of values in slots before they are spread, one number for each pair, and what they were made
/// from: for the way back.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct WideKernel<E: Refresh> {
    pub(crate) pairs: Both<E>,
    pub(crate) operands: Operands<E>,
}

/// Queries and keys, variant by variant.
pub(crate) enum Operands<E: Refresh> {
    /// Differences of a Gaussian kernel.
    Differences(Vec<Both<E>>),
    /// Factors of a softmax's scores; of keys half the variants, as in [`WideAttention::sources`].
    Factors { queries: Both<E>, keys: Vec<Both<E>> },
}

/// Which token of a row a copy holds in the place of slot `τ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `τ` in every copy.
    Same,
    /// `τ xor rev(c)` in copy `c`.
    Partners,
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
        if copies < 2 || variants < 2 || !config.head_width().is_multiple_of(variants) {
            return Err(Error::Unsupported("copies and features do not cover all pairs"));
        }
        let kinds = match config.layers.first().map(|layer| layer.kernel) {
            Some(Kernel::Softmax { .. }) => MASK + 1,
            _ => KINDS,
        };
        Ok(Self { layout, tokens: config.tokens, variants, kinds })
    }

    /// How many bootstraps queries, keys and values take.
    #[must_use]
    pub const fn pack_count(&self) -> usize {
        (2 * self.kinds).div_ceil(self.layout.size(COPY))
    }

    /// Bootstraps rows of projections: queries, keys and values, `d` each, in this order, to the level
    /// listed for each pack; a softmax takes the mask from the last row.
    ///
    /// # Errors
    /// If a key is missing, or rows or levels do not fit.
    pub fn packs<E: Refresh>(
        &self,
        eval: &E,
        projections: &E::Rows,
        levels: &[usize],
    ) -> Result<Packs<E>, Error> {
        let [heads, copies, depth] = [HEAD, COPY, FEATURE].map(|digit| self.layout.size(digit));
        if levels.len() != self.pack_count() {
            return Err(Error::Unsupported("one level for each pack"));
        }
        let pack = |(number, &level): (usize, &usize)| {
            let sums = self.layout.pack(|[h, c, f]| {
                let (kind, half) = ((number * copies + c) / 2, c % 2);
                let index = match kind {
                    MASK => eval.row_count(projections) - 1,
                    _ => (kind * heads + h) * depth + f,
                };
                match half {
                    _ if kind >= self.kinds => Vec::new(),
                    0 => alloc::vec![row(index)],
                    _ => alloc::vec![upper_half(index, self.tokens)],
                }
            });
            let x = low_half(eval, &eval.select(projections, &sums)?, level)?;
            let high = eval.rotate(&x, self.layout.step(COPY))?;
            Ok(eval.add(&x, &eval.mul_i(&high))?)
        };
        Ok(Packs(levels.iter().enumerate().map(pack).collect::<Result<_, Error>>()?))
    }

    /// The attention's output: rows of `d` features, the level that was reached, and the kernel. A softmax
    /// takes another bootstrap.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn attend<E: Refresh>(
        &self,
        eval: &E,
        config: &Config,
        packs: &Packs<E>,
        kernel: &Kernel,
        levels: &mut Levels<'_>,
    ) -> Result<(E::Rows, usize, WideKernel<E>), Error> {
        let level = eval.level(packs.pack(KEYS, self.layout.size(COPY))?);
        let keys = self.copies(eval, packs, KEYS, (Order::Partners, level))?;
        let keys = self.all_variants(eval, &keys, eval.default_scale())?;
        let level = eval.level(&keys[0].low);
        let queries = self.copies(eval, packs, QUERIES, (Order::Same, level + 1))?;
        let queries = split::<E>(eval, &queries)?;
        let (pairs, operands) = match *kernel {
            Kernel::Gaussian { exponent } => {
                let differences = self.differences(eval, &queries, &keys)?;
                drop(keys);
                let distances = distances(eval, &differences)?;
                let pairs = self.evaluated(eval, &distances, &exponential(exponent)?)?;
                (pairs, Operands::Differences(differences))
            }
            Kernel::Softmax { score, sum } => {
                let softmax = Softmax::new(score, sum)?;
                let products = self.products(eval, &queries, &keys)?;
                let pairs = self.evaluated(eval, &products, &softmax.exp)?;
                drop(products);
                let pairs = self.shares(eval, (config, &softmax), packs, &pairs, levels)?;
                (pairs, Operands::Factors { queries, keys })
            }
        };
        let (rows, level) = self.weighted(eval, packs, &pairs)?;
        Ok((rows, level, WideKernel { pairs, operands }))
    }

    /// `Σ_j p_j v_j` as rows, and the level that was reached.
    fn weighted<E: Refresh>(
        &self,
        eval: &E,
        packs: &Packs<E>,
        pairs: &Both<E>,
    ) -> Result<(E::Rows, usize), Error> {
        let low = self.spread(eval, &pairs.low)?;
        let high = self.spread(eval, &pairs.high)?;

        let level = eval.level(&low[0]);
        let values = self.copies(eval, packs, VALUES, (Order::Partners, level + 2))?;
        let scale = factor_scale(eval, &low[0], level);
        let values = self.all_variants(eval, &values, scale)?;
        let high: Vec<_> = high.iter().map(|a| eval.mul_i(a)).collect();
        let mut terms = Vec::new();
        for (g, (low, high)) in low.iter().zip(&high).enumerate() {
            let [for_low, for_high] = self.sources(&values, g);
            terms.extend([(low, for_low), (high, for_high)]);
        }
        let out = eval.dot_rescaled(&terms)?;
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
    pub(crate) fn sources<'a, E: Refresh>(
        &self,
        variants: &'a [Both<E>],
        g: usize,
    ) -> [&'a E::Ciphertext; 2] {
        let half = self.variants / 2;
        let Both { low, high } = &variants[g % half];
        if g < half { [low, high] } else { [high, low] }
    }

    /// The rows of one kind in every copy, from packs dropped to `level`; one level down, at half the
    /// default scale.
    pub(crate) fn copies<E: Refresh>(
        &self,
        eval: &E,
        packs: &Packs<E>,
        kind: usize,
        (order, level): (Order, usize),
    ) -> Result<E::Ciphertext, Error> {
        let copies = self.layout.size(COPY);
        let home = 2 * kind % copies;
        let x = eval.drop_level(packs.pack(kind, copies)?, level)?;
        let half = self.tokens / 2;
        let mut map = Diagonals::zero(eval.slots());
        for c in 0..copies {
            let partner = match order {
                Order::Same => 0,
                Order::Partners => bit_reversed(c, half),
            };
            let step = self.layout.step(COPY) * (home.cast_signed() - c.cast_signed());
            for offset in offsets(half, partner) {
                let mask = self.layout.values(|[_, copy, _], token| {
                    let is_here = offset_at(bit_reversed(token, half), partner) == offset;
                    if copy == c && is_here { 1.0 } else { 0.0 }
                });
                map.diagonal_mut(step + offset).iter_mut().zip(mask).for_each(|(x, m)| *x += m);
            }
        }
        let to_scale = eval.default_scale() / 2.0;
        let at = Placement { level, input_scale: eval.scale(&x), to_scale };
        Ok(map.encode(eval, at)?.apply(eval, &x)?)
    }

    /// `G/2` variants, one level down: slot `τ xor x` in the place of slot `τ`, for each `x` below
    /// `G/2`; at the scale `to`.
    pub(crate) fn all_variants<E: Refresh>(
        &self,
        eval: &E,
        z: &E::Ciphertext,
        to: f64,
    ) -> Result<Vec<Both<E>>, Error> {
        let half = self.variants / 2;
        let steps: Vec<isize> = (1 - half.cast_signed()..half.cast_signed()).collect();
        let rotated = eval.rotate_many(z, &steps)?;
        let level = eval.level(z);
        let scale = to / 2.0 * eval.step(level) / eval.scale(z);
        let variant = |x: usize| {
            let mut masks = Vec::new();
            for (step, rotated) in steps.iter().zip(&rotated) {
                if !offsets(self.tokens / 2, x).contains(step) {
                    continue;
                }
                let is_here = |token| offset_at(bit_reversed(token, self.tokens / 2), x) == *step;
                let mask = self.layout.values(|_, token| if is_here(token) { 1.0 } else { 0.0 });
                masks.push((rotated, eval.encode(&mask, level, scale)?));
            }
            let pairs: Vec<_> = masks.iter().map(|(a, mask)| (*a, mask)).collect();
            split(eval, &eval.rescale(&eval.dot_plain(&pairs)?)?)
        };
        (0..half).map(variant).collect()
    }
}

/// Lower and upper tokens, from real and imaginary parts at half the scale.
pub(crate) fn split<E: Refresh>(eval: &E, z: &E::Ciphertext) -> Result<Both<E>, Error> {
    let [low, high] =
        dft::split(eval, z)?.map(|part| eval.with_scale(&part, 2.0 * eval.scale(&part)));
    Ok(Both { low, high })
}

/// How far slot `τ xor x` is from slot `τ`.
pub(crate) const fn offset_at(slot: usize, x: usize) -> isize {
    (slot ^ x).cast_signed() - slot.cast_signed()
}

/// All that [`offset_at`] is for the slots of a row.
pub(crate) fn offsets(half: usize, x: usize) -> BTreeSet<isize> {
    (0..half).map(|slot| offset_at(slot, x)).collect()
}
