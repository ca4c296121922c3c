//! What operations cannot be faster than on this machine: the arithmetic of the algorithm at the speed
//! of the kernels when their operands are in a cache, and operands, keys and results moved once at the
//! speed of a copy. All processors together; times of operations that reach the larger of the two have
//! nothing left to gain but by another algorithm.

use core::hint::black_box;
use core::ops::{Add, Mul};
use core::time::Duration;

use he_core::cpu::Operation;
use he_core::keyswitch::{KeyKind, KeySpec};
use he_core::params::Params;
use he_core::ring::{Basis, Combination, Ring};
use serde::{Deserialize, Serialize};

use crate::threads::thread_time;

/// What all threads together do in a second.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Speeds {
    /// How many threads there are.
    pub threads: u32,
    /// Butterflies of transforms.
    pub butterflies: f64,
    /// Multiply-adds of two residues, in sums of three.
    pub products: f64,
    /// Multiply-adds with a constant, in the sums of a base conversion.
    pub combinations: f64,
    /// Bytes read and written by a copy that no cache holds.
    pub bytes: f64,
}

/// What an operation has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Butterflies.
    pub butterflies: f64,
    /// Multiply-adds of two residues.
    pub products: f64,
    /// Multiply-adds with a constant.
    pub combinations: f64,
    /// Operands, keys and results; operands of one operation count as different ones.
    pub bytes: f64,
}

/// The floors of one parameter set on one machine.
#[derive(Clone, Debug)]
pub struct Floors {
    params: Params,
    speeds: Speeds,
}

/// A key for polynomials over `basis`: the limbs that each digit has of them.
struct Key {
    basis: Basis,
    special: Basis,
    digits: Vec<usize>,
}

impl Speeds {
    /// Measures this machine with all threads of the pool at once.
    #[must_use]
    pub fn measure(ring: &Ring, params: &Params) -> Self {
        let prime = params.mains().iter().next().unwrap_or_default();
        let (q, table, kernels) = (ring.modulus(prime), ring.table(prime), ring.kernels());
        let butterflies = rate(|| {
            let mut limb = vec![1; ring.degree()];
            move || {
                kernels.ntt(&table, black_box(&mut limb));
                butterflies(ring.log_degree())
            }
        });
        let products = rate(|| {
            let words = vec![1; SHORT];
            let mut out = words.clone();
            move || {
                kernels.dot(q, black_box(&mut out), &[(words.as_slice(), words.as_slice()); TERMS]);
                float(SHORT * TERMS)
            }
        });
        let inputs = params.specials().len() + 1;
        let combinations = rate(|| {
            let (words, weights) = (vec![1; SHORT], vec![1; inputs]);
            let mut outs = vec![words.clone(); LIMBS];
            move || {
                let limb = |out| Combination { q, weights: &weights, out };
                let mut limbs: Vec<_> = outs.iter_mut().map(|out| limb(black_box(out))).collect();
                kernels.combine(&mut limbs, &vec![words.as_slice(); inputs], q.value());
                float(SHORT * inputs * LIMBS)
            }
        });
        let bytes = rate(|| {
            let from = vec![1_u32; LONG];
            let mut to = from.clone();
            move || {
                black_box(&mut to).copy_from_slice(black_box(&from));
                2.0 * float(size_of_val(from.as_slice()))
            }
        });
        let threads = u32::try_from(rayon::current_num_threads()).unwrap_or(u32::MAX);
        Self { threads, butterflies, products, combinations, bytes }
    }
}

/// Words that a first-level cache holds some of.
const SHORT: usize = 2048;

/// Words that no cache holds.
const LONG: usize = 1 << 24;

/// Limbs that a kernel combines at once.
const LIMBS: usize = 4;

/// Pairs that a kernel multiplies and adds at once.
const TERMS: usize = 3;

/// How long to measure one kernel.
const WHILE: Duration = Duration::from_millis(150);

