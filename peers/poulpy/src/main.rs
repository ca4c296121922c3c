//! Poulpy on its IFMA backend: `peer-poulpy arithmetic|bootstrap THREADS` prints a row a line.
//!
//! `N = 2^16`, 1160 bits in limbs of 52, digits of eight limbs, so a key switch has three; scale 2^50.
//! Keys and ciphertexts are made by the helpers of its own test suite. A bootstrap is that of its preset for full
//! slots at `N = 2^16` that starts from slots; it takes 19 GB.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use cpu_time::ProcessTime;
use poulpy_ckks::api::{CKKSAddOps, CKKSModuleInfos, CKKSMulOps, CKKSRotateOps};
use poulpy_ckks::presets::bootstrapping::n16_d35_k733_p20_s2c;
use poulpy_ckks::test_suite::CKKSTestParams;
use poulpy_ckks::test_suite::helpers::{
    alloc_ct, alloc_scratch, ckks_decrypt_decode, ckks_encrypt, gen_atk, gen_sk_with_raw, gen_tsk, want_mul,
    want_rotate,
};
use poulpy_ckks::test_suite::presets::{BootstrappingPresetRun, preset_for_backend};
use poulpy_ckks::test_suite::reference_encoder::ReferenceEncoder;
use poulpy_ckks::{GLWEPlaintextMeta, Scale, SlotsKind};
use poulpy_cpu_avx512::{NTT3x42Ifma, NTT3x42IfmaRayon};
use poulpy_cpu_portable::ckks_encoding::EncodingFFTTable;
use poulpy_hal::api::ScratchOwnedBorrow;
use poulpy_hal::layouts::{HostBytesBackend, Module};
use serde_json::json;

const RUNS: usize = 5;
const STEP: i64 = 1;
const PARAMS: CKKSTestParams = CKKSTestParams {
    n: 1 << 16,
    base2k: 52,
    k: 1160,
    prec_meta: GLWEPlaintextMeta { scale: Scale::Log(50), slots: SlotsKind::Complex, log_sparsity: 0 },
    prec_log_budget: 20,
    hw: 192,
    dsize: 8,
    rank: 1,
};

/// Slots as real and imaginary parts.
type Slots = (Vec<f64>, Vec<f64>);

/// The same program for a backend with one thread and for one with many.
macro_rules! arithmetic {
    ($name:ident, $backend:ty) => {
        fn $name(threads: usize) {
            eprintln!("keys");
            let module = Module::<$backend>::new(PARAMS.n as u64);
            let host = Module::<HostBytesBackend>::new(PARAMS.n as u64);
            let encoder = ReferenceEncoder::<EncodingFFTTable<f64>>::new(PARAMS.n / 2).expect("an encoder");
            let (raw, secret) = gen_sk_with_raw(&PARAMS, &module, &host, [7; 32]);
            let mut scratch = alloc_scratch(&PARAMS, &module);
            let relin = gen_tsk(&PARAMS, &module, &raw, &mut scratch.borrow());
            let galois = module.ckks_galois_element(STEP);
            let (times, key) = timed(1, || gen_atk(&PARAMS, &module, galois, &raw, &mut scratch.borrow()));
            row("rotation key", PARAMS.k, threads, times, None);
            let keys = HashMap::from([(galois, key)]);
            let x = slots();
            let k = PARAMS.k;
            let c = ckks_encrypt(
                &PARAMS, &module, &host, &encoder, &secret, k, &x.0, &x.1, &mut scratch.borrow(),
            );
            let mut out = alloc_ct(&PARAMS, &module, k);
            macro_rules! report {
                ($title:literal, $size:literal, $want:expr, $operation:expr) => {
                    let (times, ()) = timed(RUNS, $operation);
                    let mut arena = scratch.borrow();
                    let found = ckks_decrypt_decode(&PARAMS, &module, &encoder, &out, &secret, &mut arena);
                    row($title, PARAMS.k, threads, times, Some(bits(&found, &$want, $size)));
                };
            }
            eprintln!("operations");
            let double = (x.0.iter().map(|a| 2.0 * a).collect(), x.1.iter().map(|a| 2.0 * a).collect());
            report!("add", 2.0, double, || {
                module.ckks_add_into(&mut out, &c, &c, &mut scratch.borrow()).expect("a sum");
            });
            report!("multiply, relinearise, rescale", 2.0, want_mul(&x.0, &x.1, &x.0, &x.1), || {
                module.ckks_mul_into(&mut out, &c, &c, &relin, &mut scratch.borrow()).expect("a product");
            });
            out = alloc_ct(&PARAMS, &module, k);
            report!("rotate", 1.0, want_rotate(&x.0, &x.1, STEP, PARAMS.n / 2), || {
                module.ckks_rotate_into(STEP, &mut out, &c, &keys, &mut scratch.borrow()).expect("a rotation");
            });
        }
    };
}

