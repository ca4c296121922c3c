//! How long the server waits and how many it serves.

use core::time::Duration;

/// Bounds on what connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a connection may stay without a question.
    pub idle: Duration,
    /// How long one frame may take from its first byte to its last.
    pub frame: Duration,
    /// Connections held at once; one question is answered at a time, the others wait.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Somebody types a sentence into the device before it has anything to send.
            idle: Duration::from_mins(30),
            // 51 kB at 9,600 baud, twice.
            frame: Duration::from_secs(120),
            connections: 16,
        }
    }
}
