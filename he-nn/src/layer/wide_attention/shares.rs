//! From exponentials of all pairs to shares of a softmax: each row's sum goes through a bootstrap of its own.
//!
//! Padding's keys are zero, so each of them adds 1 to a sum before it is scaled. How many there are is known
//! from the mask, which is a fourth kind in the copies that queries, keys and values leave free.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use super::{Both, COPY, HEAD, MASK, Packs, WideAttention, split};
use crate::Error;
use crate::layer::assembly::as_product;
use crate::layer::softmax::Softmax;
use crate::layout::{broadcast, low_half, row, sum_rotations, upper_half};
use crate::levels::Levels;
use crate::model::Config;

impl WideAttention {
    /// `p / Σ_j p_j` for every query, with one more bootstrap; a level below the exponentials `p`.
    pub(super) fn shares<E: Refresh>(
        &self,
        eval: &E,
        (config, softmax): (&Config, &Softmax),
        packs: &Packs<E>,
        pairs: &Both<E>,
        levels: &mut Levels<'_>,
    ) -> Result<Both<E>, Error> {
        let sums = as_product(eval, config, &self.sums(eval, softmax.unit, packs, pairs)?)?;
        let places = self.layout.pack(|[h, c, _]| {
            alloc::vec![if c % 2 == 0 { row(h) } else { upper_half(h, self.tokens) }]
        });
        let sums = low_half(eval, &eval.select(&sums, &places)?, levels.next(eval)?)?;
        let inverse = softmax.invert(eval, &sums)?;
        let inverse =
            self.parted(eval, &inverse, self.layout.step(COPY), |[_, c, _]| c % 2 == 0)?;
        let low = eval.mul_rescaled(&pairs.low, &inverse.low)?;
        Ok(Both { low, high: eval.mul_rescaled(&pairs.high, &inverse.high)? })
    }

    /// `Σ_j p_j` over the keys of the sentence, one row for each head.
    fn sums<E: Refresh>(
        &self,
        eval: &E,
        unit: f64,
        packs: &Packs<E>,
        pairs: &Both<E>,
    ) -> Result<E::Rows, Error> {
        let (layout, scale) = (self.layout, eval.default_scale());
        // Feature after feature, copies are the next digit: this many are all variants.
        let all = eval.add(&pairs.low, &eval.mul_i(&pairs.high))?;
        let all = sum_rotations(eval, &all, layout.step(COPY), 1..self.tokens)?;
        let is_first = layout.values(|[_, c, f], _| if c == 0 && f == 0 { 1.0 } else { 0.0 });
        let all = mul_values(eval, &all, &is_first, scale)?;

        let copies = layout.size(COPY);
        let home = [0, 2 * MASK % copies, 0];
        let mask = eval.drop_level(packs.pack(MASK, copies)?, eval.level(&all) + 1)?;
        let mask = sum_rotations(eval, &mask, 1, 1..self.tokens / 2)?;
        let both = eval.sub(&mask, &eval.mul_i(&mask))?;
        let both = eval.add(&both, &eval.conjugate(&both)?)?;
        let count =
            layout.values(|digits, t| if digits == home && t == 0 { unit / 2.0 } else { 0.0 });
        let count = mul_values(eval, &both, &count, scale)?;

        let heads = layout.size(HEAD);
        let rows = eval.slots_to_rows(&eval.add(&all, &count)?)?;
        let count = eval.select(&rows, &[alloc::vec![row(layout.row(home))]])?;
        let count = broadcast(eval, &count)?;
        let places: Vec<_> = (0..heads).map(|h| alloc::vec![row(layout.row([h, 0, 0]))]).collect();
        let rows = eval.concat(&eval.select(&rows, &places)?, &count)?;
        let sums: Vec<_> = (0..heads).map(|h| alloc::vec![row(h), row(heads)]).collect();
        let tokens = u32::try_from(self.tokens);
        let tokens = tokens.map_err(|_| Error::Unsupported("too many tokens"))?;
        let padded: Vec<_> = (0..heads).map(|h| (h, -unit * f64::from(tokens))).collect();
        Ok(eval.add_constants(&eval.select(&rows, &sums)?, &padded)?)
    }

    /// Two numbers in turns, `step` slots apart, to one everywhere and the other everywhere.
    pub(crate) fn parted<E: Refresh>(
        &self,
        eval: &E,
        x: &E::Ciphertext,
        step: isize,
        is_first: impl Fn([usize; 3]) -> bool,
    ) -> Result<Both<E>, Error> {
        let z = eval.add(x, &eval.mul_i(&eval.rotate(x, step)?))?;
        let mask = self.layout.values(|digits, _| if is_first(digits) { 1.0 } else { 0.0 });
        let z = mul_values(eval, &z, &mask, eval.default_scale() / 2.0)?;
        split(eval, &eval.add(&z, &eval.rotate(&z, -step)?)?)
    }
}
