//! Transforms of `tfhe-ntt` and `concrete-ntt`, one limb with its factors in a cache.
//!
//! `tfhe-ntt` uses AVX-512, with 52-bit products for primes below `2^51`; `concrete-ntt` AVX2. Both
//! leave out `N^-1` in their inverse; ours has it.

use alloc::rc::Rc;

use divan::{Bencher, black_box};

use super::{DEGREES, butterflies, words};

/// Largest primes of their width that are 1 modulo `2^17`.
const BITS_30: u32 = 0x3ffc_0001;
const BITS_31: u32 = 0x7ffe_0001;
const BITS_49: u64 = 0x1_ffff_ffea_0001;
const BITS_50: u64 = 0x3_ffff_ffd2_0001;
const BITS_60: u64 = 0x0fff_ffff_fffc_0001;

const NARROW: [&str; 3] = ["tfhe-ntt 30 bits", "tfhe-ntt 31 bits", "concrete-ntt 31 bits"];
const WIDE: [&str; 4] =
    ["tfhe-ntt 49 bits", "tfhe-ntt 50 bits", "tfhe-ntt 60 bits", "concrete-ntt 60 bits"];

/// A transform and its inverse.
type Plan<W> = [Box<dyn Fn(&mut [W])>; 2];

fn plan<P: 'static, W: 'static>(
    plan: Option<P>,
    forward: fn(&P, &mut [W]),
    inverse: fn(&P, &mut [W]),
) -> Plan<W> {
    let plan = Rc::new(plan.expect("an NTT-friendly prime"));
    let same = Rc::clone(&plan);
    [Box::new(move |x| forward(&plan, x)), Box::new(move |x| inverse(&same, x))]
}

fn narrow(name: &str, n: usize) -> Plan<u32> {
    use concrete_ntt::prime32::Plan as Concrete;
    use tfhe_ntt::prime32::Plan as Tfhe;
    match name {
        "tfhe-ntt 30 bits" => plan(Tfhe::try_new(n, BITS_30), Tfhe::fwd, Tfhe::inv),
        "tfhe-ntt 31 bits" => plan(Tfhe::try_new(n, BITS_31), Tfhe::fwd, Tfhe::inv),
        _ => plan(Concrete::try_new(n, BITS_31), Concrete::fwd, Concrete::inv),
    }
}

fn wide(name: &str, n: usize) -> Plan<u64> {
    use concrete_ntt::prime64::Plan as Concrete;
    use tfhe_ntt::prime64::Plan as Tfhe;
    match name {
        "tfhe-ntt 49 bits" => plan(Tfhe::try_new(n, BITS_49), Tfhe::fwd, Tfhe::inv),
        "tfhe-ntt 50 bits" => plan(Tfhe::try_new(n, BITS_50), Tfhe::fwd, Tfhe::inv),
        "tfhe-ntt 60 bits" => plan(Tfhe::try_new(n, BITS_60), Tfhe::fwd, Tfhe::inv),
        _ => plan(Concrete::try_new(n, BITS_60), Concrete::fwd, Concrete::inv),
    }
}

#[divan::bench(args = NARROW, consts = DEGREES)]
fn forward<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let ([forward, _], mut limb) = (narrow(name, N), words(1, N));
    bencher.counter(butterflies(N)).bench_local(|| forward(black_box(&mut limb)));
}

#[divan::bench(args = NARROW, consts = DEGREES)]
fn inverse<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let ([_, inverse], mut limb) = (narrow(name, N), words(1, N));
    bencher.counter(butterflies(N)).bench_local(|| inverse(black_box(&mut limb)));
}

#[divan::bench(args = WIDE, consts = DEGREES)]
fn forward_wide<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let [forward, _] = wide(name, N);
    let mut limb: Vec<_> = words(1, N).into_iter().map(u64::from).collect();
    bencher.counter(butterflies(N)).bench_local(|| forward(black_box(&mut limb)));
}

#[divan::bench(args = WIDE, consts = DEGREES)]
fn inverse_wide<const N: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let [_, inverse] = wide(name, N);
    let mut limb: Vec<_> = words(1, N).into_iter().map(u64::from).collect();
    bencher.counter(butterflies(N)).bench_local(|| inverse(black_box(&mut limb)));
}
