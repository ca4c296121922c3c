//! Limbs on all cores, through rayon's pool.

use he_core::ring::Threads;
use rayon::prelude::*;

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
        let words: usize = parts.iter().map(|part| part.len()).sum();
        if words < WORTH_SHARING || parts.len() <= size {
            parts.chunks_mut(size).enumerate().for_each(|(i, group)| f(i, group));
            return;
        }
        // Groups are large: each may go to whoever is free.
        let groups = parts.par_chunks_mut(size).enumerate().with_max_len(1);
        groups.for_each(|(i, group)| f(i, group));
    }

    fn words(&self, count: usize) -> Vec<u32> {
        he_memory::words(count)
    }
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
}
