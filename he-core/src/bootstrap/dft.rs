//! The transform between coefficients and slots, as products of three sparse linear maps.
//!
//! The slots of `m` are `z_j = m(ζ^(5^j))` with `ζ = exp(iπ/N)`, and `ζ^(5^j N/2) = i`, so with
//! `w_c = m_c + i·m_(c+N/2)` they are `z_j = Σ_c ζ^(5^j c) w_c` over `c < N/2`: a transform of `N/2`
//! complex numbers, by `log2(N/2)` layers of butterflies if the `w_c` are in bit-reversed order.
//! They stay in it: nothing ever permutes them.
//!
//! Consecutive layers multiply to one map with few diagonals: `2^5` at a time 63 of them, at
//! multiples of a stride. After Chen, Chillotti, Song, *Improved Bootstrapping for Approximate
//! Homomorphic Encryption* (EUROCRYPT 2019) and Cheon, Han, Hhan, *Faster Homomorphic Discrete
//! Fourier Transforms and Improved FHE Bootstrapping* (IEEE Access 2019).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

use crate::Error;
use crate::circuit::linear::{Diagonals, Encoded, Placement, rotations as map_rotations};
use crate::complex::Complex;
use crate::eval::Evaluator;

/// Levels that a transform consumes: its factors.
pub const FACTORS: usize = 3;

/// Both directions.
#[derive(Debug)]
pub struct Dft<E: Evaluator> {
    /// Slot `rev(c)` of the result holds coefficients `c` and `c + N/2` of the input as real and
    /// imaginary parts, times a constant.
    pub coeffs_to_slots: Transform<E>,
    /// The way back.
    pub slots_to_coeffs: Transform<E>,
}

/// Where a transform takes place and what it multiplies by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The levels and scales; the result is [`FACTORS`] levels below the input.
    pub at: Placement,
    /// The factor, not zero.
    pub constant: f64,
}

/// One direction, encoded.
#[derive(Debug)]
pub struct Transform<E: Evaluator> {
    /// In the order of application.
    factors: Vec<Encoded<E>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToSlots,
    ToCoeffs,
}

impl<E: Evaluator> Dft<E> {
    /// Encodes both directions.
    ///
    /// # Errors
    /// If there are less than 8 slots or a level is below [`FACTORS`].
    pub fn new(eval: &E, to_slots: Setting, to_coeffs: Setting) -> Result<Self, Error> {
        Ok(Self {
            coeffs_to_slots: Transform::new(eval, Direction::ToSlots, to_slots)?,
            slots_to_coeffs: Transform::new(eval, Direction::ToCoeffs, to_coeffs)?,
        })
    }
}

impl<E: Evaluator> Transform<E> {
    /// From coefficients to slots.
    ///
    /// # Errors
    /// As [`Dft::new`].
    pub fn coeffs_to_slots(eval: &E, setting: Setting) -> Result<Self, Error> {
        Self::new(eval, Direction::ToSlots, setting)
    }

    /// From coefficients to slots in a subring, for slots that repeat after `period`: the transform
    /// of a polynomial in `X^(N / 2·period)`.
    ///
    /// # Errors
    /// As [`Dft::new`], or if the period is longer than the slots.
    pub fn narrow_coeffs_to_slots(
        eval: &E,
        period: usize,
        setting: Setting,
    ) -> Result<Self, Error> {
        Self::repeated(eval, Direction::ToSlots, period, setting)
    }

    /// From slots to coefficients.
    ///
    /// # Errors
    /// As [`Dft::new`].
    pub fn slots_to_coeffs(eval: &E, setting: Setting) -> Result<Self, Error> {
        Self::new(eval, Direction::ToCoeffs, setting)
    }

    fn new(eval: &E, direction: Direction, setting: Setting) -> Result<Self, Error> {
        Self::repeated(eval, direction, eval.slots(), setting)
    }

    fn repeated(
        eval: &E,
        direction: Direction,
        period: usize,
        setting: Setting,
    ) -> Result<Self, Error> {
        if period > eval.slots() {
            return Err(Error::WrongLength { expected: eval.slots(), found: period });
        }
        let Setting { at, constant } = setting;
        if at.level < FACTORS {
            return Err(Error::LevelExhausted { needed: FACTORS, left: at.level });
        }
        let ratio = libm::cbrt(at.to_scale / at.input_scale);
        let mut factors = Vec::with_capacity(FACTORS);
        let mut at = Placement { to_scale: at.input_scale * ratio, ..at };
        for factor in maps(period, direction)? {
            let factor = factor.repeated(eval.slots() / period);
            factors.push(factor.scaled(libm::cbrt(constant)).encode(eval, at)?);
            at.level -= 1;
            at.input_scale = at.to_scale;
            at.to_scale = if factors.len() == FACTORS - 1 {
                setting.at.to_scale
            } else {
                at.input_scale * ratio
            };
        }
        Ok(Self { factors })
    }

