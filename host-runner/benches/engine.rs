//! What the server's operations cost at the size of `edge-128`, on real keys: wall-clock and
//! processor time of each, the least of some runs. Processor time counts all threads, so it says
//! something on a busy machine too.
//!
//! `cargo bench -p host-runner --bench engine [-- NAME…]` runs those whose names contain a `NAME`.
//! It needs 6 GB of memory and makes the keys first.

extern crate alloc;

use alloc::collections::BTreeSet;
use core::hint::black_box;
use core::time::Duration;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use chacha20::ChaCha20Rng;
use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::{Cpu, bootstrap_keys};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind};
use he_core::linear::{Rows, SeededUpload};
use he_core::params::Params;
use he_core::refresh::{Halves, Refresh, Weights};
use he_core::ring::{Ring, galois_of_rotation};
use he_core::sample::Seed;
use host_runner::random;
use host_runner::threads::Rayon;

#[global_allocator]
static MEMORY: he_memory::Memory = he_memory::Memory;

/// Fractional bits of weights, as in the edge model.
const FRAC_BITS: u32 = 10;

/// Rotations of the first factor of `coeffs_to_slots`.
const STRIDE: isize = 1 << 10;

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let runner = Runner { names };
    println!("{:<34} {:>10} {:>10} {:>10} {:>5}", "", "wall ms", "CPU ms", "peak MB", "runs");
    let mut rng = random::generator()?;
    let params = Params::edge_128()?;
    let ring = || Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon);

    let plan = bootstrap_keys(&params)?;
    let bootstraps = runner.wants("rows_to_slots") || runner.wants("slots_to_rows");
    let few = BTreeSet::from_iter((1..8).map(|i| galois_of_rotation(16, i * STRIDE)));
    let authority = KeyAuthority::generate(&params, &mut rng)?;
    let (maker, mut keys) = (ring()?, EvaluationKeys::new());
    for spec in plan.specs() {
        let needed = match spec.kind {
            KeyKind::Relinearization => true,
            KeyKind::Galois(galois) => few.contains(&galois),
            KeyKind::Raise | KeyKind::Pack(_) | KeyKind::Down => false,
        };
        if needed || bootstraps {
            let key = authority.key(&maker, &params, spec, &mut rng)?;
            keys.insert(&maker, spec.kind, key.expand(&maker, &params)?);
        }
    }
    drop(maker);
    let mut cpu = Cpu::new(params.clone(), ring()?, keys)?;
    if bootstraps {
        cpu = cpu.with_bootstrap(FRAC_BITS)?;
    }
    let sampler = Sampler { authority, encoder: Encoder::new(params.log_degree()), cpu };
    arithmetic(&runner, &sampler, &mut rng)?;
    if bootstraps {
        refresh(&runner, &sampler, &mut rng)?;
    }
    Ok(())
}

fn arithmetic(runner: &Runner, sampler: &Sampler, rng: &mut ChaCha20Rng) -> Result<()> {
    let (cpu, params) = (&sampler.cpu, sampler.cpu.params());
    let (ring, mut limb) = (cpu.ring(), vec![1; cpu.ring().degree()]);
    runner.run("ntt of a limb", 100, || {
        ring.kernels().ntt(&ring.table(2), black_box(&mut limb));
        Ok(())
    })?;
    for level in [params.max_level(), params.computing_level()] {
        let x = sampler.ciphertext(level, rng)?;
        runner.run(&format!("rotate, level {level}"), 10, || Ok(cpu.rotate(&x, STRIDE)?))?;
        let steps: Vec<_> = (1..8).map(|i| i * STRIDE).collect();
        runner.run(&format!("rotate_many by 7, level {level}"), 5, || {
            Ok(cpu.rotate_many(&x, &steps)?)
        })?;
        let plain = cpu.encode(&[Complex::real(0.5); 8], level, cpu.step(level))?;
        let pairs = [(&x, &plain); 8];
        runner.run(&format!("dot_plain of 8, level {level}"), 10, || Ok(cpu.dot_plain(&pairs)?))?;
        runner.run(&format!("rescale, level {level}"), 10, || Ok(cpu.rescale(&x)?))?;
    }
    let top = params.max_level() - params.coeffs_to_slots_levels();
    for level in [top, params.computing_level()] {
        let x = sampler.ciphertext(level, rng)?;
        runner.run(&format!("mul and rescale, level {level}"), 10, || {
            Ok(cpu.mul_rescaled(&x, &x)?)
        })?;
    }
    Ok(())
}

fn refresh(runner: &Runner, sampler: &Sampler, rng: &mut ChaCha20Rng) -> Result<()> {
    let cpu = &sampler.cpu;
    let rows = sampler.rows(rng)?;
    for halves in [Halves::Low, Halves::Both] {
        runner.run(&format!("rows_to_slots, {halves:?}"), 2, || {
            Ok(cpu.rows_to_slots(&rows, halves)?)
        })?;
    }
    let slots = sampler.ciphertext(cpu.rows_level(), rng)?;
    runner.run("slots_to_rows", 3, || Ok(cpu.slots_to_rows(&slots)?))
}

/// Makes operands.
struct Sampler {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
}

impl Sampler {
    fn ciphertext(&self, level: usize, rng: &mut ChaCha20Rng) -> Result<Ciphertext> {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        let values = [Complex::real(0.25); 8];
        let at = (level, params.default_scale());
        Ok(encryptor.encrypt(self.authority.big_secret(), &values, at, rng)?)
    }

    /// As many rows as a pack takes, the product of an upload and a matrix.
    fn rows(&self, rng: &mut ChaCha20Rng) -> Result<Rows> {
        let (cpu, params) = (&self.cpu, self.cpu.params());
        let b = vec![vec![1; params.edge_degree()]; params.base().len()];
        let uploads = [SeededUpload { seed: Seed::random(rng), b }];
        let rows = cpu.receive(&uploads)?;
        let (inputs, outputs) = (cpu.row_count(&rows), cpu.rows_per_pack());
        let entries = (0..inputs * outputs).map(|i| i32::from(i % 7 == 0)).collect();
        Ok(cpu.matmul(&rows, &Weights { inputs, outputs, entries, frac_bits: FRAC_BITS })?)
    }
}

/// Runs and prints what was asked for.
struct Runner {
    names: Vec<String>,
}

impl Runner {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.contains(wanted.as_str()))
    }

    fn run<T>(&self, name: &str, runs: u32, mut f: impl FnMut() -> Result<T>) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        black_box(f()?);
        he_memory::reset_peak();
        let before = he_memory::stats().map_or(0, |stats| stats.in_use);
        let (mut wall, mut cpu) = (Duration::MAX, Duration::MAX);
        for _ in 0..runs {
            let (start, start_cpu) = (Instant::now(), processor_time()?);
            black_box(f()?);
            wall = wall.min(start.elapsed());
            cpu = cpu.min(processor_time()? - start_cpu);
        }
        let peak = he_memory::stats().map_or(0, |stats| stats.peak - before) / 1_000_000;
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        println!("{name:<34} {:>10.2} {:>10.2} {peak:>10} {runs:>5}", ms(wall), ms(cpu));
        Ok(())
    }
}

/// The time that all threads of this process have run, to the nanosecond.
fn processor_time() -> Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let time = text.split_whitespace().next().context("an empty schedstat")?;
        total += time.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
