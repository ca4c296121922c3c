//! An update before it is encrypted, and the slots it is encrypted from.

use alloc::vec::Vec;

use he_core::complex::Complex;
use he_nn::Error;
use he_nn::layout::Layout;
use zeroize::Zeroize;

/// Projections that an adapter updates: queries, keys, values.
pub const PROJECTIONS: usize = 3;

/// The update `scaling · up · down` of one layer's projections, in the clear. Zeroized on drop.
///
/// Queries and keys are those of the model's card, with the kernel's width folded in.
#[expect(missing_debug_implementations, reason = "a person's weights are private")]
pub struct Update {
    rank: usize,
    width: usize,
    /// For each projection `rank × width`.
    down: [Vec<f64>; PROJECTIONS],
    /// For each projection `rank × width`: transposed, one row for each of `r`.
    up: [Vec<f64>; PROJECTIONS],
}

impl Update {
    /// From matrices `down` (`rank × width`) and `up` (`rank × width`, transposed), row-major, for
    /// queries, keys and values.
    ///
    /// # Errors
    /// If a length is wrong, or an update changes the last value of a token, which carries a
    /// canary.
    pub fn new(
        rank: usize,
        width: usize,
        down: [Vec<f64>; PROJECTIONS],
        up: [Vec<f64>; PROJECTIONS],
    ) -> Result<Self, Error> {
        let update = Self { rank, width, down, up };
        let mut all = update.down.iter().chain(&update.up);
        if rank == 0 || width == 0 || !all.all(|m| m.len() == rank * width) {
            return Err(Error::Unsupported("an adapter's matrices are rank × width"));
        }
        let [.., values] = &update.up;
        if values.iter().skip(width - 1).step_by(width).any(|&x| x != 0.0) {
            return Err(Error::Unsupported("an adapter leaves the last value zero"));
        }
        Ok(update)
    }

    /// The rank.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// `down` and `up` of a projection, both `rank × width`.
    ///
    /// # Panics
    /// If there is no such projection.
    #[must_use]
    pub fn matrices(&self, projection: usize) -> [&[f64]; 2] {
        [&self.down[projection], &self.up[projection]]
    }

    /// Row `r` of the three matrices `down`, each in the place of its projection.
    #[must_use]
    pub fn down_slots(&self, layout: &Layout<3>, r: usize) -> Vec<Complex> {
        self.slots(layout, &self.down, r)
    }

    /// Column `r` of the three matrices `up`, each in the place of its projection.
    #[must_use]
    pub fn up_slots(&self, layout: &Layout<3>, r: usize) -> Vec<Complex> {
        self.slots(layout, &self.up, r)
    }

    /// Adds `scaling · up · down · x` of projection `c` (0 for queries, 1 for keys, 2 for values) to
    /// `y`, for rows `x` of any number of tokens.
    pub fn apply(&self, c: usize, scaling: f64, x: &[f64], y: &mut [f64]) {
        let (Some(down), Some(up)) = (self.down.get(c), self.up.get(c)) else { return };
        for (down, up) in down.chunks_exact(self.width).zip(up.chunks_exact(self.width)) {
            apply(down, up, scaling, x, y);
        }
    }

    /// Slots of rows `u + 2·(c + 4·f)`, the same for both halves and all tokens.
    fn slots(
        &self,
        layout: &Layout<3>,
        matrices: &[Vec<f64>; PROJECTIONS],
        r: usize,
    ) -> Vec<Complex> {
        layout.values(|[_, c, f], _| {
            let entry = matrices.get(c).and_then(|m| m.get(r * self.width + f));
            entry.copied().unwrap_or(0.0)
        })
    }
}

/// Adds `scaling · up · ⟨down, x⟩` to `y`, for rows `x` of any number of tokens.
pub fn apply(down: &[f64], up: &[f64], scaling: f64, x: &[f64], y: &mut [f64]) {
    for (x, y) in x.chunks_exact(down.len()).zip(y.chunks_exact_mut(up.len())) {
        let inner = scaling * down.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        y.iter_mut().zip(up).for_each(|(y, b)| *y += inner * b);
    }
}

impl Drop for Update {
    fn drop(&mut self) {
        self.down.iter_mut().chain(&mut self.up).for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn three(values: &[f64]) -> [Vec<f64>; PROJECTIONS] {
        core::array::from_fn(|_| values.to_vec())
    }

    #[test]
    fn refuses_wrong_lengths_and_a_changed_canary() {
        assert!(Update::new(1, 2, three(&[1.0, 2.0]), three(&[3.0, 0.0])).is_ok());
        assert!(Update::new(1, 2, three(&[1.0, 2.0]), three(&[3.0, 4.0])).is_err());
        assert!(Update::new(2, 2, three(&[1.0, 2.0]), three(&[3.0, 0.0])).is_err());
        assert!(Update::new(0, 2, three(&[]), three(&[])).is_err());
    }

    #[test]
    fn every_projection_lies_in_its_own_place() {
        let layout = Layout::new([2, 4, 2], 4, 16).ok().unwrap();
        let down = [vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]];
        let update = Update::new(1, 2, down, three(&[0.0, 0.0])).ok().unwrap();
        let slots = update.down_slots(&layout, 0);
        for (c, f, wanted) in [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (2, 1, 6.0), (3, 1, 0.0)] {
            let first = 2 * layout.row([0, c, f]);
            assert!(slots[first..first + 4].iter().all(|z| *z == Complex::real(wanted)));
        }
    }
}
