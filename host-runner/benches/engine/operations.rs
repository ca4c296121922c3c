//! The operations.

use core::hint::black_box;
use core::ops::RangeInclusive;

use anyhow::{Context, Result};
use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::eval::Evaluator;
use he_core::linear::Rows;
use he_core::modulus::{Factor, Modulus};
use he_core::ntt::NttTable;
use he_core::primes::primitive_root_2n;
use he_core::refresh::{Halves, Refresh, Term, Weights};

use super::runner::{Case, Precision, Runner};
use super::setup::{FEW_ROWS, FRAC_BITS, RANGE, Setup, precision, steps};

/// Names of operations that need few keys.
pub(crate) const ARITHMETIC: [&str; 10] =
    [NTT, "rotate", HOISTED, "multiply", "add", "dot_plain", "rescale", "encrypt", "decrypt", KEY];
/// Names of operations that need the keys of a bootstrap.
pub(crate) const REFRESH: [&str; 6] =
    ["rows_to_slots", "slots_to_rows", "few_rows_to_slots", FULL, FOUR, ONE_HALF];

const NTT: &str = "ntt of a limb";
const INVERSE: &str = "ntt of a limb, inverse";
const LOG_DEGREES: RangeInclusive<u32> = 12..=16;
const HOISTED: &str = "rotate 8, hoisted";
const KEY: &str = "rotation key";
const FULL: &str = "bootstrap, slots to slots";
const FOUR: &str = "rows_to_slots, each of four";
const ONE_HALF: &str = "rows_to_slots, one half";

pub(crate) fn arithmetic(runner: &mut Runner, setup: &mut Setup) -> Result<()> {
    transform(runner, setup)?;
    let (top, middle) = (setup.cpu.params().max_level(), setup.cpu.params().computing_level());
    let values = setup.values(1.0);
    let sine = top - setup.cpu.params().coeffs_to_slots_levels();
    for level in [top, sine, middle] {
        let x = setup.encrypt(&values, (level, setup.cpu.step(level)))?;
        multiply(runner, setup, &x, &values)?;
        if level != sine {
            rotate(runner, setup, &x, &values)?;
            plain(runner, setup, &x, &values)?;
        }
    }
    client(runner, setup, &values)
}

/// Transforms of one limb at every degree that is compared, both directions.
fn transform(runner: &mut Runner, setup: &Setup) -> Result<()> {
    let params = setup.cpu.params();
    let (kernels, main) = (setup.cpu.ring().kernels(), params.primes()[params.terminals().len()]);
    let q = Modulus::new(main).context("a prime of the chain")?;
    // As large as any, so that it begins where a page does.
    let mut room = vec![1; 1 << LOG_DEGREES.end()];
    for log_n in LOG_DEGREES {
        let (mut roots, mut inverse_roots) =
            (vec![Factor::default(); 1 << log_n], vec![Factor::default(); 1 << log_n]);
        let psi = primitive_root_2n(q, 1 << log_n).context("a root of unity")?;
        let table = NttTable::new(q, psi, &mut roots, &mut inverse_roots).context("a root")?;
        let limb = &mut room[..1 << log_n];
        for name in [NTT, INVERSE] {
            let case = setup.case(name, 0, 0, 0);
            let size = (log_n, f64::from(main).log2());
            // So many that reading clocks takes no part of the time.
            let results = 1 << (LOG_DEGREES.end() + 2 - log_n);
            let case = Case { size, bytes: 8 * limb.len(), runs: 50, results, ..case };
            let several = || {
                for _ in 0..results {
                    match name {
                        NTT => kernels.ntt(&table, black_box(&mut *limb)),
                        _ => kernels.inverse_ntt(&table, black_box(&mut *limb)),
                    }
                }
                Ok(())
            };
            runner.run(&case, several, |()| Ok(None))?;
        }
    }
    Ok(())
}

fn rotate(runner: &mut Runner, setup: &Setup, x: &Ciphertext, values: &[Complex]) -> Result<()> {
    let (cpu, level, steps) = (&setup.cpu, x.level(), steps(setup.cpu.params()));
    let turned = |by: isize, i: usize| values[(i + by.unsigned_abs()) % values.len()];
    runner.run(
        &setup.case("rotate", level, 2, 1),
        || Ok(cpu.rotate(x, steps[0])?),
        |z| Ok(Some(setup.compare(z, 1.0, |i| turned(steps[0], i)))),
    )?;
    runner.run(
        &Case { runs: 5, ..setup.case(HOISTED, level, 1 + steps.len(), steps.len()) },
        || Ok(cpu.rotate_many(x, &steps)?),
        |z| Ok(Some(setup.compare(&z[7], 1.0, |i| turned(steps[7], i)))),
    )
}

fn multiply(runner: &mut Runner, setup: &Setup, x: &Ciphertext, values: &[Complex]) -> Result<()> {
    runner.run(
        &setup.case("multiply, relinearise, rescale", x.level(), 3, 1),
        || Ok(setup.cpu.mul_rescaled(x, x)?),
        |z| Ok(Some(setup.compare(z, 2.0, |i| values[i] * values[i]))),
    )
}