arithmetic!(on_one, NTT3x42Ifma);
arithmetic!(on_many, NTT3x42IfmaRayon);

macro_rules! bootstrap {
    ($name:ident, $backend:ty) => {
        fn $name(threads: usize) {
            eprintln!("keys, matrices and a first bootstrap");
            let preset = n16_d35_k733_p20_s2c().expect("a preset");
            let preset = preset_for_backend::<$backend, $backend>(&preset).expect("a preset of this backend");
            let log_q = preset.bootstrap_k();
            let mut run = BootstrappingPresetRun::<$backend>::setup(preset);
            eprintln!("bootstraps");
            let (times, ()) = timed(1, || run.bootstrap());
            let (real, imaginary) = run.precision();
            let worst = real.min_log2_prec.min(imaginary.min_log2_prec);
            row("bootstrap, slots to slots", log_q, threads, times, Some([worst, real.avg_log2_prec]));
        }
    };
}

bootstrap!(bootstrap_on_one, NTT3x42Ifma);
bootstrap!(bootstrap_on_many, NTT3x42IfmaRayon);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads: usize = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    match (arguments.first().map(String::as_str), threads) {
        (Some("arithmetic"), 1) => on_one(threads),
        (Some("arithmetic"), _) => on_many(threads),
        (Some("bootstrap"), 1) => bootstrap_on_one(threads),
        (Some("bootstrap"), _) => bootstrap_on_many(threads),
        (part, _) => panic!("no part is called {part:?}"),
    }
}

/// Slots in a square, from a fixed generator.
fn slots() -> Slots {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let mut part = || (0..PARAMS.n / 2).map(|_| next()).collect();
    (part(), part())
}

/// The least seconds of some runs, on the wall and of all processors, and the last result.
fn timed<T>(runs: usize, mut operation: impl FnMut() -> T) -> ([f64; 2], T) {
    let mut least = [f64::MAX; 2];
    let mut result = (runs > 1).then(&mut operation);
    for _ in 0..runs {
        let (start, start_cpu) = (Instant::now(), ProcessTime::now());
        result = Some(black_box(operation()));
        let times = [start.elapsed().as_secs_f64(), start_cpu.elapsed().as_secs_f64()];
        least = [least[0].min(times[0]), least[1].min(times[1])];
    }
    (least, result.expect("at least one run"))
}

/// Bits of the largest error and of the root mean square, relative to `size`.
fn bits(found: &Slots, expected: &Slots, size: f64) -> [f64; 2] {
    let pairs = found.0.iter().zip(&found.1).zip(expected.0.iter().zip(&expected.1));
    let errors = pairs.map(|((a, b), (c, d))| (a - c).hypot(b - d) / size);
    let (worst, sum) = errors.fold((0f64, 0f64), |(worst, sum), e| (worst.max(e), sum + e * e));
    [-worst.log2(), -(sum / found.0.len() as f64).sqrt().log2()]
}

fn row(
    name: &str,
    log_q: usize,
    threads: usize,
    [seconds, cpu_seconds]: [f64; 2],
    precision: Option<[f64; 2]>,
) {
    let (worst, rms) = (precision.map(|bits| bits[0]), precision.map(|bits| bits[1]));
    println!(
        "{}",
        json!({"name": name, "log_n": 16, "log_q": log_q, "threads": threads, "seconds": seconds,
               "cpu_seconds": cpu_seconds, "worst_bits": worst, "rms_bits": rms})
    );
}
