//! The numbers that are trained, and their places in one ciphertext.
//!
//! All of them are vectors over features: rows `down` and columns `up` of queries, keys, values and the
//! head's dense layer, and one column for each class. A block of slots, one for each feature and copy
//! `c < 4`, has `P = 4·rank` places for each kind of state: projection `c < 3` has place
//! `(2·layer + side)·rank + r`, and `c = 3` has the head: `r` down, `rank + r` up, `2·rank + k` for
//! class `k`.

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
}

impl Shape {
    /// For a model of this configuration.
    ///
    /// # Errors
    /// If the rank is 0, there are more than `2·rank` classes, or the places of all four kinds of
    /// state are more than the tokens.
    pub fn new(rank: usize, config: &Config) -> Result<Self, Error> {
        let shape = Self { rank, width: config.width, classes: config.classes };
        if rank == 0 || config.classes > 2 * rank || 4 * shape.places() > config.tokens {
            return Err(Error::Unsupported("the trained vectors do not fit their places"));
        }
        Ok(shape)
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
        2 * LAYERS * self.rank
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

    /// The copy and the place of the canary, in feature 0, if one is left: a number whose derivative is known.
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
