//! The kernels against the reference, a copy of the same bytes, and `tfhe-ntt`.
//!
//! Only ratios within one run mean anything: `cargo bench -p he-simd`.

use divan::{Bencher, black_box, counter::BytesCount};
use he_core::{
    modulus::{Factor, Modulus},
    ntt::NttTable,
    ring::{Combination, Kernels},
};
use he_simd::available;

fn main() {
    divan::main();
}

/// A main prime of the chain: 1 modulo `2^17`, next to `2^30`.
const Q: u32 = 0x4002_0001;
/// A prime below `2^30`, where `tfhe-ntt` can be lazier, and one below `2^31`.
const PEER_30: u32 = 0x3ffc_0001;
const PEER_31: u32 = 0x7ffe_0001;
/// A prime of 50 bits, for its path with 52-bit products.
const PEER_64: u64 = 0x3_ffff_ffd2_0001;

const DEGREES: [usize; 5] = [1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16];
/// A limb of the big ring, and a block that stays in the first cache.
const LENGTHS: [usize; 2] = [1 << 11, 1 << 16];
/// The names of all kernels.
const NAMES: [&str; 3] = ["avx512", "avx2", "portable"];

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

/// A primitive `2n`-th root of unity.
fn root(q: Modulus, n: usize) -> u32 {
    let (order, two_n) = (q.value() - 1, u32::try_from(2 * n).expect("a small degree"));
    (2..)
        .map(|base| q.pow_vartime(base, order / two_n))
        .find(|&psi| q.pow_vartime(psi, two_n / 2) == order)
        .expect("q is 1 modulo 2n")
}

/// Transforms one limb, its factors close at hand.
fn transform(name: &str, bencher: Bencher<'_, '_>, n: usize, inverse: bool) {
    let Some(kernels) = kernels(name) else { return };
    let q = modulus();
    let (mut roots, mut inverse_roots) = (vec![Factor::default(); n], vec![Factor::default(); n]);
    let table =
        NttTable::new(q, root(q, n), &mut roots, &mut inverse_roots).expect("a primitive root");
    let mut limb = words(1, n);
    let bencher = bencher.counter(bytes(n));
    if inverse {
        bencher.bench_local(|| kernels.inverse_ntt(&table, black_box(&mut limb)));
    } else {
        bencher.bench_local(|| kernels.ntt(&table, black_box(&mut limb)));
    }
}

macro_rules! for_each_degree {
    ($($name:ident: $kernels:literal, $inverse:literal;)*) => {
        $(#[divan::bench(args = DEGREES)]
        fn $name(bencher: Bencher<'_, '_>, n: usize) {
            transform($kernels, bencher, n, $inverse);
        })*
    };
}

mod ntt {
    use super::*;

    for_each_degree! {
        avx512: "avx512", false;
        avx2: "avx2", false;
        portable: "portable", false;
    }

    #[divan::bench(args = DEGREES, consts = [PEER_30, PEER_31])]
    fn tfhe_ntt_32<const Q: u32>(bencher: Bencher<'_, '_>, n: usize) {
        let plan = tfhe_ntt::prime32::Plan::try_new(n, Q).expect("an NTT-friendly prime");
        let mut limb: Vec<u32> = words(1, n).into_iter().map(|x| x % Q).collect();
        bencher.counter(bytes(n)).bench_local(|| plan.fwd(black_box(&mut limb)));
    }

    #[divan::bench(args = DEGREES)]
    fn tfhe_ntt_64(bencher: Bencher<'_, '_>, n: usize) {
        let plan = tfhe_ntt::prime64::Plan::try_new(n, PEER_64).expect("an NTT-friendly prime");
        let mut limb: Vec<u64> = words(1, n).into_iter().map(u64::from).collect();
        bencher.counter(BytesCount::new(8 * n)).bench_local(|| plan.fwd(black_box(&mut limb)));
    }
}

/// All limbs of a polynomial of the big ring, each with a prime and factors of its own; the time
/// is that of 41 transforms.
mod ntt_of_41_limbs {
    use super::*;

    const N: usize = 1 << 16;

    fn primes() -> impl Iterator<Item = u32> {
        let is_prime =
            |n: u32| (3..).step_by(2).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        (1..).map(|i| Q - (i << 17)).filter(move |&q| is_prime(q)).take(41)
    }

