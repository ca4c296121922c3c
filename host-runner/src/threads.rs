//! Limbs on all cores, through rayon's pool.

use core::cell::Cell;
use core::time::Duration;
use std::sync::mpsc;

use anyhow::{Context, Result};
use he_core::complex::Complex;
use he_core::ring::Threads;
use rayon::prelude::*;
use rustix::time::{ClockId, clock_gettime};

/// Below this many words the hand-over to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 13;

/// One task a group on rayon's global pool (`RAYON_NUM_THREADS` sets its size).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

impl Threads for Rayon {
    fn for_each(
        &self,
        parts: &mut [&mut [u32]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [u32]]) + Sync),
    ) {
        share(parts, size, f);
    }

    fn count(&self) -> usize {
        rayon::current_num_threads()
    }

    fn for_each_complex(
        &self,
        parts: &mut [&mut [Complex]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [Complex]]) + Sync),
    ) {
        share(parts, size, f);
    }

    fn words(&self, count: usize) -> Vec<u32> {
        he_memory::words(count)
    }
}

fn share<T: Send>(
    parts: &mut [&mut [T]],
    size: usize,
    f: &(dyn Fn(usize, &mut [&mut [T]]) + Sync),
) {
    let words: usize = parts.iter().map(|part| part.len()).sum();
    if words < WORTH_SHARING || parts.len() <= size {
        parts.chunks_mut(size).enumerate().for_each(|(i, group)| f(i, group));
        return;
    }
    let begun = alone();
    // Groups are large: each may go to whoever is free.
    let groups = parts.par_chunks_mut(size).enumerate().with_max_len(1);
    groups.for_each(|(i, group)| f(i, group));
    SHARED.set(SHARED.get() + alone().saturating_sub(begun));
}

/// The processor time of this thread but for what it did while others could help: what more threads
/// do not make less.
#[must_use]
pub fn alone() -> Duration {
    thread_time().saturating_sub(SHARED.get())
}

/// The processor time of this thread.
#[must_use]
pub fn thread_time() -> Duration {
    // The clock starts at zero and never goes back.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

thread_local! {
    /// The processor time of this thread within [`share`].
    static SHARED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Runs `f` on a thread of the pool, which limbs are handed over from at the least cost, and what it
/// notifies of here, as it comes.
///
/// # Errors
/// Those of `f`.
pub fn on_pool<E: Send, T: Send>(
    f: impl FnOnce(&mut dyn FnMut(E)) -> Result<T> + Send,
    notify: &mut dyn FnMut(E),
) -> Result<T> {
    let (done, result) = mpsc::channel();
    rayon::in_place_scope(|scope| {
        let (sender, events) = mpsc::channel();
        // Whoever is not there any more need not hear of it.
        let mut send = move |event| drop(sender.send(event));
        scope.spawn(move |_| drop(done.send(f(&mut send))));
        events.into_iter().for_each(notify);
    });
    result.recv().context("the pool gave no result")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_visited_once_in_its_own_group() {
        for (n, count, size) in [(1, 1, 1), (8, 3, 2), (1 << 12, 7, 3), (1 << 14, 1, 4), (0, 2, 1)]
        {
            let mut words = vec![0u32; n * count];
            let mut parts: Vec<_> = words.chunks_mut(n.max(1)).collect();
            Rayon.for_each(&mut parts, size, &|i, group| {
                assert!(group.len() <= size);
                let group = group.iter_mut().flat_map(|part| part.iter_mut());
                group.for_each(|w| *w += 1 + u32::try_from(i).unwrap());
            });
            for (i, part) in words.chunks(n.max(1)).enumerate() {
                assert!(part.iter().all(|&w| w as usize == 1 + i / size));
            }
        }
    }

    #[test]
    fn what_runs_on_the_pool_is_heard_of_in_order_and_returns_its_result_or_error() {
        let (mut heard, main) = (Vec::new(), std::thread::current().id());
        let mut notify = |event| {
            assert_eq!(std::thread::current().id(), main);
            heard.push(event);
        };
        let run = |notify: &mut dyn FnMut(i32)| {
            assert!(rayon::current_thread_index().is_some());
            (0..5).for_each(notify);
            Ok(7)
        };
        assert_eq!(on_pool(run, &mut notify).unwrap(), 7);
        assert_eq!(heard, [0, 1, 2, 3, 4]);
        let failed: Result<()> = on_pool(|_| anyhow::bail!("no"), &mut |(): ()| {});
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