fn plain(runner: &mut Runner, setup: &Setup, x: &Ciphertext, values: &[Complex]) -> Result<()> {
    let (cpu, level) = (&setup.cpu, x.level());
    runner.run(
        &setup.case("add", level, 3, 0),
        || Ok(cpu.add(x, x)?),
        |z| Ok(Some(setup.compare(z, 2.0, |i| values[i] + values[i]))),
    )?;
    let eighths = cpu.encode(&vec![Complex::real(0.125); cpu.slots()], level, cpu.step(level))?;
    let pairs = [(x, &eighths); 8];
    runner.run(
        &setup.case("dot_plain of 8", level, 13, 0),
        || Ok(cpu.dot_plain(&pairs)?),
        |z| Ok(Some(setup.compare(z, 1.0, |i| values[i]))),
    )?;
    let sum = cpu.dot_plain(&pairs)?;
    runner.run(
        &setup.case("rescale", level, 2, 0),
        || Ok(cpu.rescale(&sum)?),
        |z| Ok(Some(setup.compare(z, 1.0, |i| values[i]))),
    )
}

/// What holders of secret and public keys do.
fn client(runner: &mut Runner, setup: &mut Setup, values: &[Complex]) -> Result<()> {
    let level = setup.cpu.params().max_level();
    let key = setup.public_key(level);
    let near = |found: &[Complex]| precision(found, 1.0, |i| values[i]);
    let made = setup.encrypt_public(&key, values)?;
    let case = Case { runs: 3, ..setup.case("encode and encrypt, public key", level, 2, 0) };
    runner.run(&case, || setup.encrypt_public(&key, values), |_| Ok(None))?;
    let case = Case { runs: 3, ..setup.case("decrypt and decode", level, 1, 0) };
    runner.run(&case, || Ok(setup.decrypt(&made)), |found| Ok(Some(near(found))))?;
    let case = Case { runs: 3, ..setup.case(KEY, level, 0, 1) };
    runner.run(&case, || setup.rotation_key(), |_| Ok(None))
}

pub(crate) fn refresh(runner: &mut Runner, setup: &mut Setup) -> Result<()> {
    let level = setup.cpu.rows_level();
    let values = setup.values(RANGE);
    let z = setup.encrypt(&values, (level, setup.cpu.default_scale()))?;
    let (setup, cpu) = (&*setup, &setup.cpu);
    let low = cpu.slots_to_rows(&z)?;
    let rows = times_one(cpu, &low)?;
    let at = |name, results, runs| {
        let case = setup.case(name, cpu.params().max_level(), 0, 0);
        Case { bytes: setup.key_bytes, runs, results, ..case }
    };
    let both = |halves: &Vec<Ciphertext>| Ok(Some(both_halves(setup, halves, &values)));
    runner.run(&at(ONE_HALF, 1, 2), || Ok(cpu.rows_to_slots(&rows, Halves::Low)?), both)?;
    runner.run(
        &at("rows_to_slots, both halves", 1, 3),
        || Ok(cpu.rows_to_slots(&rows, Halves::Both)?),
        both,
    )?;
    runner.run(
        &at(FOUR, 4, 1),
        || {
            for _ in 0..3 {
                black_box(cpu.rows_to_slots(&rows, Halves::Both)?);
            }
            Ok(cpu.rows_to_slots(&rows, Halves::Both)?)
        },
        both,
    )?;
    runner.run(
        &at(FULL, 1, 2),
        || Ok(cpu.rows_to_slots(&times_one(cpu, &cpu.slots_to_rows(&z)?)?, Halves::Both)?),
        both,
    )?;
    let few = cpu.select(&rows, &(0..FEW_ROWS).map(first).collect::<Vec<_>>())?;
    runner.run(
        &at("few_rows_to_slots, 16 rows", 1, 3),
        || Ok(cpu.rows_to_slots(&few, Halves::Both)?),
        |halves| {
            let period = FEW_ROWS * cpu.tokens() / 2;
            let again: Vec<_> = (0..values.len()).map(|i| values[i % period]).collect();
            Ok(Some(both_halves(setup, halves, &again)))
        },
    )?;
    let case = Case { runs: 3, ..setup.case("slots_to_rows", level, 1, 0) };
    runner.run(&case, || Ok(cpu.slots_to_rows(&z)?), |_| Ok(None))
}

fn first(row: usize) -> Vec<Term> {
    vec![Term { row, shift: 0 }]
}

/// The real part of slots is the first half, the imaginary part the second.
fn both_halves(setup: &Setup, halves: &[Ciphertext], values: &[Complex]) -> Precision {
    let parts: [fn(&Complex) -> f64; 2] = [|z| z.re, |z| z.im];
    let of = |(half, part): (&Ciphertext, fn(&Complex) -> f64)| {
        setup.compare(half, RANGE, |i| Complex::real(part(&values[i])))
    };
    let worse = |a: Precision, b: Precision| Precision {
        worst_bits: a.worst_bits.min(b.worst_bits),
        rms_bits: a.rms_bits.min(b.rms_bits),
    };
    let none = Precision { worst_bits: f64::INFINITY, rms_bits: f64::INFINITY };
    halves.iter().zip(parts).map(of).fold(none, worse)
}

/// The same rows at the scale of a product.
fn times_one(cpu: &Cpu, rows: &Rows) -> Result<Rows> {
    let count = cpu.row_count(rows);
    let mut entries = vec![0; count * count];
    (0..count).for_each(|i| entries[i * count + i] = 1 << FRAC_BITS);
    let weights = Weights { inputs: count, outputs: count, entries, frac_bits: FRAC_BITS };
    Ok(cpu.matmul(rows, &weights)?)
}
