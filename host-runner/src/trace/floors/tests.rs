use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use alloc::sync::Arc;

use he_core::complex::Complex;
use he_core::cpu::{Cpu, Observer};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyPlan};
use he_core::modulus::Modulus;
use he_core::ntt::NttTable;
use he_core::ring::{Kernels, Serial};

use super::*;
use crate::random;

/// The reference kernels, which count what they do.
#[derive(Debug, Default)]
struct Counting {
    butterflies: AtomicUsize,
    products: AtomicUsize,
    combinations: AtomicUsize,
}

impl Counting {
    fn take(&self) -> [usize; 3] {
        [&self.butterflies, &self.products, &self.combinations]
            .map(|x| x.swap(0, Ordering::Relaxed))
    }
}

impl Kernels for Counting {
    fn ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        let count = limb.len() / 2 * limb.len().ilog2() as usize;
        self.butterflies.fetch_add(count, Ordering::Relaxed);
        table.forward(limb);
    }

    fn inverse_ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        let count = limb.len() / 2 * limb.len().ilog2() as usize;
        self.butterflies.fetch_add(count, Ordering::Relaxed);
        table.inverse(limb);
    }

    fn dot(&self, q: Modulus, out: &mut [u32], pairs: &[(&[u32], &[u32])]) {
        self.products.fetch_add(out.len() * pairs.len(), Ordering::Relaxed);
        he_core::ring::Portable.dot(q, out, pairs);
    }

    fn combine(&self, limbs: &mut [Combination<'_>], inputs: &[&[u32]], bound: u32) {
        let words: usize = limbs.iter().map(|limb| limb.out.len()).sum();
        self.combinations.fetch_add(words * inputs.len(), Ordering::Relaxed);
        he_core::ring::Portable.combine(limbs, inputs, bound);
    }
}

/// Keeps what begins.
#[derive(Clone, Debug, Default)]
struct Last(Arc<Mutex<Vec<Operation>>>);

impl Observer for Last {
    fn begin(&self, operation: Operation) {
        self.0.lock().unwrap().push(operation);
    }

    fn end(&self) {}
}

#[test]
fn the_arithmetic_of_an_operation_is_what_its_kernels_do_at_an_insecure_size() {
    let params = Params::insecure_small(10, 7, 4).unwrap();
    let kernels: &'static Counting = Box::leak(Box::default());
    let ring = || Ring::new(10, params.primes(), kernels, &Serial).unwrap();
    let mut rng = random::generator().unwrap();
    let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
    let (maker, mut keys, mut plan) = (ring(), EvaluationKeys::new(), KeyPlan::new(&params));
    plan.need_rotation(&params, 1, params.max_level());
    plan.need_rotation(&params, 2, params.max_level());
    for spec in plan.specs() {
        let key = authority.key(&maker, &params, spec, &mut rng).unwrap();
        keys.insert(&maker, spec.kind, key.expand(&maker, &params).unwrap());
    }
    let last = Last::default();
    let cpu = Cpu::new(params.clone(), ring(), keys).unwrap();
    let cpu = cpu.with_observer(Box::new(last.clone()));
    let encoder = Encoder::new(10);
    let encryptor = Encryptor { ring: &maker, params: &params, encoder: &encoder };
    let speeds =
        Speeds { threads: 1, butterflies: 1.0, products: 1.0, combinations: 1.0, bytes: 1.0 };
    let floors = Floors::new(&params, speeds);

    for level in [22, 14, 5] {
        let values = [Complex::real(0.5)];
        let at = (level, params.default_scale());
        let x = encryptor.encrypt(authority.big_secret(), &values, at, &mut rng).unwrap();
        let plain = cpu.encode(&values, level, cpu.step(level)).unwrap();
        type Run<'a> = &'a dyn Fn();
        let runs: [Run<'_>; 7] = [
            &|| drop(cpu.rotate_many(&x, &[1, 2]).unwrap()),
            &|| drop(cpu.dot(&[(&x, &x), (&x, &x)]).unwrap()),
            &|| drop(cpu.dot_rescaled(&[(&x, &x)]).unwrap()),
            &|| drop(cpu.dot_plain(&[(&x, &plain); 5]).unwrap()),
            &|| drop(cpu.rescale(&x).unwrap()),
            &|| drop(cpu.adjust(&x, level - 2, 1.01 * params.default_scale()).unwrap()),
            &|| drop(cpu.encode(&values, level, cpu.step(level)).unwrap()),
        ];
        for run in runs {
            kernels.take();
            last.0.lock().unwrap().clear();
            run();
            let done = kernels.take();
            let operation = last.0.lock().unwrap()[0];
            let work = floors.work(&operation).unwrap();
            let floor = [work.butterflies, work.products, work.combinations];
            for (done, floor) in done.map(float).into_iter().zip(floor) {
                assert!(floor <= done && done <= 1.1 * floor, "{operation:?}: {floor} {done}");
            }
        }
    }
}
