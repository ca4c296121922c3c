//! Transforms of one limb by tfhe-ntt, concrete-ntt and fhe-math, one row a line. Each is undone and
//! compared with what it started from. Limbs begin where a line of the cache does.

use std::hint::black_box;
use std::time::Instant;

use fhe_math::zq::primes::generate_prime;
use serde_json::json;

const RUNS: u32 = 200;
/// Words of 64 bits in a page.
const PAGE: usize = 512;

fn main() {
    for log_n in 12..=16 {
        let n = 1usize << log_n;
        for bits in [49, 60] {
            let prime = generate_prime(bits, 2 << log_n, 1 << bits).expect("there are such primes");
            rows("tfhe-ntt", log_n, prime, tfhe(n, prime));
            rows("concrete-ntt", log_n, prime, concrete(n, prime));
            rows("fhe-math", log_n, prime, fhe(n, prime));
        }
        let prime = generate_prime(30, 2 << log_n, 1 << 30).expect("there are such primes");
        rows("tfhe-ntt", log_n, prime, tfhe_narrow(n, prime));
    }
}

/// A row for the transform and one for its inverse.
fn rows(library: &str, log_n: u32, prime: u64, seconds: [f64; 2]) {
    let bits = (prime as f64).log2();
    for (direction, seconds) in ["", ", inverse"].into_iter().zip(seconds) {
        let name = format!("ntt: {library}{direction}");
        println!(
            "{}",
            json!({"name": name, "log_n": log_n, "log_q": bits, "threads": 1, "seconds": seconds,
                   "cpu_seconds": seconds})
        );
    }
}

/// The least times of some runs of two directions by turns.
fn least<T>(x: &mut [T], directions: [&dyn Fn(&mut [T]); 2]) -> [f64; 2] {
    let mut times = [f64::MAX; 2];
    for _ in 0..RUNS {
        for (time, direction) in times.iter_mut().zip(directions) {
            let start = Instant::now();
            direction(black_box(x));
            *time = time.min(start.elapsed().as_secs_f64());
        }
    }
    times
}

/// Transforms there and back, compares, and measures.
fn measure<T: Copy + Default + PartialEq>(
    start: &[T],
    directions: [&dyn Fn(&mut [T]); 2],
    normalize: &dyn Fn(&mut [T]),
) -> [f64; 2] {
    let mut room = vec![T::default(); start.len() + 2 * PAGE];
    let from = room.as_ptr().align_offset(PAGE * size_of::<u64>());
    let x = &mut room[from..][..start.len()];
    x.copy_from_slice(start);
    directions.iter().for_each(|direction| direction(x));
    normalize(x);
    assert!(x == start, "the inverse undoes the transform");
    least(x, directions)
}

fn start(n: usize, prime: u64) -> Vec<u64> {
    (0..n as u64).map(|i| i * i % prime).collect()
}

fn tfhe(n: usize, prime: u64) -> [f64; 2] {
    let plan = tfhe_ntt::prime64::Plan::try_new(n, prime).expect("a transform");
    measure(&start(n, prime), [&|x| plan.fwd(x), &|x| plan.inv(x)], &|x| plan.normalize(x))
}

fn tfhe_narrow(n: usize, prime: u64) -> [f64; 2] {
    let prime = u32::try_from(prime).expect("30 bits");
    let start: Vec<u32> = (0..n as u32).map(|i| i % prime).collect();
    let plan = tfhe_ntt::prime32::Plan::try_new(n, prime).expect("a transform");
    measure(&start, [&|x| plan.fwd(x), &|x| plan.inv(x)], &|x| plan.normalize(x))
}

fn concrete(n: usize, prime: u64) -> [f64; 2] {
    let plan = concrete_ntt::prime64::Plan::try_new(n, prime).expect("a transform");
    measure(&start(n, prime), [&|x| plan.fwd(x), &|x| plan.inv(x)], &|x| plan.normalize(x))
}

fn fhe(n: usize, prime: u64) -> [f64; 2] {
    let modulus = fhe_math::zq::Modulus::new(prime).expect("a prime");
    let plan = fhe_math::ntt::NttOperator::new(&modulus, n).expect("a transform");
    measure(&start(n, prime), [&|x| plan.forward(x), &|x| plan.backward(x)], &|_| ())
}
