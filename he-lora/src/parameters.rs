//! The numbers that are trained, and their places in one ciphertext.
//!
//! All of them are vectors over features: rows `down` and columns `up` of queries, keys, values and the
//! head's dense layer, and one column for each class. A block of slots, one for each feature and copy
//! `c < 4`, has `P` places for each kind of state, a quarter of the tokens at most: projection `c < 3` has place
//! `(2·layer + side)·rank + r`, and `c = 3` has the head: `r` down, `rank + r` up, `2·rank + k` for
//! class `k`, and after them the canary. So `P` is `4·rank`, or one more than the head takes.

use alloc::vec;
use alloc::vec::Vec;

use he_nn::Error;
use he_nn::model::Config;
use zeroize::Zeroize;

use crate::plain::PROJECTIONS;

/// The copy that holds the head's vectors.
pub const HEAD: usize = PROJECTIONS;
/// Projections and head.
const COPIES: usize = PROJECTIONS + 1;
/// Layers of a model.
const LAYERS: usize = 2;

/// One side of a low-rank update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What a feature vector is multiplied with.
    Down,
    /// What the products are multiplied with.
    Up,
}

/// One trained vector; it has an entry for each feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// Row or column `r` of a projection's update.
    Projection {
        /// The layer, from 0.
        layer: usize,
        /// 0 for queries, 1 for keys, 2 for values.
        projection: usize,
        /// Of `down` or of `up`.
        side: Side,
        /// Below the rank.
        r: usize,
    },
    /// Row or column `r` of the dense layer's update.
    Dense {
        /// Of `down` or of `up`.
        side: Side,
        /// Below the rank.
        r: usize,
    },
    /// The column of a class.
    Class(usize),
}

/// A number for each kind of vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerKind {
    /// Of queries, keys and values.
    pub projections: [f64; PROJECTIONS],
    /// Of the dense layer.
    pub dense: f64,
    /// Of the classes.
    pub classes: f64,
}

impl PerKind {
    /// The same for all.
    pub const EQUAL: Self = Self { projections: [1.0; PROJECTIONS], dense: 1.0, classes: 1.0 };

    /// That of one vector.
    #[must_use]
    pub fn of(&self, vector: Vector) -> f64 {
        match vector {
            Vector::Projection { projection, .. } => {
                self.projections.get(projection).copied().unwrap_or_default()
            }
            Vector::Dense { .. } => self.dense,
            Vector::Class(_) => self.classes,
        }
    }
}

/// How many vectors there are, and how long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    rank: usize,
    width: usize,
    classes: usize,
    places: usize,
}

impl Shape {
    /// For a model of this configuration.
    ///
    /// # Errors
    /// If the rank is 0, or a quarter of the tokens has no room for a copy's vectors.
    pub fn new(rank: usize, config: &Config) -> Result<Self, Error> {
        if rank == 0 { Err(NO_PLACE) } else { Self::of_rank(rank, config) }
    }

    /// For full fine-tuning, where an update is a matrix of its own: the classes alone.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_classes(config: &Config) -> Result<Self, Error> {
        Self::of_rank(0, config)
    }

    fn of_rank(rank: usize, config: &Config) -> Result<Self, Error> {
        let (room, width, classes) = (config.tokens / 4, config.width, config.classes);
        let (projections, head) = (2 * LAYERS * rank, 2 * rank + classes);
        if projections.max(head) > room {
            return Err(NO_PLACE);
        }
        let places = projections.max(head + 1).min(room);
        Ok(Self { rank, width, classes, places })
    }

    /// Whether updates are matrices of their own.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.rank == 0
    }

    /// The rank of every update.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// Entries of a vector.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Places of one kind of state in one copy, `P`.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.places
    }

    /// Numbers, those of unused places included.
    #[must_use]
    pub const fn numbers(&self) -> usize {
        COPIES * self.places() * self.width
    }

    /// The copy and the place of a vector.
    #[must_use]
    pub const fn place(&self, vector: Vector) -> (usize, usize) {
        match vector {
            Vector::Projection { layer, projection, side, r } => {
                (projection, (2 * layer + side as usize) * self.rank + r)
            }
            Vector::Dense { side, r } => (HEAD, side as usize * self.rank + r),
            Vector::Class(k) => (HEAD, 2 * self.rank + k),
        }
    }

    /// The copy and the place of the canary, in feature 0: a number whose derivative is known. There is none if the head's
    /// vectors take a quarter of the tokens.
    #[must_use]
    pub const fn canary(&self) -> Option<(usize, usize)> {
        let place = 2 * self.rank + self.classes;
        if place < self.places() { Some((HEAD, place)) } else { None }
    }

    /// All vectors.
    #[must_use]
    pub fn vectors(&self) -> Vec<Vector> {
        let mut all = Vec::new();
        for (side, r) in
            [Side::Down, Side::Up].into_iter().flat_map(|s| (0..self.rank).map(move |r| (s, r)))
        {
            all.push(Vector::Dense { side, r });
            for (layer, projection) in
                (0..LAYERS * PROJECTIONS).map(|i| (i / PROJECTIONS, i % PROJECTIONS))
            {
                all.push(Vector::Projection { layer, projection, side, r });
            }
        }
        all.extend((0..self.classes).map(Vector::Class));
        all
    }

    /// Whether an entry is trained: the last feature of a value carries a canary and stays zero.
    #[must_use]
    pub const fn is_trained(&self, vector: Vector, feature: usize) -> bool {
        let is_value = matches!(vector, Vector::Projection { projection: 2, side: Side::Up, .. });
        !(is_value && feature + 1 == self.width)
    }

    /// Where the entries of a vector are among all numbers.
    fn range(&self, vector: Vector) -> core::ops::Range<usize> {
        let (copy, place) = self.place(vector);
        let start = (copy * self.places() + place) * self.width;
        start..start + self.width
    }
}

