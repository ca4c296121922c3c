//! What every set of kernels must do: exactly what the reference does.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use he_core::{
    modulus::{Factor, Modulus},
    ntt::NttTable,
    ring::{Combination, Kernels, Portable},
};

use super::{available, choose};

/// Primes that are 1 modulo `2^17` around each width of the chain, then the edges of [`Modulus`].
const PRIMES: [u32; 5] = [0x1f6_0001, 0x1fc_0001, 0x3ffc_0001, 0x4002_0001, 0x7ffe_0001];
const MODULI: [u32; 7] = [3, 97, PRIMES[0], PRIMES[2], PRIMES[3], PRIMES[4], (1 << 31) - 1];

/// Around each vector width, and around the blocks of four vectors.
const LENGTHS: [usize; 16] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129, 400];

/// The largest word that [`Kernels::dot`] and [`Kernels::combine`] take.
const MAX_WORD: u32 = (1 << 31) - 1;

/// Words in `[0, bound)` from a fixed seed (splitmix64), the edges among them.
fn words(seed: u64, bound: u32, n: usize) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((x ^ (x >> 31)) % u64::from(bound)).unwrap()
    };
    (0..n)
        .map(|_| match next() % 8 {
            0 => 0,
            1 => 1,
            2 | 3 => bound - 1,
            _ => next(),
        })
        .collect()
}

/// Runs `check` for all kernels but the reference, all moduli and all lengths.
fn for_all(check: impl Fn(&dyn Kernels, Modulus, usize)) {
    for kernels in available() {
        for value in MODULI {
            for n in LENGTHS {
                check(kernels, Modulus::new(value).unwrap(), n);
            }
        }
    }
}

#[test]
fn products_with_matrices_agree_with_the_reference() {
    for kernels in available() {
        for value in MODULI {
            let q = Modulus::new(value).unwrap();
            for (width, inputs, outputs) in [(1, 1, 1), (64, 3, 5), (300, 71, 29)] {
                let rows: Vec<_> = (0..inputs).map(|f| words(f, value, width)).collect();
                let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
                // Integers of both signs: as models have, as large as fits 16 bits, and the largest.
                for bits in [9, 15, 17] {
                    let weights = words(9, (2 << bits) - 1, rows.len() * outputs);
                    let signed = |&w: &u32| i64::from(w) - ((1 << bits) - 1);
                    let weights: Vec<u32> =
                        weights.iter().map(|w| q.reduce_signed(signed(w))).collect();
                    let (mut got, mut want) = (vec![1; width * outputs], vec![2; width * outputs]);
                    kernels.matmul(q, &mut got, &rows, &weights);
                    Portable.matmul(q, &mut want, &rows, &weights);
                    assert_eq!(got, want, "{} {q:?} {width} {inputs} {outputs}", kernels.name());
                }
            }
        }
    }
}

#[test]
fn sums_agree_with_the_reference() {
    for_all(|kernels, q, n| {
        let (acc, rhs) = (words(1, q.value(), n), words(2, q.value(), n));
        let (mut got, mut want) = (acc.clone(), acc.clone());
        kernels.add_assign(q, &mut got, &rhs);
        Portable.add_assign(q, &mut want, &rhs);
        assert_eq!(got, want, "{kernels:?} add, q = {}, n = {n}", q.value());
        kernels.sub_assign(q, &mut got, &acc);
        Portable.sub_assign(q, &mut want, &acc);
        assert_eq!(got, want, "{kernels:?} sub, q = {}, n = {n}", q.value());
    });
}

