//! Roots of unity that fit in a constant, for flash.

use super::EdgeRing;
use crate::modulus::{Factor, Modulus};
use crate::ntt::bit_reversed;

/// The inverse roots of one prime at degree `N`: 32 KB at degree 4096. One table serves both
/// directions.
///
/// ```
/// use he_core::edge::EdgeTable;
///
/// static TABLE: EdgeTable<8> = EdgeTable::new(257, 249).unwrap();
/// assert_eq!(TABLE.ring().degree(), 8);
/// ```
#[derive(Debug)]
pub struct EdgeTable<const N: usize> {
    modulus: Modulus,
    inverse_roots: [Factor; N],
}

impl<const N: usize> EdgeTable<N> {
    /// The table of a prime and a primitive `2N`-th root of unity; `None` if they are not that or
    /// [`EdgeRing`] does not take them. Meant for constants: the powers take `N` divisions.
    #[must_use]
    pub const fn new(prime: u32, psi: u32) -> Option<Self> {
        let Some(modulus) = Modulus::new(prime) else { return None };
        if !N.is_power_of_two() || N < 2 {
            return None;
        }
        let inverse_psi = modulus.inverse(psi);
        let mut inverse_roots = [modulus.factor(0); N];
        let mut power = 1;
        let mut i: usize = 0;
        while i < N {
            inverse_roots[bit_reversed(i, N)] = modulus.factor(power);
            power = modulus.mul(power, inverse_psi);
            i += 1;
        }
        let table = Self { modulus, inverse_roots };
        if EdgeRing::new(modulus, &table.inverse_roots).is_none() { None } else { Some(table) }
    }

    /// The ring.
    ///
    /// # Panics
    /// Never: the table was checked when it was made.
    #[must_use]
    pub const fn ring(&self) -> EdgeRing<'_> {
        EdgeRing::new(self.modulus, &self.inverse_roots).expect("checked by `new`")
    }
}