    #[divan::bench(args = NAMES, sample_count = 30)]
    fn he_simd(bencher: Bencher<'_, '_>, name: &str) {
        let Some(kernels) = kernels(name) else { return };
        let mut limbs: Vec<_> = primes()
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
        bencher.counter(bytes(41 * N)).bench_local(|| {
            for (table, limb) in &mut limbs {
                kernels.ntt(table, black_box(limb));
            }
        });
    }

    #[divan::bench(sample_count = 30)]
    fn tfhe_ntt(bencher: Bencher<'_, '_>) {
        let plan = |q| tfhe_ntt::prime32::Plan::try_new(N, q).expect("an NTT-friendly prime");
        let mut limbs: Vec<_> = primes().map(|q| (plan(q), vec![1; N])).collect();
        bencher.counter(bytes(41 * N)).bench_local(|| {
            for (plan, limb) in &mut limbs {
                plan.fwd(black_box(limb));
            }
        });
    }
}

mod inverse_ntt {
    use super::*;

    for_each_degree! {
        avx512: "avx512", true;
        avx2: "avx2", true;
        portable: "portable", true;
    }
}

#[divan::bench(args = LENGTHS)]
fn copy(bencher: Bencher<'_, '_>, n: usize) {
    let (from, mut to) = (words(1, n), vec![0; n]);
    bencher.counter(bytes(n)).bench_local(|| black_box(&mut to).copy_from_slice(black_box(&from)));
}

#[divan::bench(args = NAMES, consts = LENGTHS)]
fn add_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (mut acc, rhs) = (words(1, N), words(2, N));
    bencher
        .counter(bytes(2 * N))
        .bench_local(|| kernels.add_assign(modulus(), black_box(&mut acc), black_box(&rhs)));
}

#[divan::bench(args = NAMES, consts = LENGTHS)]
fn mul_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (mut acc, rhs) = (words(1, N), words(2, N));
    bencher
        .counter(bytes(2 * N))
        .bench_local(|| kernels.mul_assign(modulus(), black_box(&mut acc), black_box(&rhs)));
}

#[divan::bench(args = NAMES, consts = LENGTHS)]
fn scale_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (q, mut acc) = (modulus(), words(1, N));
    let f = q.factor(12_345);
    bencher.counter(bytes(N)).bench_local(|| kernels.scale_assign(q, black_box(&mut acc), f));
}

#[divan::bench(args = NAMES, consts = LENGTHS)]
fn mul_add_assign<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (q, mut acc, lhs, rhs) = (modulus(), words(1, N), words(2, N), words(3, N));
    bencher.counter(bytes(3 * N)).bench_local(|| {
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
        .counter(bytes(6 * N))
        .bench_local(|| kernels.dot(q, black_box(&mut out), black_box(&pairs)));
}

/// The base conversion of one digit, 14 primes and a correction, to four primes.
#[divan::bench(args = NAMES, consts = LENGTHS)]
fn combine_of_15_to_4<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let operands: Vec<_> = (0..15).map(|seed| words(seed, N)).collect();
    let inputs: Vec<_> = operands.iter().map(Vec::as_slice).collect();
    let (weights, mut out) = (words(20, 15), vec![0; 4 * N]);
    bencher.counter(bytes(19 * N)).bench_local(|| {
        let limbs = out.chunks_exact_mut(N);
        let limb = |out| Combination { q: modulus(), weights: &weights, out };
        kernels.combine(&mut limbs.map(limb).collect::<Vec<_>>(), black_box(&inputs), Q);
    });
}

/// The automorphism `X → X^5` in the evaluation domain.
#[divan::bench(args = NAMES, consts = LENGTHS)]
fn gather<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let reversed = |i: usize| i.reverse_bits() >> (N.leading_zeros() + 1);
    let from = |i| reversed((5 * (2 * reversed(i) + 1) % (2 * N) - 1) / 2);
    let index: Vec<_> = (0..N).map(|i| u32::try_from(from(i)).expect("a small degree")).collect();
    let (limb, mut out) = (words(1, N), vec![0; N]);
    bencher
        .counter(bytes(2 * N))
        .bench_local(|| kernels.gather(black_box(&index), black_box(&limb), black_box(&mut out)));
}
