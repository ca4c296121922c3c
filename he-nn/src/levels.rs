//! Where each bootstrap returns to.

use he_core::refresh::Refresh;

use crate::Error;

/// The levels of bootstraps in order of execution: planned, or the highest for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels<'a> {
    planned: Option<&'a [usize]>,
    used: usize,
}

impl<'a> Levels<'a> {
    /// As planned for what is going to run.
    #[must_use]
    pub const fn planned(levels: &'a [usize]) -> Self {
        Self { planned: Some(levels), used: 0 }
    }

    /// How many bootstraps there were.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Goes on after so many bootstraps.
    pub const fn resume(&mut self, used: usize) {
        self.used = used;
    }

    /// The level of the next bootstrap.
    ///
    /// # Errors
    /// If fewer were planned.
    pub fn next<E: Refresh>(&mut self, eval: &E) -> Result<usize, Error> {
        let level = self.planned.map(|levels| levels.get(self.used).copied());
        self.used += 1;
        let unplanned = Error::Unsupported("the levels are planned for another model");
        level.unwrap_or(Some(eval.computing_level())).ok_or(unplanned)
    }
}