/// The sum of the rates of all threads, each for the time that it has a processor, so that other
/// programs disturb little; a job returns how much it has done.
fn rate<J: FnMut() -> f64>(prepare: impl Fn() -> J + Sync) -> f64 {
    let rates = rayon::broadcast(|_| {
        let mut job = prepare();
        job();
        let (begun, mut done) = (thread_time(), 0.0);
        loop {
            done += job();
            let spent = thread_time().saturating_sub(begun);
            if spent > WHILE {
                return done / spent.as_secs_f64();
            }
        }
    });
    rates.into_iter().sum::<f64>().round()
}

impl Floors {
    /// The floors of operations under `params` on a machine of these speeds.
    #[must_use]
    pub fn new(params: &Params, speeds: Speeds) -> Self {
        Self { params: params.clone(), speeds }
    }

    /// The machine.
    #[must_use]
    pub const fn speeds(&self) -> &Speeds {
        &self.speeds
    }

    /// The seconds that arithmetic and memory take at least.
    #[must_use]
    pub fn seconds(&self, work: &Work) -> (f64, f64) {
        let Speeds { butterflies, products, combinations, bytes, .. } = self.speeds;
        let arithmetic = work.butterflies / butterflies
            + work.products / products
            + work.combinations / combinations;
        (arithmetic, work.bytes / bytes)
    }

    /// What an operation has to do; `None` for one that consists of others.
    #[must_use]
    pub fn work(&self, operation: &Operation) -> Option<Work> {
        let Operation { name, from, count, .. } = *operation;
        let limbs = from.len();
        Some(match name {
            "copy" | "neg" | "mul_i" | "mul_scalar" | "drop_level" | "add_scalar" => {
                self.moved(4 * limbs)
            }
            "add" | "sub" => self.moved(6 * limbs),
            "add_plain" => self.moved(5 * limbs),
            "encode" => self.transforms(limbs) + self.moved(limbs),
            "dot_plain" => {
                let term = self.products(2 * limbs) + self.moved(3 * limbs);
                term * float(count) + self.moved(2 * limbs)
            }
            "matmul" => Work { combinations: float(count) * self.row_words(), ..Work::default() },
            "select" => self.rows(count),
            "concat" | "add_constants" => self.rows(2 * count),
            "add_rows" => self.rows(3 * count),
            "pack" => self.pack(count),
            _ => return self.division_or_switch(operation),
        })
    }

    /// Operations that divide by primes, most of them after a product with a key.
    fn division_or_switch(&self, operation: &Operation) -> Option<Work> {
        let Operation { name, from, to, count, .. } = *operation;
        let pairs = (self.products(4 * from.len()) + self.moved(4 * from.len())) * float(count);
        let ends = self.moved(2 * from.len()) + self.moved(2 * to.len());
        let result = self.moved(2 * to.len());
        Some(match name {
            "dot" => pairs + self.switch(KeyKind::Relinearization, from, 1) + result,
            "dot_rescaled" => {
                let key = self.key(KeyKind::Relinearization, from);
                let division = self.division(from.union(key.special), to) * 2.0;
                pairs + self.digits(&key) + self.key_product(&key) + division + result
            }
            "rescale" | "adjust" => self.division(from, to) * 2.0 + ends,
            "rotate" | "conjugate" => {
                let operand = self.moved(2 * from.len());
                operand + result * float(count) + self.switch(KeyKind::Galois(1), from, count)
            }
            "decompose" => {
                self.digits(&self.key(KeyKind::Galois(1), from)) + self.moved(from.len())
            }
            "baby_steps" => {
                let (keys, terms) = (float(count), float(operation.terms));
                let term = self.products(2 * to.len()) + self.moved(to.len());
                let products = self.key_product(&self.key(KeyKind::Galois(1), from)) * keys;
                products + term * terms + self.moved(2 * from.len())
            }
            "giant_step" => {
                let key = self.key(KeyKind::Galois(1), from);
                let (all, sums) = (from.union(key.special), self.moved(4 * key.limbs()));
                self.division(all, from) + self.digits(&key) + self.key_product(&key) + sums
            }
            "raise" => {
                let new = to.difference(from).len();
                let lift = self.transforms(to.len()) + self.conversion(from.len(), new);
                lift * 2.0 + ends + self.switch(KeyKind::Raise, to, 1)
            }
            "to_edge" => {
                self.transforms(2 * from.len()) + ends + self.switch(KeyKind::Down, from, 1)
            }
            _ => return None,
        })
    }