    /// The transform of a ciphertext at the place of the setting.
    ///
    /// # Errors
    /// If the ciphertext is not at the place or a key is missing.
    pub fn apply(&self, eval: &E, x: &E::Ciphertext) -> Result<E::Ciphertext, Error> {
        self.factors.iter().try_fold(x.clone(), |x, factor| factor.apply(eval, &x))
    }
}

/// Twice the real and twice the imaginary part of every slot, for one conjugation: the two halves of
/// the coefficients after [`Dft::coeffs_to_slots`].
///
/// # Errors
/// If the key of the conjugation is missing.
pub fn split<E: Evaluator>(eval: &E, z: &E::Ciphertext) -> Result<[E::Ciphertext; 2], Error> {
    let conjugate = eval.conjugate(z)?;
    let imaginary = eval.sub(&conjugate, z)?;
    Ok([eval.add(z, &conjugate)?, eval.mul_i(&imaginary)])
}

/// The rotations that both directions need keys for.
///
/// # Errors
/// If there are less than 8 slots.
pub fn rotations(slots: usize) -> Result<Vec<isize>, Error> {
    narrow_rotations(slots, slots)
}

/// The rotations that [`Transform::narrow_coeffs_to_slots`] needs keys for.
///
/// # Errors
/// If the period is shorter than 8 slots.
pub fn narrow_rotations(slots: usize, period: usize) -> Result<Vec<isize>, Error> {
    let mut needed = BTreeSet::new();
    for layers in groups(period)? {
        let (stride, reach) = (1 << layers.start, (1usize << layers.len()) - 1);
        let left = (0..=reach).map(|k| k * stride % period);
        let right = (1..=reach).map(|k| period - k * stride);
        let place = |k| if k < period / 2 { k } else { slots - period + k };
        needed.extend(map_rotations(slots, left.chain(right).map(place)));
    }
    Ok(needed.into_iter().collect())
}

/// The factors of a transform in the order of application.
fn maps(slots: usize, direction: Direction) -> Result<Vec<Diagonals>, Error> {
    let product = |layers: Range<usize>| {
        let mut layers: Vec<_> = layers.map(|i| layer(slots, 1 << i, direction)).collect();
        if direction == Direction::ToSlots {
            layers.reverse();
        }
        layers.into_iter().reduce(|first, second| second.after(&first))
    };
    let mut groups = groups(slots)?;
    if direction == Direction::ToSlots {
        groups.reverse();
    }
    Ok(groups.into_iter().filter_map(product).collect())
}

/// The layers of each factor, smallest butterflies first.
fn groups(slots: usize) -> Result<[Range<usize>; FACTORS], Error> {
    let layers = slots.trailing_zeros() as usize;
    if !slots.is_power_of_two() || layers < FACTORS {
        return Err(Error::InvalidParameters("a transform needs at least 8 slots"));
    }
    Ok(core::array::from_fn(|i| layers * i / FACTORS..layers * (i + 1) / FACTORS))
}

