//! The linear layer on rows of 128 tokens: 768 features in and out.

use anyhow::Result;
use chacha20::rand_core::Rng;
use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::eval::Evaluator;
use he_core::linear::{Rows, SeededUpload, pack};
use he_core::refresh::{Halves, Refresh, Term, Weights};
use he_core::ring::Poly;
use he_core::sample::Seed;

use super::runner::{Case, Precision, Runner};
use super::setup::{FRAC_BITS, RANGE, Setup};

/// `log2` of the tokens.
pub(crate) const LOG_TOKENS: u32 = 7;

/// What its name begins with.
pub(crate) const LINEAR: &str = "linear layer 128 x 768 by 768 x 768";

/// What the check's inputs are below, so that sums stay in the range of a bootstrap.
const SMALL: f64 = 0.5;

/// Rows from edge ciphertexts, product, packing; each alone and all together, with a bootstrap of
/// such a product compared with the plain one.
pub(crate) fn run(runner: &mut Runner, setup: &mut Setup) -> Result<()> {
    let per_pack = setup.cpu.rows_per_pack();
    let weights = weights(&mut setup.rng, per_pack + per_pack / 2);
    let uploads = uploads(setup, weights.inputs)?;
    let precision = check(setup, &weights)?;
    let (setup, cpu) = (&*setup, &setup.cpu);
    let params = cpu.params();
    let rows = cpu.receive(&uploads)?;
    let product = cpu.matmul(&rows, &weights)?;
    let row_bytes = 8 * (params.tokens() + params.edge_degree()) * weights.inputs;
    let packed = setup.case(LINEAR, 0, 2, 0).bytes;
    let weight_bytes = 4 * weights.entries.len();
    let names = ["", ", rows", ", product", ", packing"].map(|part| format!("{LINEAR}{part}"));
    let case = |part: usize, bytes| Case { bytes, runs: 5, ..setup.case(&names[part], 0, 0, 0) };
    runner.run(&case(1, 2 * row_bytes), || Ok(cpu.receive(&uploads)?), |_| Ok(None))?;
    let bytes = 2 * row_bytes + weight_bytes;
    runner.run(&case(2, bytes), || Ok(cpu.matmul(&rows, &weights)?), |_| Ok(None))?;
    runner.run(&case(3, row_bytes + packed), || packs(cpu, &product), |_| Ok(None))?;
    let all = || packs(cpu, &cpu.matmul(&cpu.receive(&uploads)?, &weights)?);
    runner.run(&case(0, row_bytes + weight_bytes + packed), all, |_| Ok(Some(precision)))
}

/// A square matrix of entries up to a half.
fn weights(rng: &mut impl Rng, features: usize) -> Weights {
    let half = 1 << (FRAC_BITS - 1);
    let mut entry = || (rng.next_u32() >> (32 - FRAC_BITS)).cast_signed() - half;
    let entries = (0..features * features).map(|_| entry()).collect();
    Weights { inputs: features, outputs: features, entries, frac_bits: FRAC_BITS }
}

/// Uploads of the right shape; what they hold does not matter for the time.
fn uploads(setup: &mut Setup, features: usize) -> Result<Vec<SeededUpload>> {
    let params = setup.cpu.params();
    let b = vec![vec![1; params.edge_degree()]; params.base().len()];
    let count = features * params.tokens() / params.edge_degree();
    let rng = &mut setup.rng;
    Ok((0..count).map(|_| SeededUpload { seed: Seed::random(rng), b: b.clone() }).collect())
}

/// All rows in packs, the last one filled up with zeros.
fn packs(cpu: &Cpu, rows: &Rows) -> Result<Vec<(Poly, Poly)>> {
    let starts = (0..cpu.row_count(rows)).step_by(cpu.rows_per_pack());
    let packed = |start| {
        let part = part_of(cpu, rows, start)?;
        Ok(pack(cpu.ring(), cpu.params(), cpu.keys(), &part)?)
    };
    starts.map(packed).collect()
}

/// A pack of rows from `start`.
fn part_of(cpu: &Cpu, rows: &Rows, start: usize) -> Result<Rows> {
    let count = cpu.row_count(rows);
    let term = |row| if row < count { vec![Term { row, shift: 0 }] } else { Vec::new() };
    let sums: Vec<_> = (start..start + cpu.rows_per_pack()).map(term).collect();
    Ok(cpu.select(rows, &sums)?)
}

/// Slots to rows, the product, and a bootstrap of its first pack, against the product of slots.
fn check(setup: &mut Setup, weights: &Weights) -> Result<Precision> {
    let (level, half) = (setup.cpu.rows_level(), setup.cpu.tokens() / 2);
    let slots = [setup.values(SMALL), setup.values(SMALL)];
    let mut parts = Vec::new();
    for values in &slots {
        let z = setup.encrypt(values, (level, setup.cpu.default_scale()))?;
        parts.push(setup.cpu.slots_to_rows(&z)?);
    }
    let cpu = &setup.cpu;
    let kept: Vec<_> = (0..weights.inputs).map(|row| vec![Term { row, shift: 0 }]).collect();
    let rows = cpu.select(&cpu.concat(&parts[0], &parts[1])?, &kept)?;
    let product = part_of(cpu, &cpu.matmul(&rows, weights)?, 0)?;
    let found = cpu.rows_to_slots(&product, Halves::Low)?;
    let (slots, unit) = (slots.concat(), f64::from(FRAC_BITS).exp2());
    let expected = |i: usize| {
        let terms = (0..weights.inputs).map(|f| {
            let w = f64::from(weights.entries[f * weights.outputs + i / half]);
            w * slots[f * half + i % half].re
        });
        Complex::real(terms.sum::<f64>() / unit)
    };
    Ok(setup.compare(&found[0], RANGE, expected))
}
