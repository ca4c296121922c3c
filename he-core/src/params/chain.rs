//! How the primes of a chain are chosen.
//!
//! Terminals: the two largest below `2^25`, whose product is the base and whose residues the
//! device sends in 25 bits; and the two within a quarter of a bit of `2^25` whose product is
//! nearest to `2^49.9`. Specials: the largest below `2^31`. Mains: the largest below `2^30`, so that
//! a word holds four times a prime and transforms need not reduce as often. They have 29.96 bits on
//! average, so every level has a little less than its size, and they are ordered greedily so that
//! each comes as close as it can to its share of what the highest has: where levels share their
//! mains, to the middle of what they ask for.

/// The bits of a terminal.
pub(super) const LOG_TERMINAL: u32 = 25;

/// The bits of a main.
pub(super) const LOG_MAIN: u32 = 30;

/// How far the step between two levels, or the base, may be from its size.
pub(super) const TOLERANCE_BITS: f64 = 1.0 / 8.0;

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
        let (bits, pair) = (f64::from(LOG_TERMINAL), 49.9);
        let near: Vec<u32> = ntt_primes_below(1 << (LOG_TERMINAL + 1), LOG_STEP)
            .filter(|&q| (log(q) - bits).abs() <= 0.25 && !base.contains(&q))
            .collect();
        let pairs = near.iter().flat_map(|&p| near.iter().map(move |&q| (p, q)));
        let distance = |(p, q): (u32, u32)| (log(p) + log(q) - pair).abs();
        let best = pairs
            .filter(|(p, q)| p < q)
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap();
        [base, [best.0, best.1].to_vec()].concat()
    }

    fn bits(primes: &[u32]) -> f64 {
        primes.iter().map(|&q| log(q)).sum()
    }

    /// For each number of mains that some level has: the bits that they should have together, if
    /// the highest level has all of the `pool`.
    fn wanted(literal: &ParamsLiteral, terminals: &[u32], pool: &[u32]) -> Vec<(usize, f64)> {
        let mut wanted: Vec<(usize, f64, f64)> = Vec::new();
        let top = literal.stages.total();
        let (highest, size) = (literal.split(top).0, f64::from(literal.level_bits(top)));
        let share = (bits(&terminals[..highest]) + bits(pool)) / size;
        for level in 1..=top {
            let (k, m) = literal.split(level);
            let bits = f64::from(literal.level_bits(level)) * share - bits(&terminals[..k]);
            match wanted.iter_mut().find(|(mains, ..)| *mains == m) {
                Some((_, low, high)) => (*low, *high) = (low.min(bits), high.max(bits)),
                None => wanted.push((m, bits, bits)),
            }
        }
        wanted.sort_by_key(|&(mains, ..)| mains);
        wanted.into_iter().map(|(mains, low, high)| (mains, (low + high) / 2.0)).collect()
    }

    fn mains(literal: &ParamsLiteral, terminals: &[u32]) -> Vec<u32> {
        let mut pool: Vec<u32> =
            ntt_primes_below(1 << LOG_MAIN, LOG_STEP).take(literal.mains.len()).collect();
        let (mut mains, mut total) = (Vec::new(), 0.0);
        for (count, bits) in wanted(literal, terminals, &pool) {
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