/// Butterflies of slots that are `half` apart, or their inverses.
fn layer(slots: usize, half: usize, direction: Direction) -> Diagonals {
    let mut map = Diagonals::zero(slots);
    let order = 8 * half;
    let mut power = 1;
    for j in 0..half {
        let root = Complex::root_of_unity(power as f64 / order as f64);
        power = power * 5 % order;
        let one = Complex::real(1.0);
        // What the lower slot takes of itself and of the upper one, and the same for the upper.
        let [lower, upper] = match direction {
            Direction::ToCoeffs => [[one, root], [one, -root]],
            Direction::ToSlots => {
                let half = Complex::real(0.5);
                let back = root.conjugate().scaled(0.5);
                [[half, half], [back, -back]]
            }
        };
        for low in (j..slots).step_by(2 * half) {
            let high = low + half;
            map.diagonal_mut(0)[low] = lower[0];
            map.diagonal_mut(0)[high] = upper[1];
            map.diagonal_mut(half.cast_signed())[low] = lower[1];
            map.diagonal_mut(-half.cast_signed())[high] = upper[0];
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::clear::Clear;
    use crate::eval::position::Shape;
    use crate::ntt::bit_reversed;

    const TO_SLOTS: Setting =
        Setting { at: Placement { level: 25, input_scale: 3e16, to_scale: 1e15 }, constant: -0.75 };
    const TO_COEFFS: Setting =
        Setting { at: Placement { level: 3, input_scale: 1e12, to_scale: 3e7 }, constant: 2.5 };

    fn coefficients(degree: usize) -> Vec<f64> {
        (0..degree).map(|i| libm::sin((i * i + i) as f64)).collect()
    }

    /// The slots of a polynomial by their definition.
    fn slots_of(polynomial: &[f64]) -> Vec<Complex> {
        let order = 2 * polynomial.len();
        let roots: Vec<_> =
            (0..order).map(|i| Complex::root_of_unity(i as f64 / order as f64)).collect();
        let mut power = 1;
        let mut slots = Vec::new();
        for _ in 0..polynomial.len() / 2 {
            let mut value = Complex::ZERO;
            for (c, &coefficient) in polynomial.iter().enumerate() {
                value += roots[c * power % order].scaled(coefficient);
            }
            slots.push(value);
            power = power * 5 % order;
        }
        slots
    }

    /// `m_c + i·m_(c+N/2)` in slot `rev(c)`, times a constant.
    fn halves_of(polynomial: &[f64], constant: f64) -> Vec<Complex> {
        let slots = polynomial.len() / 2;
        let mut halves = alloc::vec![Complex::ZERO; slots];
        for c in 0..slots {
            let value = Complex::new(polynomial[c], polynomial[c + slots]);
            halves[bit_reversed(c, slots)] = value.scaled(constant);
        }
        halves
    }

    fn distance(a: &[Complex], b: &[Complex]) -> f64 {
        a.iter().zip(b).map(|(&x, &y)| (x - y).abs()).fold(0.0, f64::max)
    }

    fn clear(slots: usize) -> Clear {
        Clear::new(Shape::nominal(slots).unwrap())
    }

    #[test]
    fn coefficients_arrive_in_bit_reversed_slots_and_go_back_insecure() {
        for log_degree in 4..=12 {
            let polynomial = coefficients(1 << log_degree);
            let clear = clear(polynomial.len() / 2);
            let dft = Dft::new(&clear, TO_SLOTS, TO_COEFFS).unwrap();

            let at = TO_SLOTS.at;
            let slots = slots_of(&polynomial);
            let x = clear.encrypt(&slots, at.level, at.input_scale).unwrap();
            let y = dft.coeffs_to_slots.apply(&clear, &x).unwrap();
            assert_eq!((clear.level(&y), clear.scale(&y)), (at.level - FACTORS, at.to_scale));
            let expected = halves_of(&polynomial, TO_SLOTS.constant);
            assert!(distance(y.values(), &expected) < 1e-11, "N = 2^{log_degree}");

            let at = TO_COEFFS.at;
            let halves = halves_of(&polynomial, 1.0 / TO_COEFFS.constant);
            let x = clear.encrypt(&halves, at.level, at.input_scale).unwrap();
            let y = dft.slots_to_coeffs.apply(&clear, &x).unwrap();
            assert_eq!((clear.level(&y), clear.scale(&y)), (at.level - FACTORS, at.to_scale));
            assert!(distance(y.values(), &slots) < 1e-10, "N = 2^{log_degree}");
        }
    }

    #[test]
    fn a_split_has_twice_both_parts() {
        let clear = clear(8);
        let z = clear.encrypt(&[Complex::new(3.0, -0.25)], 1, 1e12).unwrap();
        let [re, im] = split(&clear, &z).unwrap();
        assert_eq!([re.values()[0], im.values()[0]], [Complex::real(6.0), Complex::real(-0.5)]);
    }

    #[test]
    fn the_two_directions_are_inverse_maps() {
        let slots = 1 << 9;
        let x: Vec<_> = (0..slots).map(|i| Complex::new(i as f64, -0.5)).collect();
        let apply = |x: Vec<Complex>, direction| {
            maps(slots, direction).unwrap().iter().fold(x, |x, map| map.apply(&x))
        };
        let back = apply(apply(x.clone(), Direction::ToSlots), Direction::ToCoeffs);
        assert!(distance(&back, &x) < 1e-9);
    }

    #[test]
    fn the_listed_rotations_are_those_of_the_maps() {
        for slots in [8, 16, 1 << 9, 1 << 11] {
            let mut used = BTreeSet::new();
            for direction in [Direction::ToSlots, Direction::ToCoeffs] {
                used.extend(maps(slots, direction).unwrap().iter().flat_map(Diagonals::rotations));
            }
            assert_eq!(rotations(slots).unwrap(), used.into_iter().collect::<Vec<_>>());
            let narrow = maps(slots, Direction::ToSlots).unwrap().into_iter();
            let narrow: BTreeSet<_> = narrow.flat_map(|m| m.repeated(4).rotations()).collect();
            let listed = narrow_rotations(4 * slots, slots).unwrap();
            assert_eq!(listed, narrow.into_iter().collect::<Vec<_>>());
        }
        assert_eq!(rotations(1 << 15).unwrap().len(), 26);
        assert!(rotations(4).is_err());
    }
}
