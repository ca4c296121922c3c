//! What passes multiply with: a state that was brought back to slots, unpacked.

use alloc::vec::Vec;
use core::fmt;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::layer::update::Updates;
use he_nn::layout::sum_rotations;

use crate::adapter::{Adapter, LayerAdapter};
use crate::full::Full;
use crate::parameters::{HEAD, Shape, Side, Vector};
use crate::state::{COPIES, Places};

/// What passes multiply with, in the slots of a pack of the stream.
pub struct Trained<E: Refresh> {
    /// The update of the projections; none of rank 0.
    pub(crate) adapter: Option<Adapter<E>>,
    /// The updates of all matrices, if they are trained.
    pub(crate) full: Option<Full<E>>,
    /// Rows of the dense layer's update, in the lower half of all copies.
    pub(crate) down: Vec<E::Ciphertext>,
    /// Columns of the dense layer's update, likewise.
    pub(crate) up: Vec<E::Ciphertext>,
    /// The column of class `c` in the lower half of copy `c`.
    pub(crate) classes: E::Ciphertext,
}

impl<E: Refresh> fmt::Debug for Trained<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trained {{ adapter: {:?}, full: {} }}", self.adapter, self.full.is_some())
    }
}

impl<E: Refresh> Trained<E> {
    /// From the state, one level down; updates are scaled by `scaling`.
    ///
    /// # Errors
    /// If a key is missing, or the scaling or the level is not usable.
    pub fn unpack(
        eval: &E,
        shape: Shape,
        scaling: f64,
        state: &E::Ciphertext,
    ) -> Result<Self, Error> {
        let places = Places::new(eval, shape)?;
        let tokens = places.tokens;
        let taken = |place: usize, copies: &dyn Fn(usize) -> bool, move_by: isize| {
            let mask = places.slots(|j, c, _| if j == place && copies(c) { 1.0 } else { 0.0 });
            let x = mul_values(eval, state, &mask, eval.default_scale())?;
            eval.rotate(&x, place.cast_signed() - move_by)
        };
        let spread = |x: &E::Ciphertext, to: usize| sum_rotations(eval, x, -1, 1..to);
        let projection = |layer: usize, side: Side| {
            let vector = |r| Vector::Projection { layer, projection: 0, side, r };
            let one = |r| spread(&taken(shape.place(vector(r)).1, &|c| c < HEAD, 0)?, tokens);
            (0..shape.rank()).map(one).collect::<Result<Vec<_>, Error>>()
        };
        let layer =
            |layer| LayerAdapter::new(projection(layer, Side::Down)?, projection(layer, Side::Up)?);
        let adapter = match shape.rank() {
            0 => None,
            _ => {
                let layers = (0..2).map(layer).collect::<Result<Vec<_>, _>>()?;
                Some(Adapter::new(layers, scaling, shape.width(), places.feature_step())?)
            }
        };
        let dense = |side: Side| {
            let one = |r| {
                let (copy, place) = shape.place(Vector::Dense { side, r });
                let x = taken(place, &|c| c == copy, places.distance(HEAD, 0))?;
                let x = spread(&x, tokens / 2)?;
                sum_rotations(eval, &x, -tokens.cast_signed(), 1..COPIES)
            };
            (0..shape.rank()).map(one).collect::<Result<Vec<_>, Error>>()
        };
        let mut classes: Option<E::Ciphertext> = None;
        for k in 0..shape.classes() {
            let (copy, place) = shape.place(Vector::Class(k));
            let x = taken(place, &|c| c == copy, places.distance(HEAD, k))?;
            classes = Some(match classes {
                None => x,
                Some(others) => eval.add(&others, &x)?,
            });
        }
        let classes = spread(&classes.ok_or(Error::Unsupported("no classes"))?, tokens / 2)?;
        let [down, up] = [Side::Down, Side::Up].map(dense);
        Ok(Self { adapter, full: None, down: down?, up: up?, classes })
    }

    /// With updates of all matrices, in place of an adapter of rank 0.
    #[must_use]
    pub fn with_full(self, full: Full<E>) -> Self {
        Self { full: Some(full), ..self }
    }

    /// What a pass takes.
    #[must_use]
    pub fn updates(&self) -> Option<&dyn Updates<E>> {
        let adapter = self.adapter.as_ref().map(|all| all as &dyn Updates<E>);
        self.full.as_ref().map(|all| all as &dyn Updates<E>).or(adapter)
    }
}
