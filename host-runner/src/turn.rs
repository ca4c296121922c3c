//! Whose turn it is to use all cores: one at a time, and questions before work that takes hours; and whose to use the
//! memory that an iteration of training takes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands out turns.
#[derive(Debug, Default)]
pub struct Turn {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    questions: usize,
    /// Iterations that have asked, and those that are over.
    iterations: (u64, u64),
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Taken<'a>(&'a Turn);

/// An iteration under way; it is over when this is dropped.
#[derive(Debug)]
pub struct Iterating<'a>(&'a Turn);

impl Turn {
    /// Waits for whoever has the turn, and goes before all work that waits.
    #[must_use]
    pub fn question(&self) -> Taken<'_> {
        let mut state = self.lock();
        state.questions += 1;
        let mut state = self.wait_while(state, |state| state.is_taken);
        state.questions -= 1;
        state.is_taken = true;
        Taken(self)
    }

    /// Waits for whoever has the turn and for every question.
    #[must_use]
    pub fn work(&self) -> Taken<'_> {
        let mut state = self.wait_while(self.lock(), |state| state.is_taken || state.questions > 0);
        state.is_taken = true;
        Taken(self)
    }

    /// Waits for all iterations that have asked before, of whatever job.
    #[must_use]
    pub fn iteration(&self) -> Iterating<'_> {
        let mut state = self.lock();
        let mine = state.iterations.0;
        state.iterations.0 += 1;
        drop(self.wait_while(state, |state| state.iterations.1 < mine));
        Iterating(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        is_early: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.freed.wait_while(state, |state| is_early(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.lock().is_taken = false;
        self.0.freed.notify_all();
    }
}

impl Drop for Iterating<'_> {
    fn drop(&mut self) {
        self.0.lock().iterations.1 += 1;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn questions_that_wait_go_before_work_that_waits() {
        let (turn, order) = (Turn::default(), Mutex::new(Vec::new()));
        let (first, note) = (turn.work(), |what| order.lock().unwrap().push(what));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _turn = turn.question();
                    note("question");
                });
            }
            while turn.lock().questions < 2 {
                thread::yield_now();
            }
            drop(first);
            let _turn = turn.work();
            note("work");
        });
        assert_eq!(*order.lock().unwrap(), ["question", "question", "work"]);
    }
    #[test]
    fn iterations_take_turns_in_the_order_in_which_they_ask() {
        let (turn, order) = (Turn::default(), Mutex::new(Vec::new()));
        let first = turn.iteration();
        thread::scope(|scope| {
            for number in 1..4 {
                scope.spawn({
                    let (turn, order) = (&turn, &order);
                    move || {
                        let _iterating = turn.iteration();
                        order.lock().unwrap().push(number);
                    }
                });
                while turn.lock().iterations.0 <= number {
                    thread::yield_now();
                }
            }
            assert!(order.lock().unwrap().is_empty());
            drop(first);
        });
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    }
}
