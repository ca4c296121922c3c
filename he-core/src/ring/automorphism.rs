//! The automorphisms `X → X^g` of the ring, `g` odd: what rotates and conjugates slots.

use alloc::vec::Vec;

use super::{Poly, Ring};

/// The automorphism `X → X^g`, with what it does to the places of an evaluated polynomial.
#[derive(Clone)]
pub struct Automorphism {
    galois: u32,
    /// Place `j` of the result is place `index[j]` of the operand.
    index: Vec<u32>,
}

impl Automorphism {
    /// The automorphism `X → X^galois` of the ring of degree `2^log_degree`.
    ///
    /// # Panics
    /// If `galois` is even or not below `2N`, or `N` is not in `2 ..= 2^16`.
    #[must_use]
    pub fn new(log_degree: u32, galois: u32) -> Self {
        assert!((1..=16).contains(&log_degree));
        assert!(galois % 2 == 1 && galois >> (log_degree + 1) == 0);
        let reverse = |j: u32| j.reverse_bits() >> (u32::BITS - log_degree);
        // Place `j` is the value at `ψ^e`, `e = 2·rev(j) + 1`; there `X^g` takes that at `ψ^(g·e)`.
        let mask = (2 << log_degree) - 1;
        let place = |j| reverse((galois.wrapping_mul(2 * reverse(j) + 1) & mask) >> 1);
        Self { galois, index: (0..1 << log_degree).map(place).collect() }
    }

    /// The exponent `g`.
    #[must_use]
    pub const fn galois(&self) -> u32 {
        self.galois
    }

    /// Place `j` of the result in evaluation form is place `index()[j]` of the operand.
    #[must_use]
    pub fn index(&self) -> &[u32] {
        &self.index
    }

    /// `a(X^g)` for `a` in coefficient form.
    ///
    /// # Panics
    /// If the ring has another degree.
    #[must_use]
    pub fn apply_to_coefficients(&self, ring: &Ring, a: &Poly) -> Poly {
        assert_eq!(self.index.len(), ring.degree());
        let (n, galois) = (ring.degree(), self.galois as usize);
        Poly::from_limbs(ring, a.basis(), |i, out| {
            let q = ring.modulus(i);
            for (k, &x) in a.limb_at(i).iter().enumerate() {
                // `X^N = −1`.
                let power = k * galois % (2 * n);
                out[power % n] = if power < n { x } else { q.neg(x) };
            }
        })
    }
}

impl core::fmt::Debug for Automorphism {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "X -> X^{} (degree {})", self.galois, self.index.len())
    }
}

/// The Galois element that rotates slots to the left: slot `j` of the result holds slot
/// `j + step`, cyclically over `N/2` slots; slot `j` is the value at `ζ^(5^j)`.
///
/// # Panics
/// If the degree is not in `2 ..= 2^16`.
#[must_use]
pub fn galois_of_rotation(log_degree: u32, step: isize) -> u32 {
    assert!((1..=16).contains(&log_degree));
    let slots = 1_isize << (log_degree - 1);
    let mask = (2_u32 << log_degree) - 1;
    (0..step.rem_euclid(slots)).fold(1, |power: u32, _| power.wrapping_mul(5) & mask)
}

/// The Galois element that conjugates every slot: `2N − 1`.
///
/// # Panics
/// If the degree is not in `2 ..= 2^16`.
#[must_use]
pub const fn galois_of_conjugation(log_degree: u32) -> u32 {
    assert!(log_degree >= 1 && log_degree <= 16);
    (2 << log_degree) - 1
}