#[test]
fn products_agree_with_the_reference() {
    for_all(|kernels, q, n| {
        let (acc, rhs) = (words(3, q.value(), n), words(4, q.value(), n));
        let (mut got, mut want) = (acc.clone(), acc.clone());
        kernels.mul_assign(q, &mut got, &rhs);
        Portable.mul_assign(q, &mut want, &rhs);
        assert_eq!(got, want, "{kernels:?} mul, q = {}, n = {n}", q.value());
        kernels.mul_add_assign(q, &mut got, &acc, &rhs);
        Portable.mul_add_assign(q, &mut want, &acc, &rhs);
        assert_eq!(got, want, "{kernels:?} mul_add, q = {}, n = {n}", q.value());
        for f in [0, 1, q.value() / 2, q.value() - 1] {
            kernels.scale_assign(q, &mut got, q.factor(f));
            Portable.scale_assign(q, &mut want, q.factor(f));
            assert_eq!(got, want, "{kernels:?} scale by {f}, q = {}, n = {n}", q.value());
            got.copy_from_slice(&acc);
            want.copy_from_slice(&acc);
        }
    });
}

#[test]
fn dots_agree_with_the_reference() {
    for_all(|kernels, q, n| {
        for bound in [q.value(), MAX_WORD + 1] {
            let operands: Vec<_> = (0..6).map(|seed| words(seed, bound, n)).collect();
            let pairs: Vec<_> = operands.chunks(2).map(|p| (&p[0][..], &p[1][..])).collect();
            for count in 0..=pairs.len() {
                let (mut got, mut want) = (words(9, q.value(), n), vec![0; n]);
                kernels.dot(q, &mut got, &pairs[..count]);
                Portable.dot(q, &mut want, &pairs[..count]);
                assert_eq!(got, want, "{kernels:?} {count} pairs, q = {}, n = {n}", q.value());
            }
        }
    });
}

/// What `kernels` make of the inputs, each limb with weights of its own.
fn combined(
    kernels: &dyn Kernels,
    moduli: &[Modulus],
    (weights, inputs): (&[Vec<u32>], &[&[u32]]),
    bound: u32,
) -> Vec<Vec<u32>> {
    let n = inputs.first().map_or(50, |input| input.len());
    let mut limbs: Vec<_> = moduli.iter().map(|q| words(9, q.value(), n)).collect();
    let combinations = moduli
        .iter()
        .zip(weights)
        .zip(&mut limbs)
        .map(|((&q, weights), out)| Combination { q, weights: &weights[..inputs.len()], out });
    kernels.combine(&mut combinations.collect::<Vec<_>>(), inputs, bound);
    limbs
}

