//! Reverse-mode differentiation of scalars, and the model written with them: a second derivation of
//! the gradient, which shares no formula with the first.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::ops::{Add, Mul, Sub};

use he_core::refresh::Weights;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Side, Vector};
use he_lora::reference::{Example, Loss};
use he_nn::model::{Kernel, Linear, Model};

/// For each number, what it was made of and by what derivative.
type Graph = Rc<RefCell<Vec<Vec<(usize, f64)>>>>;

/// A number that knows where it comes from.
#[derive(Clone)]
pub(crate) struct Number {
    graph: Graph,
    index: usize,
    pub(crate) value: f64,
}

impl Number {
    fn new(graph: &Graph, value: f64, parents: Vec<(usize, f64)>) -> Self {
        let index = graph.borrow().len();
        graph.borrow_mut().push(parents);
        Self { graph: Rc::clone(graph), index, value }
    }

    fn map(&self, value: f64, slope: f64) -> Self {
        Self::new(&self.graph, value, vec![(self.index, slope)])
    }

    fn scaled(&self, factor: f64) -> Self {
        self.map(self.value * factor, factor)
    }

    fn plus(&self, constant: f64) -> Self {
        self.map(self.value + constant, 1.0)
    }

    fn exp(&self) -> Self {
        self.map(self.value.exp(), self.value.exp())
    }

    fn ln(&self) -> Self {
        self.map(self.value.ln(), 1.0 / self.value)
    }

    fn power(&self, exponent: f64) -> Self {
        self.map(self.value.powf(exponent), exponent * self.value.powf(exponent - 1.0))
    }

    fn tanh(&self) -> Self {
        self.map(self.value.tanh(), 1.0 / self.value.cosh().powi(2))
    }

    /// The error function; its slope is `2 e^(−x²) / √π`.
    fn erf(&self) -> Self {
        let slope = (-self.value * self.value).exp() * core::f64::consts::FRAC_2_SQRT_PI;
        self.map(libm::erf(self.value), slope)
    }

    fn gelu(&self) -> Self {
        let half = self.scaled(0.5);
        &half + &(&half * &self.scaled(core::f64::consts::FRAC_1_SQRT_2).erf())
    }

    /// The derivatives of this number by all before it.
    fn derivatives(&self) -> Vec<f64> {
        let graph = self.graph.borrow();
        let mut all = vec![0.0; graph.len()];
        all[self.index] = 1.0;
        for index in (0..=self.index).rev() {
            for &(parent, slope) in &graph[index] {
                all[parent] += all[index] * slope;
            }
        }
        all
    }
}

impl Add for &Number {
    type Output = Number;
    fn add(self, other: Self) -> Number {
        let parents = vec![(self.index, 1.0), (other.index, 1.0)];
        Number::new(&self.graph, self.value + other.value, parents)
    }
}

impl Sub for &Number {
    type Output = Number;
    fn sub(self, other: Self) -> Number {
        let parents = vec![(self.index, 1.0), (other.index, -1.0)];
        Number::new(&self.graph, self.value - other.value, parents)
    }
}

impl Mul for &Number {
    type Output = Number;
    fn mul(self, other: Self) -> Number {
        let parents = vec![(self.index, other.value), (other.index, self.value)];
        Number::new(&self.graph, self.value * other.value, parents)
    }
}

fn sum(terms: impl IntoIterator<Item = Number>) -> Number {
    terms.into_iter().reduce(|a, b| &a + &b).unwrap()
}

fn dot(a: &[Number], b: &[Number]) -> Number {
    sum(a.iter().zip(b).map(|(a, b)| a * b))
}

fn norm(x: &[Number], extra: f64) -> Vec<Number> {
    let mean = dot(x, x).scaled(1.0 / f64::from(u32::try_from(x.len()).unwrap()));
    let root = mean.plus(extra).power(-0.5);
    x.iter().map(|x| x * &root).collect()
}

fn added(x: &[Number], y: &[Number]) -> Vec<Number> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

/// The model, with parameters and then updates of matrices as numbers.
struct Net<'a> {
    model: &'a Model,
    parameters: &'a Parameters,
    updates: &'a Matrices,
    trained: Vec<Number>,
    scaling: f64,
}