    /// Rows under parts of the edge secret to one ciphertext under the ephemeral secret.
    fn pack(&self, rows: usize) -> Work {
        let rank = self.params.edge_degree() / self.params.tokens();
        let base = self.params.base();
        let key = self.key(KeyKind::Pack(0), base);
        let parts = (self.digits(&key) + self.key_product(&key)) * float(rank);
        let message = self.transforms(base.len()) + self.moved(2 * base.len());
        let division = self.division(base.union(key.special), base) * 2.0;
        parts + division + message + self.rows(rows)
    }

    /// A key switch, for so many automorphisms of one ciphertext.
    fn switch(&self, kind: KeyKind, basis: Basis, times: usize) -> Work {
        let key = self.key(kind, basis);
        let division = self.division(basis.union(key.special), basis) * 2.0;
        self.digits(&key) + (self.key_product(&key) + division) * float(times)
    }

    /// What of a key serves polynomials over `basis`.
    fn key(&self, kind: KeyKind, basis: Basis) -> Key {
        let spec = KeySpec { kind, level: self.params.max_level() };
        let digits = spec.digits(&self.params).into_iter();
        let digits = digits.map(|digit| digit.intersection(basis).len()).filter(|&size| size > 0);
        Key { basis, special: spec.special(&self.params), digits: digits.collect() }
    }

    /// A polynomial cut into the digits of a key.
    fn digits(&self, key: &Key) -> Work {
        let all = key.limbs();
        let extend = |own: &usize| self.conversion(*own, all - own) + self.transforms(all - own);
        let extended = key.digits.iter().map(extend).fold(Work::default(), Add::add);
        self.transforms(key.basis.len()) + extended
    }

    /// The products of digits with both sides of a key.
    fn key_product(&self, key: &Key) -> Work {
        let limbs = 2 * key.digits.len() * key.limbs();
        self.products(limbs) + self.moved(limbs)
    }

    /// One polynomial to other primes with rounding, in evaluation form.
    fn division(&self, from: Basis, to: Basis) -> Work {
        let going = from.difference(to).len();
        self.transforms(going + to.len()) + self.conversion(going, to.len())
    }

    fn conversion(&self, from: usize, to: usize) -> Work {
        let combinations = float((from + 1) * to * self.params.degree());
        Work { combinations, ..Work::default() }
    }

    fn transforms(&self, limbs: usize) -> Work {
        Work {
            butterflies: float(limbs) * butterflies(self.params.log_degree()),
            ..Work::default()
        }
    }

    fn products(&self, limbs: usize) -> Work {
        Work { products: float(limbs * self.params.degree()), ..Work::default() }
    }

    fn moved(&self, limbs: usize) -> Work {
        Work { bytes: float(limbs * self.params.degree() * size_of::<u32>()), ..Work::default() }
    }

    fn rows(&self, count: usize) -> Work {
        let bytes = float(count * size_of::<u32>()) * self.row_words();
        Work { bytes, ..Work::default() }
    }

    /// The words of a row.
    fn row_words(&self) -> f64 {
        let words = self.params.edge_degree() + self.params.tokens();
        float(words * self.params.base().len())
    }
}

impl Key {
    fn limbs(&self) -> usize {
        self.basis.len() + self.special.len()
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            butterflies: self.butterflies + other.butterflies,
            products: self.products + other.products,
            combinations: self.combinations + other.combinations,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Mul<f64> for Work {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self {
            butterflies: self.butterflies * times,
            products: self.products * times,
            combinations: self.combinations * times,
            bytes: self.bytes * times,
        }
    }
}

/// Butterflies of one transform of a limb.
fn butterflies(log_degree: u32) -> f64 {
    f64::from(log_degree) * f64::from(log_degree - 1).exp2()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
const fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
