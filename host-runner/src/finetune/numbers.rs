//! What goes from one iteration to the next, in double precision: vectors, and all matrices if they are trained.

use anyhow::Result;
use he_core::complex::Complex;
use he_core::params::Params;
use he_lora::adamw::Moments;
use he_lora::dense::Grid;
use he_lora::full::state;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Shape};
use he_lora::reference::{self, Example, Outcome};
use he_lora::state::{Kind, Places};
use he_lora::training::Training;
use he_nn::model::{Config, Model};

/// A state of training.
#[expect(missing_debug_implementations, reason = "holds a person's weights")]
pub struct State {
    /// What is trained.
    pub parameters: Parameters,
    /// What the optimizer remembers.
    pub moments: Moments,
    /// Updates of all matrices, their means and squares, if they are trained.
    pub matrices: Option<[Matrices; 3]>,
}

impl State {
    /// These parameters, and zeros.
    #[must_use]
    pub fn first(parameters: Parameters, config: &Config) -> Self {
        let shape = parameters.shape();
        let zeros = || Parameters::zeros(shape);
        let moments = Moments { mean: zeros(), square: zeros() };
        let matrices = shape.is_full().then(|| [(); 3].map(|()| Matrices::zeros(config)));
        Self { parameters, moments, matrices }
    }

    /// The outcome of an example, and the gradient of all matrices.
    #[must_use]
    pub fn evaluate(
        &self,
        model: &Model,
        training: &Training,
        example: Example<'_>,
    ) -> (Outcome, Option<Matrices>) {
        let (vectors, scaling, loss) = (&self.parameters, training.scaling, training.loss);
        let Some([updates, ..]) = &self.matrices else {
            return (reference::evaluate(model, vectors, scaling, example, loss), None);
        };
        let both = (vectors, updates);
        let (outcome, gradient) = reference::evaluate_full(model, both, scaling, example, loss);
        (outcome, Some(gradient))
    }

    /// The scores of an example.
    #[must_use]
    pub fn scores(&self, model: &Model, training: &Training, example: Example<'_>) -> Vec<f64> {
        self.evaluate(model, training, example).0.scores
    }

    /// Step `number` of the optimizer, with gradients that have their gains.
    pub fn step(
        &mut self,
        training: &Training,
        number: u32,
        (vectors, matrices): (&Parameters, Option<&Matrices>),
        root: &dyn Fn(f64) -> f64,
    ) {
        let optimizer = &training.optimizer;
        optimizer.apply(number, &mut self.parameters, &mut self.moments, vectors, root);
        if let (Some(all), Some(gradient)) = (&mut self.matrices, matrices) {
            for index in 0..gradient.count() {
                let state = all.each_mut().map(|kind| kind.matrix_mut(index));
                let step = (number, training.matrices.rate);
                optimizer.apply_to(step, state, gradient.matrix(index), root);
            }
        }
    }

    /// The largest of the means of squares.
    #[must_use]
    pub fn largest_square(&self) -> f64 {
        let largest = |m: f64, x: &f64| m.max(*x);
        let vectors = self.moments.square.numbers().iter().fold(0.0, largest);
        let Some([.., square]) = &self.matrices else { return vectors };
        (0..square.count()).fold(vectors, |m, index| square.matrix(index).iter().fold(m, largest))
    }

    /// The largest difference of a parameter.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f64 {
        let largest =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        let vectors = largest(self.parameters.numbers(), other.parameters.numbers());
        let (Some([a, ..]), Some([b, ..])) = (&self.matrices, &other.matrices) else {
            return vectors;
        };
        let one = |index| largest(a.matrix(index), b.matrix(index));
        (0..a.count()).map(one).fold(vectors, f64::max)
    }

    /// The slots of the ciphertexts of a state that has no means and squares of vectors yet.
    ///
    /// # Errors
    /// If it does not fit the parameters.
    pub fn slots(&self, params: &Params) -> Result<Vec<Vec<Complex>>> {
        let mut all =
            vec![places(params, self.parameters.shape())?.pack(Kind::Parameter, &self.parameters)];
        if let Some(matrices) = &self.matrices {
            let grid = grid(params, self.parameters.shape().width())?;
            all.extend(state::pack(&grid, matrices.each_ref())?);
        }
        Ok(all)
    }

    /// From the slots of its ciphertexts.
    ///
    /// # Errors
    /// If there are too few.
    pub fn read(
        (params, config): (&Params, &Config),
        shape: Shape,
        slots: &[Vec<Complex>],
    ) -> Result<Self> {
        let (places, first) = (places(params, shape)?, slots.first().map_or(&[][..], |all| all));
        let read = |kind| places.read(kind, first);
        let moments = Moments { mean: read(Kind::Mean)?, square: read(Kind::Square)? };
        let matrices = match shape.is_full() {
            false => None,
            true => {
                let grid = grid(params, config.width)?;
                let read = |kind| state::read(&grid, config, kind, slots.get(1..).unwrap_or(&[]));
                Some([read(0)?, read(1)?, read(2)?])
            }
        };
        Ok(Self { parameters: read(Kind::Parameter)?, moments, matrices })
    }

    /// How many ciphertexts it has.
    ///
    /// # Errors
    /// If the model does not fill a pack.
    pub fn ciphertexts(params: &Params, config: &Config, shape: Shape) -> Result<usize> {
        match shape.is_full() {
            true => Ok(1 + state::Size::of(&grid(params, config.width)?, config).ciphertexts()),
            false => Ok(1),
        }
    }
}

/// Where the numbers of vectors are.
///
/// # Errors
/// If they do not fit the parameters.
pub fn places(params: &Params, shape: Shape) -> Result<Places> {
    Ok(Places::of_slots(params.degree() / 2, params.tokens(), shape)?)
}

fn grid(params: &Params, width: usize) -> Result<Grid> {
    Ok(Grid::of_rows(params.degree() / params.tokens(), params.tokens(), width)?)
}
