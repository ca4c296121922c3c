//! The kernels against the reference, a copy of the same bytes, and their peers.
//!
//! Only ratios within one run mean anything: `cargo bench -p he-simd`.

extern crate alloc;

#[cfg(target_arch = "x86_64")]
mod peers;
mod streams;

use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use he_core::{
    modulus::{Factor, Modulus},
    ntt::NttTable,
    ring::{Combination, Kernels},
};
use he_simd::available;

#[global_allocator]
static MEMORY: he_memory::Memory = he_memory::Memory;

fn main() {
    divan::main();
}

/// A main prime of the chain: 1 modulo `2^17`, just below `2^30`.
const Q: u32 = 0x3ffc_0001;

const DEGREES: [usize; 5] = [1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16];
/// A limb of the big ring, and a block that stays in the first cache.
const LENGTHS: [usize; 2] = [1 << 11, 1 << 16];
/// The names of all kernels.
const NAMES: [&str; 4] = ["avx512", "avx2", "neon", "portable"];

fn modulus() -> Modulus {
    Modulus::new(Q).expect("an odd modulus below 2^31")
}

/// The kernels of that name, or none if this machine can't run them.
fn kernels(name: &str) -> Option<&'static dyn Kernels> {
    available().find(|kernels| kernels.name() == name)
}

fn words(seed: u32, n: usize) -> Vec<u32> {
    (0_u32..).take(n).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9) % Q).collect()
}

fn bytes(words: usize) -> BytesCount {
    BytesCount::new(4 * words)
}

/// The butterflies of a transform.
fn butterflies(n: usize) -> ItemsCount {
    ItemsCount::new(n / 2 * usize::try_from(n.ilog2()).expect("a small degree"))
}

/// The first primes that are 1 modulo `2^17`, from `Q` down.
fn primes() -> impl Iterator<Item = u32> {
    let is_prime =
        |n: u32| (3..).step_by(2).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (0..).map(|i| Q - (i << 17)).filter(move |&q| is_prime(q))
}

/// A primitive `2n`-th root of unity.
fn root(q: Modulus, n: usize) -> u32 {
    let (order, two_n) = (q.value() - 1, u32::try_from(2 * n).expect("a small degree"));
    (2..)
        .map(|base| q.pow_vartime(base, order / two_n))
        .find(|&psi| q.pow_vartime(psi, two_n / 2) == order)
        .expect("q is 1 modulo 2n")
}

/// One direction of a transform.
type Direction = fn(&dyn Kernels, &NttTable<'_>, &mut [u32]);

/// Transforms one limb, its factors close at hand.
fn transform(name: &str, bencher: Bencher<'_, '_>, n: usize, direction: Direction) {
    let Some(kernels) = kernels(name) else { return };
    let q = modulus();
    let (mut roots, mut inverse_roots) = (vec![Factor::default(); n], vec![Factor::default(); n]);
    let table =
        NttTable::new(q, root(q, n), &mut roots, &mut inverse_roots).expect("a primitive root");
    let mut limb = words(1, n);
    bencher
        .counter(butterflies(n))
        .bench_local(|| direction(kernels, &table, black_box(&mut limb)));
}

mod ntt {
    use super::*;

    #[divan::bench(args = NAMES, consts = DEGREES)]
    fn forward<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        transform(name, bencher, N, |kernels, table, limb| kernels.ntt(table, limb));
    }

    #[divan::bench(args = NAMES, consts = DEGREES)]
    fn inverse<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        transform(name, bencher, N, |kernels, table, limb| kernels.inverse_ntt(table, limb));
    }

    /// All limbs of a polynomial of the big ring, each with a prime and factors of its own; the
    /// time is that of 41 transforms.
    #[divan::bench(args = NAMES, sample_count = 30)]
    fn of_41_limbs(bencher: Bencher<'_, '_>, name: &str) {
        const N: usize = 1 << 16;
        let Some(kernels) = kernels(name) else { return };
        let mut limbs: Vec<_> = primes()
            .take(41)
            .map(|q| {
                let factors = (vec![Factor::default(); N], vec![Factor::default(); N]);
                (Modulus::new(q).expect("an odd modulus below 2^31"), factors, vec![1; N])
            })
            .collect();
        let mut limbs: Vec<_> = limbs
            .iter_mut()
            .map(|(q, (roots, inverse_roots), limb)| {
                let psi = root(*q, N);
                (NttTable::new(*q, psi, roots, inverse_roots).expect("a primitive root"), limb)
            })
            .collect();
        bencher.bench_local(|| {
            for (table, limb) in &mut limbs {
                kernels.ntt(table, black_box(limb));
            }
        });
    }
}

