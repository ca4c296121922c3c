//! Full fine-tuning on ciphertexts: every part once, its products checked in double precision.

use anyhow::Result;
use he_core::cpu::Cpu;
use he_core::eval::Evaluator;
use he_core::refresh::Refresh;
use he_lora::dense::{self, Side};
use he_nn::model::Config;

use super::{Bench, Measured, Sentence, timed};
use crate::compare::Subject;
use crate::compare::full::sample::Sample;
use crate::compare::full::{PARTS, Part};
use crate::finetune::settings::Settings;

/// The largest entry of a sample's matrix, and of its derivative.
const SMALL: f64 = 0.05;

impl Bench {
    /// Each part of full fine-tuning with the matrices of `subject`, run once: its time is to be taken as often as it is needed.
    /// The error is that of a product with a matrix and of the gradient of one. `step` hears of each.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn full(
        &mut self,
        subject: &Subject,
        settings: &Settings,
        sentence: &Sentence,
        step: &mut dyn FnMut(&'static str),
    ) -> Result<Vec<Measured>> {
        let config = subject.model.config();
        let optimizer = settings.training(config, 1)?.optimizer;
        let x = sentence.rows(config.width);
        let g: Vec<Vec<f64>> = x.iter().rev().map(|x| scaled(x, SMALL)).collect();
        let matrix: Vec<f64> = (0..config.width * config.width).map(entry).collect();
        let rows = (self.rows(&x)?, self.rows(&g)?);
        let grid = dense::Grid::new(&self.cpu, config.width)?;
        let level = Sample::rest_level(&self.cpu);
        let rest = self.encrypt_at(&grid.pack(&[&matrix, &matrix])?, level)?;
        let cpu = &self.cpu;
        let sample = Sample::of_model(cpu, (config, &optimizer), rows, &rest)?;
        let error = self.error(&sample, config, (&x, &g, &matrix))?;
        let one = |part: Part| {
            let ((), time) = timed(|| sample.run(part))?;
            step(part.name());
            Ok(time.measured(error))
        };
        PARTS.into_iter().map(one).collect()
    }

    /// The largest difference of `x D` at the first token, and of the gradient over its largest entry, from those in double
    /// precision.
    fn error(
        &self,
        sample: &Sample<'_, Cpu>,
        config: &Config,
        (x, g, matrix): (&[Vec<f64>], &[Vec<f64>], &[f64]),
    ) -> Result<f64> {
        let (cpu, grid, width) = (&self.cpu, &sample.grid, config.width);
        let turns = grid.turns(cpu, &sample.input, Side::Input)?;
        let low = cpu.rows_level() + 1;
        let lowered =
            turns.iter().map(|x| cpu.drop_level(x, low)).collect::<Result<Vec<_>, _>>()?;
        let y = dense::product(cpu, &[(&lowered, &sample.diagonals)])?;
        let y = grid.enter(cpu, config, &[&grid.leave(cpu, &y, Side::Output)?], low)?;
        let y = self.decrypt(&y);
        let of_feature = |out: usize| {
            let exact: f64 = x.iter().zip(matrix.chunks(width)).map(|(x, w)| x[0] * w[out]).sum();
            (y[out * dense::COPIES * config.tokens].re - exact).abs()
        };
        let product = (0..width).map(of_feature).fold(0.0, f64::max);

        let products = dense::gradient(cpu, &turns, &sample.derivative)?;
        let found = self.decrypt(&grid.gathered(cpu, &products, 0)?);
        let found = grid.read(0, &found)?;
        let exact = |entry: usize| -> f64 {
            let (from, to) = (x.get(entry / width), g.get(entry % width));
            from.zip(to).map_or(0.0, |(x, g)| x.iter().zip(g).map(|(x, g)| x * g).sum())
        };
        let largest = (0..found.len()).map(|entry| exact(entry).abs()).fold(0.0, f64::max);
        let worst = found.iter().enumerate().map(|(entry, x)| (x - exact(entry)).abs());
        Ok(product.max(worst.fold(0.0, f64::max) / largest))
    }
}

fn scaled(x: &[f64], by: f64) -> Vec<f64> {
    x.iter().map(|x| by * x).collect()
}

/// Numbers in `±SMALL` that look random.
fn entry(index: usize) -> f64 {
    let mixed = u32::try_from(index).unwrap_or(0).wrapping_mul(2_654_435_761);
    SMALL * (f64::from(mixed) / 2f64.powi(31) - 1.0)
}
