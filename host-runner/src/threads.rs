//! Limbs on all cores, through rayon's pool.

use he_core::ring::Threads;
use rayon::prelude::*;

/// Below this many words the hand-over to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 13;

/// One task a limb on rayon's global pool (`RAYON_NUM_THREADS` sets its size).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

impl Threads for Rayon {
    fn for_each_limb(&self, limbs: &mut [u32], n: usize, f: &(dyn Fn(usize, &mut [u32]) + Sync)) {
        if limbs.len() < WORTH_SHARING || limbs.len() <= n {
            limbs.chunks_exact_mut(n).enumerate().for_each(|(i, limb)| f(i, limb));
            return;
        }
        limbs.par_chunks_exact_mut(n).enumerate().for_each(|(i, limb)| f(i, limb));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limb_is_visited_once_with_its_own_index() {
        for (n, count) in [(1, 1), (8, 3), (1 << 12, 7), (1 << 14, 1), (1 << 13, 2)] {
            let mut limbs = vec![0u32; n * count];
            Rayon.for_each_limb(&mut limbs, n, &|i, limb| {
                limb.iter_mut().for_each(|w| *w += 1 + u32::try_from(i).unwrap());
            });
            for (i, limb) in limbs.chunks(n).enumerate() {
                assert!(limb.iter().all(|&w| w == 1 + u32::try_from(i).unwrap()));
            }
        }
    }
}
