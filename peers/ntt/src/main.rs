//! Forward transforms of one limb by tfhe-ntt, concrete-ntt and fhe-math, one row a line. Each is undone and
//! compared with what it started from.

use std::hint::black_box;
use std::time::Instant;

use fhe_math::zq::primes::generate_prime;
use serde_json::json;

const RUNS: u32 = 200;
const LOG_DEGREES: [u32; 3] = [12, 14, 16];

fn main() {
    for log_n in LOG_DEGREES {
        for bits in [50, 60] {
            let n = 1usize << log_n;
            let prime = generate_prime(bits, 2 << log_n, 1 << bits).expect("there are such primes");
            let start: Vec<u64> = (0..n as u64).map(|i| i * i % prime).collect();
            row("tfhe-ntt", log_n, prime, tfhe(n, prime, &start));
            row("concrete-ntt", log_n, prime, concrete(n, prime, &start));
            row("fhe-math", log_n, prime, fhe(n, prime, &start));
        }
        let prime = generate_prime(30, 2 << log_n, 1 << 30).expect("there are such primes");
        row("tfhe-ntt", log_n, prime, tfhe_narrow(1 << log_n, prime));
    }
}

fn row(library: &str, log_n: u32, prime: u64, seconds: f64) {
    let bits = (prime as f64).log2();
    let name = format!("ntt: {library}");
    println!(
        "{}",
        json!({"name": name, "log_n": log_n, "log_q": bits, "threads": 1, "seconds": seconds,
               "cpu_seconds": seconds})
    );
}

/// The least time of some runs.
fn least(mut forward: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        forward();
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(|_| time()).fold(f64::MAX, f64::min)
}

fn tfhe(n: usize, prime: u64, start: &[u64]) -> f64 {
    let plan = tfhe_ntt::prime64::Plan::try_new(n, prime).expect("a transform");
    let mut x = start.to_vec();
    plan.fwd(&mut x);
    plan.inv(&mut x);
    plan.normalize(&mut x);
    assert_eq!(x, start);
    least(|| plan.fwd(black_box(&mut x)))
}

fn tfhe_narrow(n: usize, prime: u64) -> f64 {
    let prime = u32::try_from(prime).expect("30 bits");
    let start: Vec<u32> = (0..n as u32).map(|i| i % prime).collect();
    let plan = tfhe_ntt::prime32::Plan::try_new(n, prime).expect("a transform");
    let mut x = start.clone();
    plan.fwd(&mut x);
    plan.inv(&mut x);
    plan.normalize(&mut x);
    assert_eq!(x, start);
    least(|| plan.fwd(black_box(&mut x)))
}

fn concrete(n: usize, prime: u64, start: &[u64]) -> f64 {
    let plan = concrete_ntt::prime64::Plan::try_new(n, prime).expect("a transform");
    let mut x = start.to_vec();
    plan.fwd(&mut x);
    plan.inv(&mut x);
    plan.normalize(&mut x);
    assert_eq!(x, start);
    least(|| plan.fwd(black_box(&mut x)))
}

fn fhe(n: usize, prime: u64, start: &[u64]) -> f64 {
    let modulus = fhe_math::zq::Modulus::new(prime).expect("a prime");
    let plan = fhe_math::ntt::NttOperator::new(&modulus, n).expect("a transform");
    let mut x = start.to_vec();
    plan.forward(&mut x);
    plan.backward(&mut x);
    assert_eq!(x, start);
    least(|| plan.forward(black_box(&mut x)))
}
