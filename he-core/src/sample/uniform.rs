//! Uniform residues by rejection: public, so in variable time.

use super::Seed;
use super::keystream::Keystream;
use crate::modulus::Modulus;

/// Fills `out` with uniform residues below `q`: the words of the stream `(domain, index, q)`, masked
/// to the bit length of `q`, in order, without those that are not below `q`.
pub fn uniform(seed: &Seed, domain: u32, index: u32, q: Modulus, out: &mut [u32]) {
    let (mut keystream, bound, mask) = parts(seed, domain, index, q);
    let mut filled = 0;
    // A residue is written in any case and kept if it is one: nothing to predict.
    while filled + 16 <= out.len() {
        for word in keystream.next_words() {
            let candidate = word & mask;
            out[filled] = candidate;
            filled += usize::from(candidate < bound);
        }
    }
    while filled < out.len() {
        for word in keystream.next_words() {
            let candidate = word & mask;
            if candidate < bound && filled < out.len() {
                out[filled] = candidate;
                filled += 1;
            }
        }
    }
}

/// Hands the residues of [`uniform`] to `f` one by one, each with an item of `places`, until those
/// end: for devices that have no room for all of them.
pub fn uniform_each<T>(
    seed: &Seed,
    domain: u32,
    index: u32,
    q: Modulus,
    places: impl IntoIterator<Item = T>,
    mut f: impl FnMut(T, u32),
) {
    let (mut keystream, bound, mask) = parts(seed, domain, index, q);
    let mut places = places.into_iter();
    loop {
        for word in keystream.next_words() {
            let candidate = word & mask;
            if candidate < bound {
                let Some(place) = places.next() else { return };
                f(place, candidate);
            }
        }
    }
}

/// The stream, the bound and the mask.
fn parts(seed: &Seed, domain: u32, index: u32, q: Modulus) -> (Keystream, u32, u32) {
    let bound = q.value();
    let mask = u32::MAX >> bound.leading_zeros();
    (Keystream::public(seed, domain, index, bound), bound, mask)
}
