//! Every part of full fine-tuning on any evaluator, with the matrices, the input and the derivative of a sample.

use anyhow::Result;
use he_core::refresh::{Halves, Refresh};
use he_lora::adamw::{AdamW, update};
use he_lora::dense::{self, Grid, Side};
use he_nn::layer::assembly::as_product;
use he_nn::model::Config;

use super::{Part, Site, sites};

/// Levels above rows that inputs are brought to for a product, and for one whose gradient is wanted.
const PRODUCT: usize = 2;
const TRAINED: usize = 4;

/// Two matrices, an input and a derivative, and all that parts begin with.
pub(in crate::compare) struct Sample<'a, E: Refresh> {
    eval: &'a E,
    config: &'a Config,
    optimizer: &'a AdamW,
    sites: Vec<Site>,
    pub(in crate::compare) grid: Grid,
    x: E::Rows,
    g: E::Rows,
    rest: E::Ciphertext,
    pub(in crate::compare) diagonals: Vec<E::Ciphertext>,
    transposed: Vec<E::Ciphertext>,
    pub(in crate::compare) input: E::Ciphertext,
    pub(in crate::compare) derivative: E::Ciphertext,
    products: Vec<E::Ciphertext>,
    state: Vec<E::Ciphertext>,
}

impl<'a, E: Refresh> Sample<'a, E> {
    /// The level that matrices at rest are taken from.
    pub(in crate::compare) fn rest_level(eval: &E) -> usize {
        eval.rows_level() + PRODUCT + 1
    }

    /// From an input and a derivative as rows, and from matrices at rest.
    pub(super) fn new(
        eval: &'a E,
        (config, optimizer): (&'a Config, &'a AdamW),
        sites: Vec<Site>,
        (x, g): (E::Rows, E::Rows),
        rest: &E::Ciphertext,
    ) -> Result<Self> {
        let grid = Grid::new(eval, config.width)?;
        let level = eval.rows_level() + PRODUCT - 1;
        let diagonals = grid.diagonals(eval, rest, 0, eval.step(level))?;
        let transposed = grid.transposed(eval, &diagonals)?;
        let vector = |rows, side| {
            let pack = grid.enter(eval, config, &[rows], eval.rows_level() + TRAINED)?;
            grid.copied(eval, &pack, 0, side)
        };
        let (input, derivative) = (vector(&x, Side::Input)?, vector(&g, Side::Output)?);
        let products = dense::gradient(eval, &grid.turns(eval, &input, Side::Input)?, &derivative)?;
        let mut sample = Self {
            eval,
            config,
            optimizer,
            sites,
            grid,
            x,
            g,
            rest: rest.clone(),
            diagonals,
            transposed,
            input,
            derivative,
            products,
            state: Vec::new(),
        };
        sample.state = sample.refreshed()?;
        Ok(sample)
    }

    /// With all matrices of a model.
    pub(in crate::compare) fn of_model(
        eval: &'a E,
        (config, optimizer): (&'a Config, &'a AdamW),
        vectors: (E::Rows, E::Rows),
        rest: &E::Ciphertext,
    ) -> Result<Self> {
        Self::new(eval, (config, optimizer), sites(config), vectors, rest)
    }

    /// Evaluates a part; its results are dropped.
    pub(in crate::compare) fn run(&self, part: Part) -> Result<()> {
        let (eval, grid) = (self.eval, &self.grid);
        match part {
            Part::Inference => self.pass(Side::Input, PRODUCT),
            Part::Forward => self.pass(Side::Input, TRAINED),
            Part::Back => self.pass(Side::Output, TRAINED),
            Part::Weights => (0..self.matrices()).try_for_each(|index| {
                let (index, scale) = (index % grid.held(), eval.step(eval.rows_level() + 1));
                grid.diagonals(eval, &self.rest, index, scale)?;
                Ok(())
            }),
            Part::Transposes => (0..self.matrices()).try_for_each(|_| {
                grid.transposed(eval, &self.diagonals)?;
                Ok(())
            }),
            Part::Gradients => self.gradients(),
            Part::Sums => (0..self.matrices().div_ceil(2)).try_for_each(|pair| {
                let both = dense::paired(eval, &self.products, &self.products)?;
                grid.gathered(eval, &both, pair % grid.held())?;
                Ok(())
            }),
            Part::State => self.refreshed().map(drop),
            Part::Optimizer => {
                let [a, b] = &self.state[..] else {
                    anyhow::bail!("two halves have two ciphertexts");
                };
                update(eval, self.optimizer, 1, [a, b, b, a])?;
                Ok(())
            }
        }
    }

