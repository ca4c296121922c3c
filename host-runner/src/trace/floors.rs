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
use he_core::ring::{Basis, Ring};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What all threads together do in a second.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Speeds {
    /// How many threads there are.
    pub threads: usize,
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
            let mut out = words.clone();
            move || {
                kernels.combine(q, black_box(&mut out), &vec![words.as_slice(); inputs], &weights);
                float(SHORT * inputs)
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
        let threads = rayon::current_num_threads();
        Self { threads, butterflies, products, combinations, bytes }
    }
}

/// Words that a first-level cache holds some of.
const SHORT: usize = 2048;

/// Words that no cache holds.
const LONG: usize = 1 << 24;

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

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
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
        let Operation { name, limbs, count, .. } = *operation;
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
        let Operation { name, level, limbs, count } = *operation;
        let basis = self.params.basis(level);
        let below = || Some(self.params.basis(level.checked_sub(1)?));
        let pairs = (self.products(4 * limbs) + self.moved(4 * limbs)) * float(count);
        let result = self.moved(2 * limbs);
        Some(match name {
            "dot" => pairs + self.switch(KeyKind::Relinearization, level, 1) + result,
            "dot_rescaled" => {
                let (key, to) = (KeySpec { kind: KeyKind::Relinearization, level }, below()?);
                let from = basis.union(key.special(&self.params));
                let switch = self.digits(&key) + self.key_product(&key);
                pairs + switch + self.division(from, to) * 2.0 + self.moved(2 * to.len())
            }
            "rescale" => {
                let to = below()?;
                self.division(basis, to) * 2.0 + self.moved(2 * (limbs + to.len()))
            }
            "adjust" => {
                let one = self.transforms(count + limbs) + self.conversion(count, limbs);
                one * 2.0 + self.moved(2 * (count + 2 * limbs))
            }
            "rotate" | "conjugate" => {
                result + result * float(count) + self.switch(KeyKind::Galois(1), level, count)
            }
            "raise" => {
                let base = self.params.base().len();
                let lift = self.transforms(limbs) + self.conversion(base, limbs - base);
                let switch = self.switch(KeyKind::Raise, level, 1);
                lift * 2.0 + switch + self.moved(2 * base) + result
            }
            "to_edge" => {
                self.transforms(2 * limbs) + self.switch(KeyKind::Down, level, 1) + result * 2.0
            }
            _ => return None,
        })
    }

    /// Rows under parts of the edge secret to one ciphertext under the ephemeral secret.
    fn pack(&self, rows: usize) -> Work {
        let rank = self.params.edge_degree() / self.params.tokens();
        let (base, key) = (self.params.base(), KeySpec { kind: KeyKind::Pack(0), level: 0 });
        let all = base.union(key.special(&self.params));
        let parts = (self.digits(&key) + self.key_product(&key)) * float(rank);
        let message = self.transforms(base.len()) + self.moved(2 * base.len());
        parts + self.division(all, base) * 2.0 + message + self.rows(rows)
    }

    /// A key switch, for so many automorphisms of one ciphertext.
    fn switch(&self, kind: KeyKind, level: usize, times: usize) -> Work {
        let (key, basis) = (KeySpec { kind, level }, self.params.basis(level));
        let division = self.division(basis.union(key.special(&self.params)), basis) * 2.0;
        self.digits(&key) + (self.key_product(&key) + division) * float(times)
    }

    /// A polynomial cut into the digits of a key.
    fn digits(&self, key: &KeySpec) -> Work {
        let (basis, digits) = self.parts(key);
        let all = basis.len() + key.special(&self.params).len();
        let extend = |own: &usize| self.conversion(*own, all - own) + self.transforms(all - own);
        let extended = digits.iter().map(extend).fold(Work::default(), Add::add);
        self.transforms(basis.len()) + extended
    }

    /// The products of digits with both sides of a key.
    fn key_product(&self, key: &KeySpec) -> Work {
        let (basis, digits) = self.parts(key);
        let all = basis.len() + key.special(&self.params).len();
        self.products(2 * digits.len() * all) + self.moved(2 * digits.len() * all)
    }

    /// The primes at a key's level, and how many of them each digit has.
    fn parts(&self, key: &KeySpec) -> (Basis, Vec<usize>) {
        let basis = self.params.basis(key.level);
        let digits = key.digits(&self.params).into_iter();
        let sizes = digits.map(|digit| digit.intersection(basis).len());
        (basis, sizes.filter(|&size| size > 0).collect())
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