#[test]
fn combinations_agree_with_the_reference() {
    let moduli = MODULI.map(|q| Modulus::new(q).unwrap());
    let weights = moduli.map(|q| words(20, q.value(), 40));
    for n in LENGTHS {
        for bound in [1, 97, PRIMES[1], PRIMES[3] + 1, MAX_WORD + 1] {
            let operands: Vec<_> = (0..40).map(|seed| words(seed, bound, n)).collect();
            let inputs: Vec<_> = operands.iter().map(Vec::as_slice).collect();
            for count in [0, 1, 2, 4, 5, 14, 15, 40] {
                for limbs in 0..=moduli.len() {
                    let terms = (&weights[..], &inputs[..count]);
                    let want = combined(&Portable, &moduli[..limbs], terms, bound);
                    for kernels in available() {
                        let got = combined(kernels, &moduli[..limbs], terms, bound);
                        assert!(got == want, "{kernels:?} {limbs}, {count}, {bound}, {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_combination_with_weights_in_montgomerys_form_is_the_sum_of_products() {
    for q in MODULI.map(|q| Modulus::new(q).unwrap()) {
        let (inputs, weights) = (words(1, MAX_WORD + 1, 15), words(2, q.value(), 15));
        let product = |(&x, &w): (&u32, &u32)| u128::from(x) * u128::from(w);
        let sum: u128 = inputs.iter().zip(&weights).map(product).sum();
        let rows: Vec<_> = inputs.chunks(1).collect();
        let weights = [weights.iter().map(|&w| q.montgomery(w)).collect()];
        let got = combined(&Portable, &[q], (&weights, &rows), MAX_WORD + 1);
        assert_eq!(u128::from(got[0][0]), sum % u128::from(q.value()));
    }
}

#[test]
fn sums_of_fractions_agree_with_the_reference_to_the_last_bit() {
    for_all(|kernels, q, n| {
        let sums = |kernels: &dyn Kernels| {
            let mut sums = vec![0.0; n];
            (0..3).for_each(|seed| kernels.add_fractions(q, &words(seed, q.value(), n), &mut sums));
            sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(sums(kernels), sums(&Portable), "{kernels:?} q = {}, n = {n}", q.value());
    });
}

#[test]
fn no_sum_overflows_at_the_largest_words() {
    let (q, n) = (Modulus::new(MAX_WORD).unwrap(), 400);
    let (large, weights) = (vec![MAX_WORD; n], [vec![MAX_WORD - 1; 40]]);
    for kernels in available() {
        let terms = (&weights[..], &[&large[..]; 40][..]);
        let got = combined(kernels, &[q], terms, MAX_WORD + 1);
        assert_eq!(got, combined(&Portable, &[q], terms, MAX_WORD + 1), "{kernels:?} combine");
        let (mut got, mut want) = (vec![0; n], vec![0; n]);
        kernels.dot(q, &mut got, &[(&large[..], &large[..]); 3]);
        Portable.dot(q, &mut want, &[(&large[..], &large[..]); 3]);
        assert_eq!(got, want, "{kernels:?} dot");
    }
}

#[test]
fn gathers_agree_with_the_reference() {
    for_all(|kernels, q, n| {
        let limb = words(5, q.value(), n);
        let index: Vec<u32> = words(6, u32::try_from(n.max(1)).unwrap(), n);
        let (mut got, mut want) = (vec![0; n], vec![0; n]);
        kernels.gather(&index, &limb, &mut got);
        Portable.gather(&index, &limb, &mut want);
        assert_eq!(got, want, "{kernels:?} n = {n}");
    });
}

#[test]
fn a_gather_beyond_the_limb_panics() {
    for kernels in available() {
        for place in [0, 15, 16, 39] {
            let mut index = [0; 40];
            index[place] = 40;
            let gather = AssertUnwindSafe(|| kernels.gather(&index, &[1; 40], &mut [0; 40]));
            assert!(catch_unwind(gather).is_err(), "{kernels:?} place {place}");
        }
    }
}

/// A primitive `2n`-th root of unity: a power of the first base that has one.
fn psi(q: Modulus, n: u32) -> u32 {
    (2..)
        .map(|base| q.pow_vartime(base, (q.value() - 1) / (2 * n)))
        .find(|&psi| q.pow_vartime(psi, n) == q.value() - 1)
        .unwrap()
}

#[test]
fn transforms_agree_with_the_reference() {
    for value in PRIMES {
        let q = Modulus::new(value).unwrap();
        for log_n in 0..=16 {
            let n = 1 << log_n;
            let (mut roots, mut inverse_roots) =
                (vec![Factor::default(); n], vec![Factor::default(); n]);
            let psi = psi(q, u32::try_from(n).unwrap());
            let table = NttTable::new(q, psi, &mut roots, &mut inverse_roots).unwrap();
            for limb in [words(7, value, n), vec![value - 1; n]] {
                let mut want = limb.clone();
                Portable.ntt(&table, &mut want);
                for kernels in available() {
                    let mut got = limb.clone();
                    kernels.ntt(&table, &mut got);
                    assert!(got == want, "{kernels:?} forward, q = {value}, n = {n}");
                }
                let mut want = limb.clone();
                Portable.inverse_ntt(&table, &mut want);
                for kernels in available() {
                    let mut got = limb.clone();
                    kernels.inverse_ntt(&table, &mut got);
                    assert!(got == want, "{kernels:?} inverse, q = {value}, n = {n}");
                }
            }
        }
    }
}

#[test]
fn a_name_chooses_among_what_is_available() {
    let fastest = available().next().unwrap().name();
    for kernels in available() {
        assert_eq!(choose(Some(kernels.name())).name(), kernels.name());
    }
    assert_eq!(choose(None).name(), fastest);
    assert_eq!(choose(Some("none of these")).name(), fastest);
    assert_eq!(available().last().unwrap().name(), "portable");
}