mod near {
    use super::*;

    #[divan::bench(args = LENGTHS)]
    fn copy(bencher: Bencher<'_, '_>, n: usize) {
        let (from, mut to) = (words(1, n), vec![0; n]);
        bencher
            .counter(bytes(2 * n))
            .bench_local(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    }

    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn add_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let (mut acc, rhs) = (words(1, N), words(2, N));
        bencher
            .counter(bytes(3 * N))
            .bench_local(|| kernels.add_assign(modulus(), black_box(&mut acc), black_box(&rhs)));
    }

    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn mul_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let (mut acc, rhs) = (words(1, N), words(2, N));
        bencher
            .counter(bytes(3 * N))
            .bench_local(|| kernels.mul_assign(modulus(), black_box(&mut acc), black_box(&rhs)));
    }

    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn scale_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let (q, mut acc) = (modulus(), words(1, N));
        let f = q.factor(12_345);
        bencher
            .counter(bytes(2 * N))
            .bench_local(|| kernels.scale_assign(q, black_box(&mut acc), f));
    }

    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn mul_add_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let (q, mut acc, lhs, rhs) = (modulus(), words(1, N), words(2, N), words(3, N));
        bencher.counter(bytes(4 * N)).bench_local(|| {
            kernels.mul_add_assign(q, black_box(&mut acc), black_box(&lhs), black_box(&rhs));
        });
    }

    /// The inner product of key switching: three digits.
    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn dot_of_3<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let operands: Vec<_> = (0..6).map(|seed| words(seed, N)).collect();
        let pairs: Vec<_> = operands.chunks(2).map(|p| (&p[0][..], &p[1][..])).collect();
        let (q, mut out) = (modulus(), vec![0; N]);
        bencher
            .counter(bytes(7 * N))
            .bench_local(|| kernels.dot(q, black_box(&mut out), black_box(&pairs)));
    }

    /// The base conversion of one digit, 14 primes and a correction, to four primes.
    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn combine_15_to_4<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let operands: Vec<_> = (0..15).map(|seed| words(seed, N + 16)).collect();
        let inputs: Vec<_> = operands.iter().map(|words| &words[..N]).collect();
        let (weights, mut out) = (words(20, 15), vec![0; 4 * N]);
        bencher.counter(bytes(19 * N)).bench_local(|| {
            let limbs = out.chunks_exact_mut(N);
            let limb = |out| Combination { q: modulus(), weights: &weights, out };
            kernels.combine(&mut limbs.map(limb).collect::<Vec<_>>(), black_box(&inputs), Q + 1);
        });
    }

    /// The part of one limb in the correction of a base conversion.
    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn add_fractions<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let (limb, mut sums) = (words(1, N), vec![0.0; N]);
        bencher
            .counter(bytes(5 * N))
            .bench_local(|| kernels.add_fractions(modulus(), &limb, black_box(&mut sums)));
    }

    /// The automorphism `X → X^5` in the evaluation domain.
    #[divan::bench(args = NAMES, consts = LENGTHS)]
    fn gather<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let reversed = |i: usize| i.reverse_bits() >> (N.leading_zeros() + 1);
        let from = |i| reversed((5 * (2 * reversed(i) + 1) % (2 * N) - 1) / 2);
        let index: Vec<_> =
            (0..N).map(|i| u32::try_from(from(i)).expect("a small degree")).collect();
        let (limb, mut out) = (words(1, N), vec![0; N]);
        bencher.counter(bytes(3 * N)).bench_local(|| {
            kernels.gather(black_box(&index), black_box(&limb), black_box(&mut out));
        });
    }
}
