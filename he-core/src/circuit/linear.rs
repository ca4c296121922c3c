//! Linear maps of the slots, by their diagonals: `y_j = Σ_k d_k[j] · x_(j+k)`.
//!
//! Baby steps and giant steps (Halevi and Shoup, *Algorithms in `HElib`*, CRYPTO 2014, section 4.3):
//! with rotations `k = s (n g + b)` for a common stride `s`, the `n` baby rotations of the input are
//! hoisted, and the giant ones follow Horner's rule, outwards in both directions, so that the whole
//! map needs the keys of `s, 2s, …, (n−1)s` and of `±ns` only.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use crate::Error;
use crate::complex::Complex;
use crate::eval::Evaluator;
use crate::eval::position::{equal_scales, same_length};
use crate::eval::steps::GiantSteps;

/// A linear map of the slots as its diagonals.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagonals {
    slots: usize,
    /// Rotation to the left, in `0 .. slots`, to what the rotated vector is multiplied by.
    by_rotation: BTreeMap<usize, Vec<Complex>>,
}

/// Where a linear map is applied and where its result is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The level of the input; that of the result is one lower for each factor.
    pub level: usize,
    /// The scale of the input.
    pub input_scale: f64,
    /// The scale of the result.
    pub to_scale: f64,
}

/// A linear map at one place, with every diagonal encoded.
pub struct Encoded<E: Evaluator> {
    at: Placement,
    steps: GiantSteps<E::Plaintext>,
}

/// How a set of rotations is put together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Steps {
    slots: usize,
    stride: usize,
    /// `n`, a power of two.
    babies: usize,
    /// Whether rotations above half the slots are read as rotations to the right.
    signed: bool,
}

impl Diagonals {
    /// The zero map.
    #[must_use]
    pub const fn zero(slots: usize) -> Self {
        Self { slots, by_rotation: BTreeMap::new() }
    }

    /// The diagonal of a rotation, zero where there is none; negative rotations are to the right.
    pub fn diagonal_mut(&mut self, rotation: isize) -> &mut [Complex] {
        let zeros = || alloc::vec![Complex::ZERO; self.slots];
        self.by_rotation.entry(wrap(self.slots, rotation)).or_insert_with(zeros)
    }

    /// The map times a real number.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for value in self.by_rotation.values_mut().flatten() {
            *value = value.scaled(factor);
        }
        self
    }

    /// The same map on each of `times` copies of its slots, for vectors that repeat.
    #[must_use]
    pub fn repeated(self, times: usize) -> Self {
        let (few, slots) = (self.slots, self.slots * times);
        // Rotations to the right stay short.
        let place = |rotation| if rotation < few / 2 { rotation } else { slots - few + rotation };
        let by_rotation = self.by_rotation.into_iter();
        let by_rotation = by_rotation.map(|(k, diagonal)| (place(k), diagonal.repeat(times)));
        Self { slots, by_rotation: by_rotation.collect() }
    }

    /// This map after another: `x ↦ self(first(x))`.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        let mut product = Self::zero(self.slots);
        for (&a, outer) in &self.by_rotation {
            for (&b, inner) in &first.by_rotation {
                let total = product.diagonal_mut((a + b).cast_signed());
                let rotated = inner.iter().cycle().skip(a);
                for ((total, &x), &y) in total.iter_mut().zip(outer).zip(rotated) {
                    *total += x * y;
                }
            }
        }
        product
    }

    /// The image of a plain vector.
    ///
    /// # Panics
    /// If the vector does not have one value for each slot.
    #[must_use]
    pub fn apply(&self, x: &[Complex]) -> Vec<Complex> {
        assert_eq!(x.len(), self.slots);
        let mut image = alloc::vec![Complex::ZERO; self.slots];
        for (&rotation, diagonal) in &self.by_rotation {
            let rotated = x.iter().cycle().skip(rotation);
            for ((y, &d), &x) in image.iter_mut().zip(diagonal).zip(rotated) {
                *y += d * x;
            }
        }
        image
    }

    /// The rotations that [`Encoded::apply`] needs keys for.
    #[must_use]
    pub fn rotations(&self) -> Vec<isize> {
        rotations(self.slots, self.by_rotation.keys().copied())
    }

    /// The map, ready to be applied at one place any number of times.
    ///
    /// # Errors
    /// If the slots are not those of the evaluator, no level is left or an entry does not fit.
    pub fn encode<E: Evaluator>(&self, eval: &E, at: Placement) -> Result<Encoded<E>, Error> {
        same_length(eval.slots(), self.slots)?;
        if at.level == 0 {
            return Err(Error::LevelExhausted { needed: 1, left: 0 });
        }
        let steps = Steps::new(self.slots, self.by_rotation.keys().copied());
        let scale = at.to_scale * eval.step(at.level) / at.input_scale;
        let mut giants: BTreeMap<isize, Vec<_>> = BTreeMap::new();
        for (&rotation, diagonal) in &self.by_rotation {
            let (giant, baby) = steps.split(rotation);
            // The sum is rotated by the giant step only afterwards.
            let mut diagonal = diagonal.clone();
            diagonal.rotate_right(wrap(self.slots, giant * steps.giant_step()));
            giants.entry(giant).or_default().push((baby, eval.encode(&diagonal, at.level, scale)?));
        }
        let (baby, giant) = (steps.stride.cast_signed(), steps.giant_step());
        Ok(Encoded { at, steps: GiantSteps { baby, giant, terms: giants } })
    }
}

