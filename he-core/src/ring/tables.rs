//! The ring: its primes, the tables of their transforms, and who computes.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::{Basis, Kernels, Threads};
use crate::Error;
use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;
use crate::primes::{is_prime, primitive_root_2n};

/// `Z[X] / (X^N + 1)` modulo the primes of a list, with everything that computing in it needs.
pub struct Ring {
    log_degree: u32,
    primes: Vec<u32>,
    tables: Vec<Table>,
    kernels: &'static dyn Kernels,
    threads: &'static dyn Threads,
}

/// An [`NttTable`] that owns its factors.
struct Table {
    modulus: Modulus,
    roots: Vec<Factor>,
    inverse_roots: Vec<Factor>,
    inverse_degree: Factor,
}

impl Ring {
    /// The ring of degree `2^log_degree`, `log_degree` in `1 ..= 16`, over at most
    /// [`Basis::CAPACITY`] different primes, each 1 modulo `2N`. Basis indices refer to this list.
    ///
    /// # Errors
    /// If the degree or a prime is not as described.
    pub fn new(
        log_degree: u32,
        primes: &[u32],
        kernels: &'static dyn Kernels,
        threads: &'static dyn Threads,
    ) -> Result<Self, Error> {
        if !(1..=16).contains(&log_degree) {
            return Err(Error::InvalidParameters("the degree is not in 2 ..= 2^16"));
        }
        if primes.len() > Basis::CAPACITY {
            return Err(Error::InvalidParameters("too many primes"));
        }
        if (1..primes.len()).any(|i| primes[..i].contains(&primes[i])) {
            return Err(Error::InvalidParameters("a prime occurs twice"));
        }
        let tables = primes.iter().map(|&q| Table::new(log_degree, q)).collect::<Result<_, _>>()?;
        Ok(Self { log_degree, primes: primes.to_vec(), tables, kernels, threads })
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> usize {
        1 << self.log_degree
    }

    /// `log2(N)`.
    #[must_use]
    pub const fn log_degree(&self) -> u32 {
        self.log_degree
    }

    /// The primes that basis indices refer to.
    #[must_use]
    pub fn primes(&self) -> &[u32] {
        &self.primes
    }

    /// Prime `index`, ready for arithmetic.
    ///
    /// # Panics
    /// If there is no such prime.
    #[must_use]
    pub fn modulus(&self, index: usize) -> Modulus {
        self.tables[index].modulus
    }

    /// The transform modulo prime `index`, with the least primitive `2N`-th root of unity.
    ///
    /// # Panics
    /// If there is no such prime.
    #[must_use]
    pub fn table(&self, index: usize) -> NttTable<'_> {
        let table = &self.tables[index];
        NttTable::from_filled(
            table.modulus,
            &table.roots,
            &table.inverse_roots,
            table.inverse_degree,
        )
    }

    /// The arithmetic on single limbs.
    #[must_use]
    pub fn kernels(&self) -> &'static dyn Kernels {
        self.kernels
    }

    /// Who runs the limbs.
    #[must_use]
    pub fn threads(&self) -> &'static dyn Threads {
        self.threads
    }

    /// Calls `f(i, limb_i)` once for each limb of `n` words, on the ring's threads.
    pub fn for_each_limb(&self, words: &mut [u32], n: usize, f: impl Fn(usize, &mut [u32]) + Sync) {
        let mut limbs: Vec<_> = words.chunks_exact_mut(n).collect();
        self.threads.for_each(&mut limbs, 1, &|i, limbs| limbs.iter_mut().for_each(|x| f(i, x)));
    }

    /// All primes.
    #[must_use]
    pub fn basis(&self) -> Basis {
        Basis::range(0..self.primes.len())
    }

    /// The base-2 logarithm of the product of the primes of `basis`.
    ///
    /// # Panics
    /// If the ring lacks one of the primes.
    #[must_use]
    pub fn log2_product(&self, basis: Basis) -> f64 {
        basis.log2_product(&self.primes)
    }

    /// The product of the primes of `numerator` over that of `denominator`, to a relative error
    /// below `2^-46` and without overflow wherever the ratio itself has none.
    ///
    /// # Panics
    /// If the ring lacks one of the primes.
    #[must_use]
    pub fn product_ratio(&self, numerator: Basis, denominator: Basis) -> f64 {
        numerator.product_ratio(denominator, &self.primes)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("log_degree", &self.log_degree)
            .field("primes", &self.primes)
            .field("kernels", &self.kernels)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Table {
    fn new(log_degree: u32, prime: u32) -> Result<Self, Error> {
        const BAD_PRIME: Error = Error::InvalidParameters("not a prime that is 1 modulo 2N");
        let modulus = Modulus::new(prime).filter(|_| is_prime(prime)).ok_or(BAD_PRIME)?;
        let psi = primitive_root_2n(modulus, 1 << log_degree).ok_or(BAD_PRIME)?;
        let mut roots = vec![Factor::default(); 1 << log_degree];
        let mut inverse_roots = roots.clone();
        let filled =
            NttTable::new(modulus, psi, &mut roots, &mut inverse_roots).ok_or(BAD_PRIME)?;
        let inverse_degree = filled.inverse_degree();
        Ok(Self { modulus, roots, inverse_roots, inverse_degree })
    }
}
