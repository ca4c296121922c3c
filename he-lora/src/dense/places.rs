//! Between diagonals at every token and diagonals in their places at rest: by digits of a place, each of which is masked once
//! and copied or summed by rotations that double.

use alloc::vec::Vec;
use core::ops::Range;

use he_core::refresh::Refresh;
use he_nn::Error;

use super::{Grid, mask_scale};

/// Where doubling goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From a place to all.
    Out,
    /// From all to a place.
    In,
}

impl Grid {
    /// The diagonals of matrix `index` at all tokens and at `scale`, two levels down.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    pub fn diagonals<E: Refresh>(
        &self,
        eval: &E,
        rest: &E::Ciphertext,
        index: usize,
        scale: f64,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let (places, radix) = (self.places(index), self.radix());
        let (mut diagonals, mut low_masks) = (Vec::new(), Vec::new());
        for high in self.high(index) {
            let mask = self.mask(eval, rest, eval.default_scale(), |j| j / radix == high)?;
            let group = eval.rescale(&eval.mul_plain(rest, &mask)?)?;
            let group = doubled(eval, group, high * radix, radix..self.tokens, Way::Out)?;
            if low_masks.is_empty() {
                let mask = |low| self.mask(eval, &group, scale, move |j| j % radix == low);
                low_masks = (0..radix).map(mask).collect::<Result<_, _>>()?;
            }
            let used = low_masks.iter().enumerate();
            for (low, mask) in used.filter(|(low, _)| places.contains(&(high * radix + low))) {
                let one = eval.rescale(&eval.mul_plain(&group, mask)?)?;
                diagonals.push(doubled(eval, one, low, 1..radix, Way::Out)?);
            }
        }
        Ok(diagonals)
    }

    /// Products of tokens, summed over them, in the places of matrix `index`, zero elsewhere: at the default scale, two levels
    /// down.
    ///
    /// # Errors
    /// If there are not as many as a copy has diagonals, a key is missing or no level is left.
    pub fn gathered<E: Refresh>(
        &self,
        eval: &E,
        products: &[E::Ciphertext],
        index: usize,
    ) -> Result<E::Ciphertext, Error> {
        let (places, radix) = (self.places(index), self.radix());
        let Some(first) = products.first().filter(|_| products.len() == self.span()) else {
            return Err(Error::Unsupported("not one product for each diagonal"));
        };
        let scale = eval.default_scale();
        let high = self.high(index);
        let mask = |high| self.mask(eval, first, scale, move |j| j / radix == high);
        let masks = high.clone().map(mask).collect::<Result<Vec<_>, _>>()?;
        let mut total: Option<E::Ciphertext> = None;
        for low in 0..radix {
            let mut sum: Option<E::Ciphertext> = None;
            for (high, mask) in high.clone().zip(&masks) {
                let place = high * radix + low;
                let Some(x) = place.checked_sub(places.start).and_then(|k| products.get(k)) else {
                    continue;
                };
                let x = doubled(eval, x.clone(), high * radix, radix..self.tokens, Way::In)?;
                add_to(eval, &mut sum, eval.rescale(&eval.mul_plain(&x, mask)?)?)?;
            }
            let Some(sum) = sum else { continue };
            let sum = doubled(eval, sum, low, 1..radix, Way::In)?;
            let mask = |j| j % radix == low && places.contains(&j);
            let mask = self.mask(eval, &sum, scale, mask)?;
            add_to(eval, &mut total, eval.rescale(&eval.mul_plain(&sum, &mask)?)?)?;
        }
        total.ok_or(Error::Unsupported("no products"))
    }

    /// The places of a matrix in a block.
    const fn places(&self, index: usize) -> Range<usize> {
        index * self.span()..(index + 1) * self.span()
    }

    /// The high digits of these places.
    const fn high(&self, index: usize) -> Range<usize> {
        let places = self.places(index);
        places.start / self.radix()..places.end.div_ceil(self.radix())
    }

    /// The low digit of a place is below it.
    const fn radix(&self) -> usize {
        1 << self.tokens.ilog2().div_ceil(2)
    }

    /// Ones at the places of a block that are wanted.
    fn mask<E: Refresh>(
        &self,
        eval: &E,
        x: &E::Ciphertext,
        to: f64,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<E::Plaintext, Error> {
        let ones = self.slots(|place, _, _| if wanted(place) { 1.0 } else { 0.0 });
        Ok(eval.encode(&ones, eval.level(x), mask_scale(eval, x, to))?)
    }
}

/// What is at the places that share the digits of `place` in `range`, copied to all values of these digits, or their sum over
/// all values at that place. No step leaves a block, for each goes to where its bit of `place` comes from or leads to.
fn doubled<E: Refresh>(
    eval: &E,
    mut x: E::Ciphertext,
    place: usize,
    range: Range<usize>,
    way: Way,
) -> Result<E::Ciphertext, Error> {
    let mut step = range.start;
    while step < range.end {
        let is_left = (place & step != 0) == (way == Way::Out);
        let by = if is_left { step.cast_signed() } else { -step.cast_signed() };
        x = eval.add(&x, &eval.rotate(&x, by)?)?;
        step *= 2;
    }
    Ok(x)
}

fn add_to<E: Refresh>(
    eval: &E,
    sum: &mut Option<E::Ciphertext>,
    x: E::Ciphertext,
) -> Result<(), Error> {
    *sum = Some(match sum.take() {
        None => x,
        Some(sum) => eval.add(&sum, &x)?,
    });
    Ok(())
}
