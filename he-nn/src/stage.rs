//! What the forward pass does, in order, for progress, plans and measurements.

/// The stages of a model of two layers, each named in at most 32 bytes.
pub const STAGES: [&str; 11] = [
    "layer 1: queries, keys, values",
    "layer 1: refresh",
    "layer 1: attention",
    "layer 1: normalisation",
    "layer 1: feed-forward",
    "layer 2: normalisation",
    "layer 2: attention",
    "layer 2: normalisation after",
    "layer 2: feed-forward",
    "head: normalisation",
    "head: classes",
];

/// The place of the first stage after the last attention.
pub(crate) const TAIL: usize = 7;

/// One of [`STAGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its place in [`STAGES`].
    pub index: usize,
}

impl Stage {
    /// What to show.
    #[must_use]
    pub fn name(self) -> &'static str {
        STAGES.get(self.index).copied().unwrap_or_default()
    }

    /// How many stages there are.
    #[must_use]
    pub const fn total() -> usize {
        STAGES.len()
    }
}

/// What a forward pass reports while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stage starts.
    Begin(Stage),
    /// A stage is over.
    End {
        /// Which.
        stage: Stage,
        /// The lowest level that its ciphertexts reached before they became rows.
        level: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_progress_message() {
        assert!(STAGES.iter().all(|name| name.len() <= 32));
    }
}
