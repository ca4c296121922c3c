//! What comes from a device and what goes back to it.

use alloc::vec;
use alloc::vec::Vec;

use super::{EdgePair, Rows};
use crate::Error;
use crate::modulus::Modulus;
use crate::ntt::bit_reversed;
use crate::params::Params;
use crate::ring::{Basis, Poly, Rescaler, Ring};
use crate::sample::{self, Seed};

/// One uploaded edge ciphertext: the seed of its mask and its message part.
#[derive(Clone, Debug)]
pub struct SeededUpload {
    /// The seed of the mask, which is uniform in evaluation form.
    pub seed: Seed,
    /// For each base prime, `n` residues in coefficient form.
    pub b: Vec<Vec<u32>>,
}

/// The answer to a device: one edge ciphertext modulo the first base prime.
#[derive(Clone, Debug)]
pub struct EdgeAnswer {
    /// The mask, in evaluation form, so that a device needs no forward transform.
    pub a: Vec<u32>,
    /// The message part, in coefficient form; only the asked-for coefficients are sent.
    pub b: Vec<u32>,
    /// What values are multiplied by.
    pub scale: f64,
}

/// The edge ring, over the base primes.
///
/// # Errors
/// As [`Ring::new`].
pub fn edge_ring(ring: &Ring, params: &Params) -> Result<Ring, Error> {
    let primes: Vec<u32> = params.base().iter().map(|i| params.primes()[i]).collect();
    Ring::new(params.log_edge_degree(), &primes, ring.kernels(), ring.threads())
}

/// Rows from uploaded ciphertexts, `r` each.
///
/// # Errors
/// If an upload has the wrong shape or a residue that is not below its prime.
pub fn receive(
    edge: &Ring,
    params: &Params,
    uploads: &[SeededUpload],
    scale: f64,
) -> Result<Rows, Error> {
    let pairs = uploads.iter().zip(0u32..).map(|(upload, number)| {
        let a = (0..edge.primes().len()).map(|prime| {
            let q = edge.modulus(prime);
            check(&upload.b, prime, edge.degree(), q)?;
            let mut mask = vec![0; edge.degree()];
            sample::uniform(&upload.seed, sample::domain::EDGE_MASK, number, q, &mut mask);
            edge.kernels().inverse_ntt(&edge.table(prime), &mut mask);
            Ok(mask)
        });
        Ok(EdgePair { a: a.collect::<Result<_, Error>>()?, b: upload.b.clone() })
    });
    let pairs = pairs.collect::<Result<Vec<_>, Error>>()?;
    Ok(Rows::from_edge(edge, params, &pairs, scale, |row| row))
}

fn check(limbs: &[Vec<u32>], prime: usize, degree: usize, q: Modulus) -> Result<(), Error> {
    let limb = limbs.get(prime).ok_or(Error::WrongLength { expected: prime + 1, found: prime })?;
    if limb.len() != degree {
        return Err(Error::WrongLength { expected: degree, found: limb.len() });
    }
    if limb.iter().any(|&x| x >= q.value()) {
        return Err(Error::ResidueOutOfRange { modulus: q.value() });
    }
    Ok(())
}

/// Reduces an edge ciphertext to the first base prime.
#[must_use]
pub fn answer(edge: &Ring, pair: &EdgePair, scale: f64) -> EdgeAnswer {
    let all = edge.basis();
    let down = Rescaler::new(edge, all, Basis::single(0));
    let reduce = |limbs: &[Vec<u32>]| {
        let mut poly = Poly::from_words(edge, all, limbs.concat());
        poly.ntt_assign(edge);
        down.apply(edge, &poly)
    };
    let mut b = reduce(&pair.b);
    b.inverse_ntt_assign(edge);
    let a = reduce(&pair.a);
    EdgeAnswer { a: a.limb(0).to_vec(), b: b.limb(0).to_vec(), scale: scale / down.ratio() }
}

/// The slot that coefficient `coefficient` of edge ciphertext `number` of [`crate::cpu::Cpu::answers`] is a part of, and
/// whether it is the real part.
#[must_use]
pub fn answer_slot(params: &Params, number: usize, coefficient: usize) -> (usize, bool) {
    let (half, rows) = (params.tokens() / 2, params.degree() / params.tokens());
    let stride = params.degree() / params.edge_degree();
    let (row, token) = (coefficient % (rows / stride), coefficient / (rows / stride));
    let row = bit_reversed(number + stride * row, rows);
    (row * half + bit_reversed(token % half, half), token < half)
}
