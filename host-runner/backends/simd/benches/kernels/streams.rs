//! Kernels over whole polynomials of the big ring, larger than the caches, each beside a copy that
//! reads and writes as many bytes.

use divan::{Bencher, black_box};
use he_core::ring::{Basis, Converter, Kernels, Poly, Ring, Serial, Threads};

use super::{NAMES, bytes, kernels, primes, words};

const N: usize = 1 << 16;
/// Limbs of level 25 and special limbs of a key switch.
const MAIN: usize = 39;
const SPECIAL: usize = 14;
/// Limbs of a digit, which is extended to all others.
const DIGIT: usize = 14;

/// One thread that takes memory as the engine does, uncleared.
#[derive(Debug)]
struct OneThread;

impl Threads for OneThread {
    fn for_each(
        &self,
        parts: &mut [&mut [u32]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [u32]]) + Sync),
    ) {
        Serial.for_each(parts, size, f);
    }

    fn words(&self, count: usize) -> Vec<u32> {
        he_memory::words(count)
    }
}

/// A ring with as many primes as a key switch at level 25 uses.
fn ring(kernels: &'static dyn Kernels) -> Ring {
    let primes: Vec<_> = primes().take(MAIN + SPECIAL).collect();
    Ring::new(16, &primes, kernels, &OneThread).expect("NTT-friendly primes")
}

fn polynomial(ring: &Ring, seed: u32, basis: Basis) -> Poly {
    let smallest = ring.primes().iter().fold(u32::MAX, |x, &y| x.min(y));
    let words = words(seed, basis.len() * N).into_iter().map(|x| x % smallest).collect();
    Poly::from_words(ring, basis, words)
}

/// Half the bytes are read and half are written.
#[divan::bench(sample_count = 30, consts = [MAIN + SPECIAL, 4 * MAIN, 7 * (MAIN + SPECIAL)])]
fn copy_of_limbs<const LIMBS: usize>(bencher: Bencher<'_, '_>) {
    let (from, mut to) = (words(1, LIMBS * N / 2), vec![0; LIMBS * N / 2]);
    bencher
        .counter(bytes(LIMBS * N))
        .bench_local(|| black_box(&mut to).copy_from_slice(black_box(&from)));
}

#[divan::bench(args = NAMES, sample_count = 30)]
fn mul_add_39_limbs(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (ring, basis) = (ring(kernels), Basis::range(0..MAIN));
    let [mut acc, lhs, rhs] = [1, 2, 3].map(|seed| polynomial(&ring, seed, basis));
    bencher
        .counter(bytes(4 * MAIN * N))
        .bench_local(|| black_box(&mut acc).mul_add_assign(&ring, &lhs, &rhs));
}

/// One half of the inner product of a key switch: three digits, and a key that no cache holds.
#[divan::bench(args = NAMES, sample_count = 30)]
fn dot_of_3_53_limbs(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let (ring, basis) = (ring(kernels), Basis::range(0..MAIN + SPECIAL));
    let operands: Vec<_> = (0..6).map(|seed| polynomial(&ring, seed, basis)).collect();
    let mut out = polynomial(&ring, 6, basis);
    bencher.counter(bytes(7 * basis.len() * N)).bench_local(|| {
        black_box(&mut out).for_each_limb(&ring, |i, limb| {
            let pairs: Vec<_> =
                operands.chunks(2).map(|p| (p[0].limb_at(i), p[1].limb_at(i))).collect();
            kernels.dot(ring.modulus(i), limb, &pairs);
        });
    });
}

/// The base conversion of a digit: 14 limbs to the 39 others.
#[divan::bench(args = NAMES, sample_count = 30)]
fn convert_14_to_39_limbs(bencher: Bencher<'_, '_>, name: &str) {
    let Some(kernels) = kernels(name) else { return };
    let ring = ring(kernels);
    let (from, all) = (Basis::range(0..DIGIT), Basis::range(0..MAIN + SPECIAL));
    let converter = Converter::new(&ring, from, all.difference(from));
    let a = polynomial(&ring, 1, from);
    bencher.counter(bytes(all.len() * N)).bench_local(|| converter.convert(&ring, black_box(&a)));
}
