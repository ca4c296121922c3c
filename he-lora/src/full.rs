//! Full fine-tuning: every entry of every linear layer is trained, as an encrypted update `D` of a frozen matrix.
//!
//! The updates at rest are ciphertexts of [`Grid::held`] matrices each, in the order of [`Order`]. [`Full`] has their diagonals
//! at every token and takes part in a forward pass; `Way` does in the way back, and sums what gradients are gathered from.

pub mod state;
mod way;

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::backward::normalisation::joined;
use he_nn::layer::normalisation::layout;
use he_nn::layer::update::{Input, Updated, Updates};
use he_nn::layout::low_half;
use he_nn::levels::Levels;
use he_nn::model::{Config, Linear};

use crate::dense::{self, Grid, Side};
use crate::matrices::Order;

pub(crate) use self::way::Way;

/// Levels above rows that products with matrices are at.
const PRODUCT: usize = 1;
/// The same on the way back for projections of the last layer: their input's derivative goes on through a normalisation.
const PASSED: usize = 3;

/// The updates of all matrices, as products take them.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Full<E: Refresh> {
    pub(crate) grid: Grid,
    pub(crate) order: Order,
    diagonals: Vec<Vec<E::Ciphertext>>,
    transposed: Vec<Vec<E::Ciphertext>>,
}

impl<E: Refresh> Full<E> {
    /// From updates at rest, which have been bootstrapped; for the way back, too, or not.
    ///
    /// # Errors
    /// If there are too few, they or the model do not fit, or a key is missing.
    pub fn unpack(
        eval: &E,
        config: &Config,
        rest: &[E::Ciphertext],
        goes_back: bool,
    ) -> Result<Self, Error> {
        let (grid, order) = (Grid::new(eval, config.width)?, Order::new(config));
        let (mut diagonals, mut transposed) = (Vec::new(), Vec::new());
        for linear in Linear::all(config) {
            for (block, index) in order.of(linear).enumerate() {
                let rest = rest.get(index / grid.held()).ok_or(NO_MATRIX)?;
                let is_first = block == 0 && linear == last_projections(config);
                let level = match goes_back {
                    true => level(eval, config, linear),
                    false => eval.rows_level() + PRODUCT,
                };
                let rest = eval.drop_level(rest, level + 2 + usize::from(is_first))?;
                let scale = eval.step(level);
                let mut matrix = grid.diagonals(eval, &rest, index % grid.held(), scale)?;
                if is_first {
                    matrix = at_first_token(eval, config, &matrix, scale)?;
                }
                if goes_back && linear != Linear::Projections(0) {
                    transposed.push(grid.transposed(eval, &matrix)?);
                }
                diagonals.push(matrix);
            }
        }
        Ok(Self { grid, order, diagonals, transposed })
    }

    /// The rows of the products of blocks of an input, one ciphertext each, with the matrices of a layer.
    fn products(
        &self,
        eval: &E,
        config: &Config,
        linear: Linear,
        blocks: &[E::Ciphertext],
    ) -> Result<E::Rows, Error> {
        let level = eval.rows_level() + PRODUCT;
        let turns = |x| self.grid.turns(eval, &eval.drop_level(x, level)?, Side::Input);
        let turns = blocks.iter().map(turns).collect::<Result<Vec<_>, _>>()?;
        let low = |x: &Vec<_>| x.iter().map(|x| eval.drop_level(x, level)).collect();
        let (numbers, [_, outputs]) = (self.order.of(linear), linear.blocks(config));
        let mut all = None;
        for o in 0..outputs {
            let matrices = self.diagonals.iter().skip(numbers.start + o).step_by(outputs);
            let matrices = matrices.take(turns.len()).map(low);
            let matrices: Vec<Vec<_>> = matrices.collect::<Result<_, _>>()?;
            let terms = turns.iter().zip(&matrices).map(|(x, w)| (&x[..], &w[..]));
            let terms: Vec<_> = terms.collect();
            let z = dense::product(eval, &terms)?;
            let rows = joined(eval, config, &self.grid.leave(eval, &z, Side::Output)?)?;
            append(eval, &mut all, rows)?;
        }
        all.ok_or(NO_MATRIX)
    }
}

impl<E: Refresh> Updates<E> for Full<E> {
    fn projections(
        &self,
        eval: &E,
        config: &Config,
        layer: usize,
        input: &E::Ciphertext,
    ) -> Result<(E::Rows, Vec<E::Ciphertext>), Error> {
        let linear = Linear::Projections(layer);
        let low = eval.rows_level() + PRODUCT;
        let input = eval.drop_level(input, low + 1)?;
        let placed = self.grid.placed(eval, &input, 0, Side::Input)?;
        // What diagonals that are made for a higher level are off by there.
        let made = self.diagonals.get(self.order.of(linear).start).and_then(|all| all.first());
        let made = eval.step(eval.level(made.ok_or(NO_MATRIX)?));
        let scale = eval.default_scale() * eval.step(low) / made;
        let x = self.grid.weighted(eval, &placed, (Side::Input, scale), |_| 1.0)?;
        Ok((self.products(eval, config, linear, &[x])?, Vec::new()))
    }

    fn linear(
        &self,
        eval: &E,
        config: &Config,
        (linear, rows): (Linear, &E::Rows),
        levels: &mut Levels<'_>,
    ) -> Result<Option<Updated<E>>, Error> {
        let pack = self.grid.pack_rows(eval, config, rows)?;
        let pack = low_half(eval, &pack, levels.next(eval)?)?;
        let [inputs, _] = linear.blocks(config);
        let blocks = (0..inputs).map(|i| self.grid.copied(eval, &pack, i, Side::Input));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        let rows = self.products(eval, config, linear, &blocks)?;
        Ok(Some(Updated { rows, input: Input { linear, blocks } }))
    }
}

/// The level of a product with the matrices of a layer, at which their diagonals are made.
fn level<E: Refresh>(eval: &E, config: &Config, linear: Linear) -> usize {
    let above = if linear == last_projections(config) { PASSED } else { PRODUCT };
    eval.rows_level() + above
}

const fn last_projections(config: &Config) -> Linear {
    Linear::Projections(config.layers.len() - 1)
}

/// Diagonals at the first token alone, which is all whose queries the last layer asks for: one level down.
fn at_first_token<E: Refresh>(
    eval: &E,
    config: &Config,
    diagonals: &[E::Ciphertext],
    scale: f64,
) -> Result<Vec<E::Ciphertext>, Error> {
    let is_first =
        layout(eval, config)?.values(|[u, ..], token| if u == 0 && token == 0 { 1.0 } else { 0.0 });
    diagonals.iter().map(|x| Ok(mul_values(eval, x, &is_first, scale)?)).collect()
}

/// Adds rows at the end.
fn append<E: Refresh>(eval: &E, all: &mut Option<E::Rows>, rows: E::Rows) -> Result<(), Error> {
    *all = Some(match all.take() {
        None => rows,
        Some(all) => eval.concat(&all, &rows)?,
    });
    Ok(())
}

const NO_MATRIX: Error = Error::Unsupported("updates of fewer matrices than the model has");