impl Net<'_> {
    fn vector(&self, vector: Vector) -> &[Number] {
        let shape = self.parameters.shape();
        let (copy, place) = shape.place(vector);
        let start = (copy * shape.places() + place) * shape.width();
        &self.trained[start..start + shape.width()]
    }

    /// `x (W + D)`, with `D` in blocks from number `first` of a layer on.
    fn product(&self, x: &[Number], w: &Weights, (linear, first): (Linear, usize)) -> Vec<Number> {
        let (unit, width) = (1.0 / f64::from(1u32 << w.frac_bits), self.model.config().width);
        let entry = |f: usize, g: usize| {
            let block = f / width * (w.outputs / width) + g / width;
            let matrix = self.updates.of(linear).start + first + block;
            let inside = f % width * width + g % width;
            let update = self.parameters.numbers().len() + matrix * width * width + inside;
            self.trained[update].plus(f64::from(w.entries[f * w.outputs + g]) * unit)
        };
        (0..w.outputs).map(|g| sum((0..w.inputs).map(|f| &x[f] * &entry(f, g)))).collect()
    }

    fn project(
        &self,
        x: &[Number],
        w: &Weights,
        place: (Linear, usize),
        vector: &dyn Fn(Side, usize) -> Vector,
    ) -> Vec<Number> {
        let mut y = self.product(x, w, place);
        for r in 0..self.parameters.shape().rank() {
            let inner = dot(self.vector(vector(Side::Down, r)), x).scaled(self.scaling);
            let up = self.vector(vector(Side::Up, r));
            y = y.iter().zip(up).map(|(y, b)| y + &(&inner * b)).collect();
        }
        y
    }

    /// A block for the tokens `asking`, of which the first `length` are real.
    fn block(
        &self,
        layer: usize,
        x: &[Vec<Number>],
        asking: usize,
        length: usize,
    ) -> Vec<Vec<Number>> {
        let (config, weights) = (self.model.config(), &self.model.layers()[layer]);
        let padding = |t: usize| if t < length { 0.0 } else { 1.0 };
        let n: Vec<Vec<Number>> = match layer {
            0 => x.to_vec(),
            _ => x.iter().enumerate().map(|(t, x)| norm(x, padding(t))).collect(),
        };
        let attention = &weights.attention;
        let projected = |c: usize, w: &Weights| -> Vec<Vec<Number>> {
            let vector = |side, r| Vector::Projection { layer, projection: c, side, r };
            let place = (Linear::Projections(layer), c);
            n.iter().map(|n| self.project(n, w, place, &vector)).collect()
        };
        let q = projected(0, &attention.query);
        let k = projected(1, &attention.key);
        let v = projected(2, &attention.value);
        let depth = config.head_width();
        (0..asking)
            .map(|i| {
                let mut out = Vec::new();
                for h in (0..config.heads).map(|h| h * depth..(h + 1) * depth) {
                    let weight = |j: usize| {
                        let (q, k) = (&q[i][h.clone()], &k[j][h.clone()]);
                        let difference: Vec<_> = q.iter().zip(k).map(|(q, k)| q - k).collect();
                        match config.layers[layer].kernel {
                            Kernel::Gaussian { .. } => dot(&difference, &difference).scaled(-1.0),
                            Kernel::Softmax { .. } => dot(q, k),
                        }
                    };
                    let mut kernel: Vec<Number> = (0..length).map(|j| weight(j).exp()).collect();
                    if let Kernel::Softmax { .. } = config.layers[layer].kernel {
                        let inverse = sum(kernel.iter().cloned()).power(-1.0);
                        kernel = kernel.iter().map(|p| p * &inverse).collect();
                    }
                    out.extend(
                        h.map(|f| sum(kernel.iter().enumerate().map(|(j, p)| p * &v[j][f]))),
                    );
                }
                let x = added(
                    &x[i],
                    &self.product(&out, &attention.output, (Linear::Output(layer), 0)),
                );
                let n = norm(&x, padding(i));
                let (network, gates) = (&weights.feed_forward, Linear::Gates(layer));
                let blocks = config.hidden / config.width;
                let values = self.product(&n, &network.value, (gates, blocks));
                let gates = self.product(&n, &network.gate, (gates, 0));
                let hidden: Vec<_> =
                    gates.iter().zip(&values).map(|(g, v)| &g.gelu() * v).collect();
                added(&x, &self.product(&hidden, &network.output, (Linear::Units(layer), 0)))
            })
            .collect()
    }
}

/// The loss and its derivative by every number among the parameters, and then by every entry of the updates of matrices.
pub(crate) fn loss_and_gradient(
    model: &Model,
    (parameters, updates): (&Parameters, &Matrices),
    scaling: f64,
    example: Example<'_>,
    loss: Loss,
) -> (f64, Vec<f64>) {
    let graph = Graph::default();
    let leaf = |&value: &f64| Number::new(&graph, value, Vec::new());
    let entries = (0..updates.count()).flat_map(|index| updates.matrix(index));
    let trained: Vec<Number> = parameters.numbers().iter().chain(entries).map(leaf).collect();
    let count = trained.len();
    let net = Net { model, parameters, updates, trained, scaling };
    let config = model.config();
    let tokens = example.embedding.chunks_exact(config.width);
    let x: Vec<Vec<Number>> = tokens.map(|row| row.iter().map(leaf).collect()).collect();
    let x = net.block(0, &x, config.tokens, example.length);
    let x = net.block(1, &x, 1, example.length);
    let n = norm(&x[0], 0.0);
    let dense = net
        .project(&n, &model.head().dense, (Linear::Dense, 0), &|side, r| Vector::Dense { side, r });
    let hidden: Vec<Number> = dense.iter().map(Number::tanh).collect();
    let scores: Vec<Number> =
        (0..config.classes).map(|k| dot(net.vector(Vector::Class(k)), &hidden)).collect();
    let value = match loss {
        Loss::CrossEntropy => {
            let total = sum(scores.iter().map(Number::exp)).ln();
            sum(scores.iter().zip(example.label).map(|(z, &y)| (&total - z).scaled(y)))
        }
        Loss::Squared => {
            let difference: Vec<_> =
                scores.iter().zip(example.label).map(|(z, y)| z.plus(-y)).collect();
            dot(&difference, &difference)
        }
    };
    let mut gradient = value.derivatives();
    gradient.truncate(count);
    (value.value, gradient)
}