impl<E: Evaluator> Encoded<E> {
    /// The image of a ciphertext, one level down and at exactly the scale of the placement.
    ///
    /// # Errors
    /// If the ciphertext is not at the place, the map is zero or a key is missing.
    pub fn apply(&self, eval: &E, x: &E::Ciphertext) -> Result<E::Ciphertext, Error> {
        equal_scales(eval.scale(x), self.at.input_scale)?;
        if eval.level(x) != self.at.level {
            return Err(Error::LevelExhausted { needed: self.at.level, left: eval.level(x) });
        }
        Ok(eval.with_scale(&eval.giant_steps(x, &self.steps)?, self.at.to_scale))
    }
}

impl<E: Evaluator> fmt::Debug for Encoded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Steps {
    fn new(slots: usize, rotations: impl Iterator<Item = usize> + Clone) -> Self {
        let stride = rotations.clone().fold(slots, gcd);
        let signed = |rotation| sign(slots, rotation);
        let width = |from: isize, to: isize| from.abs_diff(to);
        let extent = |map: &dyn Fn(usize) -> isize| {
            let (mut from, mut to) = (0, 0);
            for rotation in rotations.clone().map(map) {
                (from, to) = (rotation.min(from), rotation.max(to));
            }
            width(from, to)
        };
        let (plain, wrapped) = (extent(&usize::cast_signed), extent(&signed));
        let count = plain.min(wrapped) / stride + 1;
        let babies = 1 << count.next_power_of_two().trailing_zeros().div_ceil(2);
        Self { slots, stride, babies, signed: wrapped < plain }
    }

    /// `(g, b)` with `rotation = s (n g + b)`.
    fn split(&self, rotation: usize) -> (isize, usize) {
        let rotation =
            if self.signed { sign(self.slots, rotation) } else { rotation.cast_signed() };
        let multiple = rotation / self.stride.cast_signed();
        let babies = self.babies.cast_signed();
        (multiple.div_euclid(babies), multiple.rem_euclid(babies).cast_unsigned())
    }

    /// `n s`.
    const fn giant_step(&self) -> isize {
        (self.babies * self.stride).cast_signed()
    }
}

/// The rotations that a map with diagonals at these rotations to the left needs keys for.
pub(crate) fn rotations(
    slots: usize,
    diagonals: impl Iterator<Item = usize> + Clone,
) -> Vec<isize> {
    let steps = Steps::new(slots, diagonals.clone());
    let mut needed = BTreeSet::new();
    for (giant, baby) in diagonals.map(|rotation| steps.split(rotation)) {
        needed.insert((baby * steps.stride).cast_signed());
        needed.insert(giant.signum() * steps.giant_step());
    }
    needed.remove(&0);
    needed.into_iter().collect()
}

