//! Matrices, normalisation, low-rank updates and the attention, each with its transpose or
//! derivative. Matrices are `tokens × features`, row-major.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use he_core::refresh::Weights;
use he_nn::model::Kernel;

use crate::matrices::Matrices;
use crate::parameters::{Parameters, Side, Vector};

/// `x W`.
pub(super) fn product(x: &[f64], weights: &Weights) -> Vec<f64> {
    let unit = libm::ldexp(1.0, -weights.frac_bits.cast_signed());
    let mut out = Vec::new();
    for row in x.chunks_exact(weights.inputs) {
        let mut sums = vec![0.0; weights.outputs];
        for (x, entries) in row.iter().zip(weights.entries.chunks_exact(weights.outputs)) {
            sums.iter_mut().zip(entries).for_each(|(y, &w)| *y += x * unit * f64::from(w));
        }
        out.extend(sums);
    }
    out
}

/// `g Wᵀ`.
pub(super) fn product_back(g: &[f64], weights: &Weights) -> Vec<f64> {
    let unit = libm::ldexp(1.0, -weights.frac_bits.cast_signed());
    let row = |g: &[f64], entries: &[i32]| -> f64 {
        g.iter().zip(entries).map(|(g, &w)| g * unit * f64::from(w)).sum()
    };
    let tokens = g.chunks_exact(weights.outputs);
    tokens
        .flat_map(|g| weights.entries.chunks_exact(weights.outputs).map(move |w| row(g, w)))
        .collect()
}

/// The derivatives of [`Matrices::add_products`]: those by the trained entries, and what is added to that by `x`.
pub(super) fn products_back(
    (all, gradient): (&Matrices, &mut Matrices),
    numbers: Range<usize>,
    (x, g): (&[f64], &[f64]),
    g_x: &mut [f64],
) {
    let [inputs, outputs] = Matrices::blocks(&numbers, x.len(), g.len());
    let width = all.order().width();
    let tokens = x.chunks_exact(inputs * width).zip(g_x.chunks_exact_mut(inputs * width));
    for ((x, g_x), g) in tokens.zip(g.chunks_exact(outputs * width)) {
        for (i, x) in x.chunks_exact(width).enumerate() {
            for (o, g) in g.chunks_exact(width).enumerate() {
                let index = numbers.start + outputs * i + o;
                let rows = all.matrix(index).chunks_exact(width).zip(&mut g_x[i * width..]);
                rows.for_each(|(row, g_x)| *g_x += dot(row, g));
                for (entry, sum) in gradient.matrix_mut(index).iter_mut().enumerate() {
                    if all.is_trained(index, entry % width) {
                        *sum += x[entry / width] * g[entry % width];
                    }
                }
            }
        }
    }
}

/// Every token over the root of its mean square, padding's with 1 more, and the inverse roots.
pub(super) fn normalise(x: &[f64], width: usize, mask: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mean = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>() / to_f64(width);
    let rows = x.chunks_exact(width).zip(mask);
    let roots: Vec<f64> = rows.map(|(row, m)| 1.0 / libm::sqrt(mean(row) + 1.0 - m)).collect();
    let out = x.chunks_exact(width).zip(&roots).flat_map(|(row, r)| row.iter().map(move |x| x * r));
    (out.collect(), roots)
}

/// `r (g − n mean(n∘g))`.
pub(super) fn normalise_back(n: &[f64], roots: &[f64], g: &[f64], width: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(g.len());
    for ((n, g), root) in n.chunks_exact(width).zip(g.chunks_exact(width)).zip(roots) {
        let mean = n.iter().zip(g).map(|(n, g)| n * g).sum::<f64>() / to_f64(width);
        out.extend(n.iter().zip(g).map(|(n, g)| root * (g - n * mean)));
    }
    out
}

/// Adds `scaling · Σ_r ⟨down_r, x⟩ up_r`.
pub(super) fn update(down: &[&[f64]], up: &[&[f64]], scaling: f64, x: &[f64], y: &mut [f64]) {
    for (down, up) in down.iter().zip(up) {
        let width = down.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let inner = scaling * dot(down, x);
            y.iter_mut().zip(*up).for_each(|(y, b)| *y += inner * b);
        }
    }
}

