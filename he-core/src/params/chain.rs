//! How the primes of a chain are chosen.
//!
//! Terminals: the two largest below `2^25`, whose product is the base and whose residues the
//! device sends in 25 bits; and the two within a quarter of a bit of `2^25` whose product is
//! nearest to `2^50`. Specials: the largest below `2^31`. Mains: the nearest to `2^30`, ordered
//! greedily so that each level comes as close to its size as it can: where levels share their
//! mains, to the middle of what they ask for.

/// The bits of a terminal.
pub(super) const LOG_TERMINAL: u32 = 25;

/// The bits of a main.
pub(super) const LOG_MAIN: u32 = 30;

/// How far a level may be from its size.
pub(super) const TOLERANCE_BITS: f64 = 1.0 / 16.0;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{EDGE_128, PRECISE_128, ParamsLiteral};
    use super::*;
    use crate::primes::{LOG_STEP, ntt_primes_below};

    fn log(q: u32) -> f64 {
        libm::log2(f64::from(q))
    }

    fn nearest(pool: impl IntoIterator<Item = u32>, bits: f64) -> Option<u32> {
        pool.into_iter().min_by(|&p, &q| (log(p) - bits).abs().total_cmp(&(log(q) - bits).abs()))
    }

    fn terminals() -> Vec<u32> {
        let base: Vec<u32> = ntt_primes_below(1 << LOG_TERMINAL, LOG_STEP).take(2).collect();
        let bits = f64::from(LOG_TERMINAL);
        let near: Vec<u32> = ntt_primes_below(1 << (LOG_TERMINAL + 1), LOG_STEP)
            .filter(|&q| (log(q) - bits).abs() <= 0.25 && !base.contains(&q))
            .collect();
        let pairs = near.iter().flat_map(|&p| near.iter().map(move |&q| (p, q)));
        let distance = |(p, q): (u32, u32)| (log(p) + log(q) - 2.0 * bits).abs();
        let best = pairs
            .filter(|(p, q)| p < q)
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap();
        [base, [best.0, best.1].to_vec()].concat()
    }

    /// For each number of mains that some level has: the bits that they should have together.
    fn wanted(literal: &ParamsLiteral, terminals: &[u32]) -> Vec<(usize, f64)> {
        let mut wanted: Vec<(usize, f64, f64)> = Vec::new();
        for level in 1..=literal.stages.total() {
            let (k, m) = literal.split(level);
            let terminal_bits: f64 = terminals[..k].iter().map(|&q| log(q)).sum();
            let bits = f64::from(literal.level_bits(level)) - terminal_bits;
            match wanted.iter_mut().find(|(mains, ..)| *mains == m) {
                Some((_, low, high)) => (*low, *high) = (low.min(bits), high.max(bits)),
                None => wanted.push((m, bits, bits)),
            }
        }
        wanted.sort_by_key(|&(mains, ..)| mains);
        wanted.into_iter().map(|(mains, low, high)| (mains, (low + high) / 2.0)).collect()
    }

    fn mains(literal: &ParamsLiteral, terminals: &[u32]) -> Vec<u32> {
        let middle = 1_u32 << LOG_MAIN;
        let mut pool: Vec<u32> = ntt_primes_below(middle + middle / 8, LOG_STEP)
            .take_while(|&q| q > middle - middle / 8)
            .collect();
        pool.sort_by_key(|q| q.abs_diff(middle));
        pool.truncate(literal.mains.len());
        let (mut mains, mut total) = (Vec::new(), 0.0);
        for (count, bits) in wanted(literal, terminals) {
            for left in (1..=count - mains.len()).rev() {
                let share = (bits - total) / f64::from(u32::try_from(left).unwrap());
                let best = nearest(pool.iter().copied(), share).unwrap();
                pool.retain(|&q| q != best);
                total += log(best);
                mains.push(best);
            }
        }
        mains
    }

    #[test]
    fn the_rule_gives_the_primes_of_the_presets() {
        let terminals = terminals();
        for preset in [EDGE_128, PRECISE_128] {
            assert_eq!(terminals, preset.terminals);
            assert_eq!(mains(&preset, &terminals), preset.mains);
            let specials = ntt_primes_below(1 << 31, LOG_STEP).take(preset.specials.len());
            assert!(specials.eq(preset.specials.iter().copied()));
        }
    }
}