/// A rotation in `0 .. slots`.
fn wrap(slots: usize, rotation: isize) -> usize {
    rotation.rem_euclid(slots.cast_signed()).cast_unsigned()
}

/// A rotation in `−slots/2 .. slots/2`.
const fn sign(slots: usize, rotation: usize) -> isize {
    if rotation < slots / 2 {
        rotation.cast_signed()
    } else {
        rotation.cast_signed() - slots.cast_signed()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::eval::clear::Clear;
    use crate::eval::position::Shape;

    const SLOTS: usize = 64;
    const AT: Placement = Placement { level: 2, input_scale: 1e12, to_scale: 1.5e11 };

    fn clear() -> Clear {
        Clear::new(Shape::new(SLOTS, vec![1.1e12, 0.9e12, 1e12], 1e12).unwrap())
    }

    fn value(i: usize) -> Complex {
        Complex::new(libm::sin((7 * i + 1) as f64), libm::cos((3 * i * i) as f64))
    }

    fn map(rotations: &[isize]) -> Diagonals {
        let mut map = Diagonals::zero(SLOTS);
        for &rotation in rotations {
            let offset = wrap(SLOTS, rotation);
            for (i, entry) in map.diagonal_mut(rotation).iter_mut().enumerate() {
                *entry = value(i + 100 * offset);
            }
        }
        map
    }

    fn vector() -> Vec<Complex> {
        (0..SLOTS).map(value).collect()
    }

    fn distance(a: &[Complex], b: &[Complex]) -> f64 {
        a.iter().zip(b).map(|(&x, &y)| (x - y).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_map_on_ciphertexts_is_the_sum_over_its_diagonals() {
        let clear = clear();
        let x = clear.encrypt(&vector(), AT.level, AT.input_scale).unwrap();
        for rotations in [
            vec![0],
            vec![5],
            vec![-1, 0, 1],
            (-7..8).map(|k| 4 * k).collect(),
            (0..16).map(|k| 4 * k).collect(),
            vec![-20, 3, 11],
            (0..64).collect(),
        ] {
            let map = map(&rotations);
            let y = map.encode(&clear, AT).unwrap().apply(&clear, &x).unwrap();
            assert_eq!((clear.level(&y), clear.scale(&y)), (1, AT.to_scale));
            let error = distance(y.values(), &map.apply(&vector()));
            assert!(error < 1e-9, "{rotations:?}: {error}");
        }
    }

    #[test]
    fn diagonals_multiply_the_rotated_vector() {
        let map = map(&[3]);
        let (x, y) = (vector(), map.apply(&vector()));
        for j in 0..SLOTS {
            assert!((y[j] - value(j + 300) * x[(j + 3) % SLOTS]).abs() < 1e-12);
        }
    }

    #[test]
    fn composition_is_application_twice() {
        let (first, second) = (map(&[-2, 0, 31]), map(&[1, 60]));
        let twice = second.apply(&first.apply(&vector()));
        assert!(distance(&second.after(&first).apply(&vector()), &twice) < 1e-12);
    }

    #[test]
    fn sixty_three_diagonals_need_nine_keys() {
        let all = (-31..32).map(|k: isize| wrap(1 << 15, 32 * k));
        let expected: Vec<_> = [-256].into_iter().chain((1..=8).map(|k| 32 * k)).collect();
        assert_eq!(rotations(1 << 15, all), expected);
        let wrapped = (0..32).map(|k| 1024 * k);
        assert_eq!(rotations(1 << 15, wrapped), (1..=8).map(|k| 1024 * k).collect::<Vec<_>>());
    }

    #[test]
    fn another_place_is_refused() {
        let clear = clear();
        let encoded = map(&[0, 1]).encode(&clear, AT).unwrap();
        let high = clear.encrypt(&[], 3, AT.input_scale).unwrap();
        assert!(matches!(encoded.apply(&clear, &high), Err(Error::LevelExhausted { .. })));
        let other = clear.encrypt(&[], 2, 2.0 * AT.input_scale).unwrap();
        assert!(matches!(encoded.apply(&clear, &other), Err(Error::ScaleMismatch { .. })));
    }
}
