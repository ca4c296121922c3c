//! Random numbers from seeds, and the instruction counter.

use super::case;
use super::golden::{Digest, agrees};
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use crate::model::BASE;
use he_core::edge::{DEGREE, EdgeSecret};
use he_core::sample::{SecretSeed, Seed, Ternary, domain, errors, uniform};

pub(super) const UNIFORM: &str = "uniform";
pub(super) const TERNARY: &str = "ternary";
pub(super) const ERRORS: &str = "errors";

/// Residues of a mask that are compared: as many as fit beside the client's buffers.
const MASK_SAMPLE: usize = 1024;

pub(super) const fn cases<M: Machine>() -> [Case<M>; 4] {
    [
        case("instructions_are_counted", counter),
        case("masks_are_the_ones_of_the_host", uniform_residues),
        case("secrets_are_the_ones_of_the_host", ternary_secret),
        case("errors_are_the_ones_of_the_host", error_samples),
    ]
}

fn counter<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let additions = || (0..1000u32).map(core::hint::black_box).sum::<u32>();
    check!(bench.measure("thousand_additions_instructions", additions) == 499_500);
    Ok(())
}

fn uniform_residues<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let digest = bench.measure("uniform_1024_instructions", uniform_digest);
    check!(agrees(UNIFORM, digest));
    Ok(())
}

fn ternary_secret<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let digest = bench.measure("ternary_4096_instructions", ternary_digest);
    check!(agrees(TERNARY, digest));
    Ok(())
}

fn error_samples<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let digest = bench.measure("errors_4096_instructions", errors_digest);
    check!(agrees(ERRORS, digest));
    Ok(())
}

pub(super) fn uniform_digest() -> Digest {
    let mut residues = [0; MASK_SAMPLE];
    uniform(&Seed::new([1; 32]), domain::EDGE_MASK, 3, BASE, &mut residues);
    let mut digest = Digest::new();
    digest.words(&residues);
    digest
}

pub(super) fn ternary_digest() -> Digest {
    let secret: EdgeSecret = Ternary::uniform(&SecretSeed::new([2; 32]), 0, [0; DEGREE / 4]);
    let mut digest = Digest::new();
    digest.bytes(secret.packed());
    digest
}

pub(super) fn errors_digest() -> Digest {
    let mut samples = [0; DEGREE];
    errors(&SecretSeed::new([3; 32]), 5, &mut samples);
    let mut digest = Digest::new();
    for sample in samples {
        digest.bytes(&[sample.cast_unsigned()]);
    }
    digest
}
