//! Updates of whole matrices in the clear: full fine-tuning trains every entry of every linear layer.
//!
//! A layer from `a` to `b` times `d` features is `a · b` square matrices; all of them have numbers, layer by layer in the
//! order of [`Linear::all`], and that from block `i` to block `o` of one layer is number `b i + o` of its own.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use he_nn::model::{Config, Linear};
use zeroize::Zeroize;

/// Which matrix has which number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    width: usize,
    layers: Vec<(Linear, [usize; 2])>,
}

impl Order {
    /// That of a model of this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let layer = |linear: Linear| (linear, linear.blocks(config));
        Self { width: config.width, layers: Linear::all(config).into_iter().map(layer).collect() }
    }

    /// Features.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// How many matrices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.layers.iter().map(|(_, [inputs, outputs])| inputs * outputs).sum()
    }

    /// The numbers of a layer's matrices; none if there is no such layer.
    #[must_use]
    pub fn of(&self, wanted: Linear) -> Range<usize> {
        let mut first = 0;
        for (linear, [inputs, outputs]) in &self.layers {
            let next = first + inputs * outputs;
            if *linear == wanted {
                return first..next;
            }
            first = next;
        }
        first..first
    }

    /// Whether the entries of an output of matrix `index` are trained: the last value of an attention and that of a
    /// feed-forward network are canaries and stay zero.
    #[must_use]
    pub fn is_trained(&self, index: usize, output: usize) -> bool {
        let is_values = |(linear, _): &(Linear, _)| {
            let values = matches!(linear, Linear::Projections(_) | Linear::Gates(_));
            values && index + 1 == self.of(*linear).end
        };
        output + 1 < self.width || !self.layers.iter().any(is_values)
    }
}

/// A number for each entry of every matrix, such as updates or a gradient. Zeroized on drop.
#[expect(missing_debug_implementations, reason = "a person's weights are private")]
pub struct Matrices {
    order: Order,
    all: Vec<Vec<f64>>,
}

impl Matrices {
    /// All zero, for a model of this configuration.
    #[must_use]
    pub fn zeros(config: &Config) -> Self {
        let order = Order::new(config);
        let all = vec![vec![0.0; config.width * config.width]; order.count()];
        Self { order, all }
    }

    /// As many, all zero.
    #[must_use]
    pub fn zeroed(&self) -> Self {
        let all = self.all.iter().map(|matrix| vec![0.0; matrix.len()]).collect();
        Self { order: self.order.clone(), all }
    }

    /// Which has which number.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// How many matrices there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.all.len()
    }

    /// The numbers of a layer's matrices; none if there is no such layer.
    #[must_use]
    pub fn of(&self, wanted: Linear) -> Range<usize> {
        self.order.of(wanted)
    }

    /// Matrix `index`, row-major: `d` inputs, `d` outputs each.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn matrix(&self, index: usize) -> &[f64] {
        &self.all[index]
    }

    /// Matrix `index`, to change it.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn matrix_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.all[index]
    }

    /// Adds `x D` to `y` token by token, for these matrices from all blocks of features of one to all blocks of the other.
    pub fn add_products(&self, numbers: Range<usize>, x: &[f64], y: &mut [f64]) {
        let ([inputs, outputs], width) =
            (Self::blocks(&numbers, x.len(), y.len()), self.order.width());
        for (x, y) in x.chunks_exact(inputs * width).zip(y.chunks_exact_mut(outputs * width)) {
            for (i, x) in x.chunks_exact(width).enumerate() {
                for (o, y) in y.chunks_exact_mut(width).enumerate() {
                    let matrix = self.matrix(numbers.start + outputs * i + o);
                    for (x, row) in x.iter().zip(matrix.chunks_exact(width)) {
                        y.iter_mut().zip(row).for_each(|(y, w)| *y += x * w);
                    }
                }
            }
        }
    }

    /// The same for a part of a layer, as [`he_nn::reference::Update`] counts them.
    pub fn add_part(&self, linear: Linear, part: usize, x: &[f64], y: &mut [f64]) {
        self.add_products(self.part(linear, part), x, y);
    }

    /// Sets a part of a layer to a row-major matrix, of which each row has so many outputs.
    ///
    /// # Panics
    /// If the layer has other inputs or outputs.
    pub fn set_part(&mut self, linear: Linear, part: usize, outputs: usize, entries: &[f64]) {
        let (first, width) = (self.part(linear, part).start, self.order.width());
        for (input, row) in entries.chunks_exact(outputs).enumerate() {
            let place = input % width * width;
            for (o, row) in row.chunks_exact(width).enumerate() {
                let matrix = self.matrix_mut(first + outputs / width * (input / width) + o);
                matrix[place..place + width].copy_from_slice(row);
            }
        }
    }

    /// The numbers of the matrices of a part of a layer.
    fn part(&self, linear: Linear, part: usize) -> Range<usize> {
        let numbers = self.of(linear);
        let parts = match linear {
            Linear::Projections(_) => 3,
            Linear::Gates(_) => 2,
            _ => 1,
        };
        let first = numbers.start + part * numbers.len() / parts;
        first..first + numbers.len() / parts
    }

    /// How many blocks of features go in and come out of a linear layer: on one side there is one.
    pub(crate) const fn blocks(numbers: &Range<usize>, input: usize, output: usize) -> [usize; 2] {
        let count = numbers.end - numbers.start;
        if input > output { [count, 1] } else { [1, count] }
    }

    /// As [`Order::is_trained`].
    #[must_use]
    pub fn is_trained(&self, index: usize, output: usize) -> bool {
        self.order.is_trained(index, output)
    }
}

impl Drop for Matrices {
    fn drop(&mut self) {
        self.all.zeroize();
    }
}
