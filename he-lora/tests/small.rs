//! An adapter in the forward pass against a model into whose matrices it is merged, at an INSECURE
//! size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::eval::clear::{Clear, ClearVector};
use he_core::eval::position::{RowShape, Shape};
use he_core::refresh::Refresh;
use he_lora::adapter::LayerAdapter;
use he_lora::{Adapter, Update};
use he_nn::TensorName;
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::layer::normalisation::layout;
use he_nn::model::{Element, Model, Tensor};
use he_nn::reference;
use synthetic::{FRAC_BITS, TOKENS, WIDTH};

const RANK: usize = 2;
/// `alpha = 8`.
const SCALING: f64 = 4.0;
/// Entries of `down` are multiples of this, those of `up` of `2^-7`: merged weights are integers
/// over `2^FRAC_BITS`.
const DOWN_UNIT: f64 = 1.0 / 32.0;
const UP_UNIT: f64 = 1.0 / 128.0;

fn insecure() -> Clear {
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: FRAC_BITS,
        product_scale: 2f64.powi(38),
        rows_level: 3,
        computing_level: 14,
    };
    Clear::new(Shape::nominal(1 << 9).unwrap().with_rows(rows).unwrap())
}

type Matrices = [Vec<f64>; 3];

fn updates(seed: u64) -> Vec<(Matrices, Matrices)> {
    let mut numbers = synthetic::Numbers(seed);
    let mut matrix = |unit: f64| -> Vec<f64> {
        (0..RANK * WIDTH).map(|_| (numbers.next() * 4.0).round() * unit).collect()
    };
    (0..2)
        .map(|_| {
            let down = [0, 1, 2].map(|_| matrix(DOWN_UNIT));
            let mut up = [0, 1, 2].map(|_| matrix(UP_UNIT));
            up[2].iter_mut().skip(WIDTH - 1).step_by(WIDTH).for_each(|x| *x = 0.0);
            (down, up)
        })
        .collect()
}

fn adapter(eval: &Clear, updates: &[(Matrices, Matrices)]) -> Adapter<Clear> {
    let layout = layout(eval, &synthetic::config()).unwrap();
    let layers = updates.iter().map(|(down, up)| {
        let update = Update::new(RANK, WIDTH, down.clone(), up.clone()).unwrap();
        let encrypt =
            |slots: Vec<_>| -> ClearVector { eval.encrypt(&slots, 14, 2f64.powi(40)).unwrap() };
        let down = (0..RANK).map(|r| encrypt(update.down_slots(&layout, r))).collect();
        let up = (0..RANK).map(|r| encrypt(update.up_slots(&layout, r))).collect();
        LayerAdapter::new(down, up).unwrap()
    });
    Adapter::new(layers.collect(), SCALING, WIDTH, layout.step(2)).unwrap()
}

/// The model with the updates added to its matrices.
fn merged(seed: u64, updates: &[(Matrices, Matrices)]) -> Model {
    let mut tensors = synthetic::tensors(seed);
    for (l, (down, up)) in updates.iter().enumerate() {
        for (c, part) in ["query", "key", "value"].into_iter().enumerate() {
            let name = format!("layers.{l}.attention.{part}");
            let (_, _, bytes) = tensors.iter_mut().find(|(n, ..)| *n == name).unwrap();
            for (at, word) in bytes.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let (input, output) = (at / WIDTH, at % WIDTH);
                let term = |r: usize| down[c][r * WIDTH + input] * up[c][r * WIDTH + output];
                let delta = SCALING * (0..RANK).map(term).sum::<f64>();
                let delta = delta * f64::from(1u32 << FRAC_BITS);
                assert!((delta - delta.round()).abs() < 1e-9);
                #[expect(clippy::cast_possible_truncation, reason = "small integers")]
                let delta = delta.round() as i16;
                *word = (i16::from_le_bytes(*word) + delta).to_le_bytes();
            }
        }
    }
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    Model::from_tensors(synthetic::config(), &find).unwrap()
}

#[test]
fn an_adapter_answers_like_the_model_it_is_merged_into() {
    let eval = insecure();
    for (seed, length) in [(0, 5), (1, 16), (2, 9)] {
        let updates = updates(50 + seed);
        let adapter = adapter(&eval, &updates);
        let embedding = synthetic::embedding(100 + seed, length);
        let upload = eval.encrypt_rows(&synthetic::upload(&embedding, length)).unwrap();
        let model = synthetic::model(seed);
        let answer =
            Forward::new(&eval, &model, &mut |_| {}).with_updates(Some(&adapter)).run(&upload);
        let answer = eval.slots_to_rows(&answer.unwrap()).unwrap();
        let wanted = reference::forward(&merged(seed, &updates), &embedding, length).logits;
        let without = reference::forward(&model, &embedding, length).logits;
        let mut change = 0f64;
        for (class, (wanted, without)) in wanted.iter().zip(&without).enumerate() {
            let found = answer.values()[class_row(class)][0];
            assert!((found - wanted).abs() < 2f64.powi(-12), "{seed} {class}: {found} {wanted}");
            change = change.max((wanted - without).abs());
        }
        assert!(change > 2f64.powi(-8), "the adapter changes nothing: {change}");
        assert!((answer.values()[CANARY_ROW][0] - 1.0).abs() < 2f64.powi(-9));
    }
}

#[test]
fn an_adapter_that_is_zero_on_one_side_changes_nothing() {
    let eval = insecure();
    let mut updates = updates(7);
    updates.iter_mut().for_each(|(_, up)| up.iter_mut().for_each(|m| m.fill(0.0)));
    let adapter = adapter(&eval, &updates);
    let embedding = synthetic::embedding(3, 6);
    let upload = eval.encrypt_rows(&synthetic::upload(&embedding, 6)).unwrap();
    let model = synthetic::model(3);
    let answer = Forward::new(&eval, &model, &mut |_| {}).with_updates(Some(&adapter)).run(&upload);
    let answer = eval.slots_to_rows(&answer.unwrap()).unwrap();
    for (class, wanted) in reference::forward(&model, &embedding, 6).logits.iter().enumerate() {
        assert!((answer.values()[class_row(class)][0] - wanted).abs() < 2f64.powi(-12));
    }
}
