//! A timer that ends once.

use crate::peripheral::Peripheral;

const CONTROL: usize = 0;
const VALUE: usize = 1;
const RELOAD: usize = 2;
const INTERRUPT: usize = 3;

/// It runs, and asserts its interrupt when it ends.
const CONTROL_RUN: u32 = 1 | 8;

/// A timer.
#[derive(Debug)]
pub struct Timer(pub(crate) &'static Peripheral);

impl Timer {
    /// Takes a timer. `None` if it was already taken.
    #[must_use]
    pub fn take(peripheral: &'static Peripheral) -> Option<Self> {
        peripheral.take().then_some(Self(peripheral))
    }

    /// Starts it, or starts it anew: it ends after so many ticks of the processor's clock.
    pub(crate) fn start(&self, ticks: u32) {
        self.stop();
        self.0.write(RELOAD, ticks);
        self.0.write(VALUE, ticks);
        self.0.write(CONTROL, CONTROL_RUN);
    }

    /// Whether it has ended since it was started.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.read(INTERRUPT) & 1 != 0
    }

    /// Stops it. It has then not ended.
    pub(crate) fn stop(&self) {
        self.0.write(CONTROL, 0);
        self.0.write(INTERRUPT, 1);
    }
}