/// The derivatives of [`update`]: those by its vectors, and what is added to that by `x`.
pub(super) fn update_back(
    (parameters, gradient): (&Parameters, &mut Parameters),
    vector: &dyn Fn(Side, usize) -> Vector,
    scaling: f64,
    (x, g): (&[f64], &[f64]),
    g_x: &mut [f64],
) {
    let shape = parameters.shape();
    for r in 0..shape.rank() {
        let [down_at, up_at] = [Side::Down, Side::Up].map(|side| vector(side, r));
        let (down, up) = (parameters.vector(down_at), parameters.vector(up_at));
        let tokens = x.chunks_exact(shape.width()).zip(g.chunks_exact(shape.width()));
        for ((x, g), g_x) in tokens.zip(g_x.chunks_exact_mut(shape.width())) {
            let (inner, weight) = (scaling * dot(down, x), scaling * dot(up, g));
            add(gradient.vector_mut(down_at), weight, x);
            add(gradient.vector_mut(up_at), inner, g);
            add(g_x, weight, down);
        }
        let is_trained = |f| shape.is_trained(up_at, f);
        let up = gradient.vector_mut(up_at).iter_mut().enumerate();
        up.filter(|(f, _)| !is_trained(*f)).for_each(|(_, g)| *g = 0.0);
    }
}

/// The attention of all heads.
pub(super) struct Attention<'a> {
    pub(super) kernel: Kernel,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) mask: &'a [f64],
    /// Queries, `asking × width`.
    pub(super) q: &'a [f64],
    pub(super) k: &'a [f64],
    pub(super) v: &'a [f64],
}

impl Attention<'_> {
    /// For all heads and queries, where their features are, and for all keys where theirs are with the weight of
    /// their values: `exp(−|q − k|²) mask`, or `exp(q·k) mask` over its sum.
    fn weights(&self) -> impl Iterator<Item = (usize, Vec<(usize, f64)>)> {
        let depth = self.width / self.heads;
        let asking = self.q.len() / self.width;
        (0..self.heads * asking).map(move |n| {
            let (first, i) = (n / asking * depth, n % asking);
            let at = i * self.width + first;
            let q = &self.q[at..at + depth];
            let weight = |(j, mask): (usize, &f64)| {
                let other = j * self.width + first;
                (other, libm::exp(self.exponent(q, &self.k[other..other + depth])) * mask)
            };
            let mut weights: Vec<_> = self.mask.iter().enumerate().map(weight).collect();
            if let Kernel::Softmax { .. } = self.kernel {
                let sum: f64 = weights.iter().map(|(_, p)| p).sum();
                weights.iter_mut().for_each(|(_, p)| *p /= sum);
            }
            (at, weights)
        })
    }

    fn exponent(&self, q: &[f64], k: &[f64]) -> f64 {
        match self.kernel {
            Kernel::Gaussian { .. } => {
                -q.iter().zip(k).map(|(q, k)| (q - k) * (q - k)).sum::<f64>()
            }
            Kernel::Softmax { .. } => dot(q, k),
        }
    }

    /// `Σ_j p_ij v_j`.
    pub(super) fn forward(&self) -> Vec<f64> {
        let depth = self.width / self.heads;
        let mut out = vec![0.0; self.q.len()];
        for (i, weights) in self.weights() {
            for (j, p) in weights {
                add(&mut out[i..i + depth], p, &self.v[j..j + depth]);
            }
        }
        out
    }

    /// The derivatives by queries, keys and values.
    pub(super) fn backward(&self, g: &[f64]) -> [Vec<f64>; 3] {
        let depth = self.width / self.heads;
        let mut out = [self.q, self.k, self.v].map(|m| vec![0.0; m.len()]);
        for (i, weights) in self.weights() {
            let g = &g[i..i + depth];
            let by_weight = |j: usize| dot(g, &self.v[j..j + depth]);
            let along: f64 = match self.kernel {
                Kernel::Gaussian { .. } => 0.0,
                Kernel::Softmax { .. } => weights.iter().map(|&(j, p)| p * by_weight(j)).sum(),
            };
            for (j, p) in weights {
                add(&mut out[2][j..j + depth], p, g);
                let slope = p * (by_weight(j) - along);
                for f in 0..depth {
                    let (q, k) = (self.q[i + f], self.k[j + f]);
                    let [by_query, by_key] = match self.kernel {
                        Kernel::Gaussian { .. } => [-2.0 * (q - k), 2.0 * (q - k)],
                        Kernel::Softmax { .. } => [k, q],
                    };
                    out[0][i + f] += slope * by_query;
                    out[1][j + f] += slope * by_key;
                }
            }
        }
        out
    }
}

/// `y + a x`, in place.
pub(super) fn add(y: &mut [f64], a: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

pub(super) fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, x| m.max(x.abs()))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
const fn to_f64(n: usize) -> f64 {
    n as f64
}
