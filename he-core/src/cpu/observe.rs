//! Who watches a server's operations begin and end: a seam for traces.

use core::fmt;

use crate::ring::Basis;

/// An operation that begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Operation {
    /// What it does.
    pub name: &'static str,
    /// The level it computes at: that of its operand, of the result of an `adjust` or `drop_level`,
    /// and 0 for rows.
    pub level: usize,
    /// The primes of what it computes with.
    pub from: Basis,
    /// The primes of its result.
    pub to: Basis,
    /// How often it does so: rotations of one ciphertext, pairs of a sum of products, rows, weights
    /// that are not zero.
    pub count: usize,
    /// Products with encoded vectors after the rotations of baby steps; 0 for all others.
    pub terms: usize,
}

/// Is told of every operation of a [`Cpu`](super::Cpu).
///
/// Operations nest: on each thread what began last ends first.
pub trait Observer: fmt::Debug + Send + Sync {
    /// An operation begins on this thread.
    fn begin(&self, operation: Operation);

    /// The operation that began last on this thread is over.
    fn end(&self);
}

/// An operation that ends when this is dropped.
pub(super) struct Span<'a>(Option<&'a dyn Observer>);

impl<'a> Span<'a> {
    /// Begins an operation; nothing is computed where nobody watches.
    pub(super) fn begin(
        observer: Option<&'a dyn Observer>,
        operation: impl FnOnce() -> Operation,
    ) -> Self {
        if let Some(observer) = observer {
            observer.begin(operation());
        }
        Self(observer)
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if let Some(observer) = self.0 {
            observer.end();
        }
    }
}
