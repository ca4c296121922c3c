//! The optimizer on one ciphertext against the optimizer in the clear, at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::eval::Evaluator;
use he_lora::adamw::{self, Moments};
use he_lora::parameters::Parameters;
use he_lora::state::{Kind, Places};

fn largest_difference(a: &Parameters, b: &Parameters) -> f64 {
    let pairs = a.numbers().iter().zip(b.numbers());
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

#[test]
fn steps_on_a_ciphertext_are_steps_in_the_clear() {
    let eval = small::insecure();
    let (optimizer, mut theta) = (small::optimizer(), small::parameters(1, 0.5));
    let shape = theta.shape();
    let places = Places::new(&eval, shape).unwrap();
    let mut moments = Moments { mean: Parameters::zeros(shape), square: Parameters::zeros(shape) };
    let slots = places.pack(Kind::Parameter, &theta);
    let scale = eval.default_scale();
    let mut state = eval.encrypt(&slots, 14, scale).unwrap();
    for number in 1..=4 {
        let gradient = small::parameters(10 + u64::from(number), 1.9);
        let slots = places.pack(Kind::Gradient, &gradient);
        let all = eval.add(&state, &eval.encrypt(&slots, 14, scale).unwrap()).unwrap();
        let after = adamw::step(&eval, shape, &optimizer, number, &all).unwrap();
        assert_eq!(eval.level(&after), 14 - 9);
        let exact = |x: f64| 1.0 / x.sqrt();
        optimizer.apply(number, &mut theta, &mut moments, &gradient, &exact);
        let read = |kind| places.read(kind, after.values()).unwrap();
        for (kind, wanted) in [
            (Kind::Parameter, &theta),
            (Kind::Mean, &moments.mean),
            (Kind::Square, &moments.square),
            (Kind::Gradient, &Parameters::zeros(shape)),
        ] {
            let error = largest_difference(&read(kind), wanted);
            assert!(error < 2f64.powi(-20), "{number} {kind:?}: 2^{:.1}", error.log2());
        }
        state = eval.encrypt(after.values(), 14, scale).unwrap();
    }
    let moved = largest_difference(&theta, &small::parameters(1, 0.5));
    assert!(moved > 0.02, "{moved}");
}

#[test]
fn the_polynomial_of_the_inverse_root_covers_its_window() {
    let optimizer = small::optimizer();
    let root = optimizer.inverse_root().unwrap();
    let error = root.max_error(|x| 1.0 / x.sqrt()) * optimizer.epsilon.sqrt();
    assert!(error < 2f64.powi(-17), "2^{:.1}", error.log2());
}