    /// How often that is needed.
    pub(super) fn times(&self, part: Part) -> usize {
        let real = self.matrices().div_ceil(self.grid.held());
        match part {
            // Two ciphertexts at once: parameters, means and squares, and gradients.
            Part::State => (3 * real).div_ceil(2) + real.div_ceil(2),
            Part::Optimizer => real,
            _ => 1,
        }
    }

    /// What bootstraps of a part bring, and to which level.
    pub(super) fn bootstrap(&self, part: Part) -> Result<(Halves, usize)> {
        let above = match part {
            Part::State => return Ok((Halves::Both, self.state_level()?)),
            Part::Inference => PRODUCT,
            _ => TRAINED,
        };
        Ok((Halves::Low, self.eval.rows_level() + above))
    }

    fn matrices(&self) -> usize {
        self.sites.iter().map(|site| site.inputs * site.outputs).sum()
    }

    /// The products of all sites in one direction.
    fn pass(&self, from: Side, above: usize) -> Result<()> {
        let (eval, grid) = (self.eval, &self.grid);
        for site in &self.sites {
            let (rows, diagonals, to, [ins, outs]) = match from {
                Side::Input => {
                    (&self.x, &self.diagonals, Side::Output, [site.inputs, site.outputs])
                }
                Side::Output => {
                    (&self.g, &self.transposed, Side::Input, [site.outputs, site.inputs])
                }
            };
            let level = eval.rows_level() + above;
            let pack = grid.enter(eval, self.config, &vec![rows; ins], level)?;
            let is_used = from == Side::Input || site.goes_back;
            let mut turns = Vec::new();
            for copy in 0..ins {
                let x = grid.copied(eval, &pack, copy, from)?;
                if is_used {
                    let x = eval.drop_level(&x, eval.rows_level() + 1)?;
                    turns.push(grid.turns(eval, &x, from)?);
                }
            }
            let terms: Vec<_> = turns.iter().map(|turns| (&turns[..], &diagonals[..])).collect();
            for _ in 0..if is_used { outs } else { 0 } {
                grid.leave(eval, &dense::product(eval, &terms)?, to)?;
            }
        }
        Ok(())
    }

    /// The products of all sites' inputs and derivatives.
    fn gradients(&self) -> Result<()> {
        for site in &self.sites {
            for _ in 0..site.inputs {
                let turns = self.grid.turns(self.eval, &self.input, Side::Input)?;
                for _ in 0..site.outputs {
                    dense::gradient(self.eval, &turns, &self.derivative)?;
                }
            }
        }
        Ok(())
    }

    /// Two ciphertexts of the state, at the level that the optimizer takes.
    fn refreshed(&self) -> Result<Vec<E::Ciphertext>> {
        let eval = self.eval;
        let both = eval.drop_level(&self.rest, eval.rows_level())?;
        let both = eval.add(&both, &eval.mul_i(&both))?;
        let rows = as_product(eval, self.config, &eval.slots_to_rows(&both)?)?;
        Ok(eval.rows_to_slots_at(&rows, Halves::Both, self.state_level()?)?)
    }

    fn state_level(&self) -> Result<usize> {
        let depth = self.optimizer.inverse_root()?.depth() + 4;
        Ok(self.eval.rows_level() + depth)
    }
}