const NO_PLACE: Error = Error::Unsupported("the trained vectors do not fit their places");

/// A number for each trained one, such as the parameters or a gradient. Zeroized on drop.
#[expect(missing_debug_implementations, reason = "a person's weights are private")]
pub struct Parameters {
    shape: Shape,
    numbers: Vec<f64>,
}

impl Parameters {
    /// All zero.
    #[must_use]
    pub fn zeros(shape: Shape) -> Self {
        Self { shape, numbers: vec![0.0; shape.numbers()] }
    }

    /// How many vectors there are.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The entries of a vector.
    ///
    /// # Panics
    /// If there is no such vector.
    #[must_use]
    pub fn vector(&self, vector: Vector) -> &[f64] {
        &self.numbers[self.shape.range(vector)]
    }

    /// The entries of a vector, to change them.
    ///
    /// # Panics
    /// If there is no such vector.
    pub fn vector_mut(&mut self, vector: Vector) -> &mut [f64] {
        let range = self.shape.range(vector);
        &mut self.numbers[range]
    }

    /// All numbers: [`Shape::places`] vectors for each copy, in order.
    #[must_use]
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// All numbers, to change them.
    pub fn numbers_mut(&mut self) -> &mut [f64] {
        &mut self.numbers
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        self.numbers.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use he_nn::model::Window;

    use super::*;

    /// With 64 tokens.
    fn shape(rank: usize, classes: usize) -> Result<Shape, Error> {
        let config = Config {
            vocabulary: 1,
            tokens: 64,
            width: 8,
            heads: 2,
            hidden: 16,
            classes,
            weight_frac_bits: 10,
            layers: Vec::new(),
            head_norm: Window { low: 0.5, high: 2.0 },
            tanh: 4.0,
        };
        Shape::new(rank, &config)
    }

    #[test]
    fn every_vector_and_the_canary_have_places_of_their_own() {
        for (rank, classes) in (1..=4).flat_map(|rank| (1..=7).map(move |k| (rank, k))) {
            let shape = shape(rank, classes).unwrap();
            let vectors = shape.vectors().into_iter().map(|vector| shape.place(vector));
            let mut all: Vec<_> = vectors.chain(shape.canary()).collect();
            let count = all.len();
            assert_eq!(count, 14 * rank + classes + 1, "rank {rank}, {classes} classes");
            assert!(all.iter().all(|&(copy, place)| copy < COPIES && place < shape.places()));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "rank {rank}, {classes} classes");
        }
    }

    #[test]
    fn a_quarter_of_the_tokens_is_the_most() {
        for (rank, places) in [(1, 5), (2, 8), (3, 12), (4, 16)] {
            assert_eq!(shape(rank, 2).unwrap().places(), places);
        }
        let full = shape(4, 8).unwrap();
        assert_eq!((full.places(), full.canary()), (16, None));
        assert!(shape(4, 9).is_err() && shape(5, 2).is_err() && shape(0, 2).is_err());
    }
}
