//! The forward pass at an INSECURE size, where every stage is cheap, against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "synthetic/model.rs"]
mod synthetic;

use he_core::eval::Evaluator;
use he_core::eval::clear::{Clear, ClearRows};
use he_core::eval::count::{Count, Counted};
use he_core::eval::position::{RowShape, Shape};
use he_core::refresh::{Refresh, Weights};
use he_nn::forward::Forward;
use he_nn::layer::feed_forward::feed_forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::layer::normalisation::{Normalisation, Padding};
use he_nn::layer::token_attention::token_attention;
use he_nn::layer::update::Linears;
use he_nn::layer::wide_attention::WideAttention;
use he_nn::levels::Levels;
use he_nn::model::{Element, Kernel, Model, Tensor, Window};
use he_nn::{Error, TensorName, reference};
use synthetic::{FRAC_BITS, TOKENS, WIDTH};

/// Kinds of attention.
const KERNELS: [Kernel; 2] = [Kernel::Gaussian { exponent: 16.0 }, synthetic::SOFTMAX];

/// Slots and chain of a degree of 2^10.
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

/// `tokens × features` as rows at the scale of a product.
fn product_rows(eval: &Clear, values: &[f64], width: usize) -> ClearRows {
    let feature = |f: usize| values.iter().skip(f).step_by(width).copied().collect();
    let rows: Vec<Vec<f64>> = (0..width).map(feature).collect();
    let mut identity = vec![0; width * width];
    identity.iter_mut().step_by(width + 1).for_each(|w| *w = 1 << FRAC_BITS);
    let identity =
        Weights { inputs: width, outputs: width, entries: identity, frac_bits: FRAC_BITS };
    eval.matmul(&eval.encrypt_rows(&rows).unwrap(), &identity).unwrap()
}

#[test]
fn answers_are_those_of_the_reference_for_every_length() {
    let eval = insecure();
    for (seed, kernel) in KERNELS.into_iter().cycle().take(6).enumerate() {
        let seed = seed as u64 / 2;
        let config = synthetic::with_kernel(synthetic::config(), kernel);
        let model = synthetic::model_of(config, seed);
        for length in [1, 2, 7, 8, 9, 15, 16] {
            let embedding = synthetic::embedding(100 + seed, length);
            let upload = eval.encrypt_rows(&synthetic::upload(&embedding, length)).unwrap();
            let answer = Forward::new(&eval, &model, &mut |_| {}).run(&upload).unwrap();
            let answer = eval.slots_to_rows(&answer).unwrap();
            let plain = reference::forward(&model, &embedding, length);
            let squares = plain.mean_squares.iter();
            assert!(
                squares.copied().all(|(low, high)| low > 0.4 && high < 12.0),
                "{seed} {length}"
            );
            if let Kernel::Softmax { score, sum } = kernel {
                assert!(plain.exponents.iter().all(|x| *x < score), "{:?}", plain.exponents);
                let mut sums = plain.sums.iter();
                assert!(sums.all(|(low, high)| *low > sum.low && *high < sum.high));
            }
            for (class, plain) in plain.logits.iter().enumerate() {
                let found = answer.values()[class_row(class)][0];
                assert!((found - plain).abs() < 2f64.powi(-12), "{seed} {length}: {found} {plain}");
            }
            assert!((answer.values()[CANARY_ROW][0] - 1.0).abs() < 2f64.powi(-9));
        }
    }
}

#[test]
fn planned_levels_suffice_and_none_could_be_lower() {
    for kernel in KERNELS {
        planned_levels(&synthetic::model_of(
            synthetic::with_kernel(synthetic::config(), kernel),
            1,
        ));
    }
}

fn planned_levels(model: &Model) {
    let eval = insecure();
    let run = |levels: Option<&[usize]>| -> Result<(Count, Counted), Error> {
        let count = Count::new(eval.shape().clone());
        let upload = count.input_rows(WIDTH)?;
        let mut progress = |_| {};
        let forward = Forward::new(&count, model, &mut progress);
        let answer = match levels {
            Some(levels) => forward.with_levels(levels).run(&upload)?,
            None => forward.run(&upload)?,
        };
        if count.level(&answer) < count.rows_level() {
            return Err(Error::Unsupported("an answer below rows"));
        }
        Ok((count, answer))
    };
    let (count, answer) = run(None).unwrap();
    let bootstraps = count.needed_bootstraps(&[answer], count.rows_level()).unwrap();
    let levels: Vec<usize> = bootstraps.iter().map(|bootstrap| bootstrap.needed).collect();
    let (_, planned) = run(Some(&levels)).unwrap();
    assert_eq!(count.level(&planned), count.rows_level());
    for lower in 0..levels.len() {
        let mut levels = levels.clone();
        levels[lower] -= 1;
        assert!(run(Some(&levels)).is_err(), "bootstrap {lower}");
    }
    assert!(run(Some(&levels[1..])).is_err(), "a plan for another model");

    let embedding = synthetic::embedding(101, 9);
    let upload = eval.encrypt_rows(&synthetic::upload(&embedding, 9)).unwrap();
    let mut progress = |_| {};
    let forward = Forward::new(&eval, model, &mut progress).with_levels(&levels);
    let answer = forward.run(&upload).unwrap();
    // No level is left to correct its scale.
    let correction = eval.scale(&answer) / eval.default_scale();
    let answer = eval.with_scale(&answer, eval.default_scale());
    let answer = eval.slots_to_rows(&answer).unwrap();
    let plain = reference::forward(model, &embedding, 9).logits;
    for (class, plain) in plain.iter().enumerate() {
        let found = answer.values()[class_row(class)][0] / correction;
        assert!((found - plain).abs() < 2f64.powi(-12), "{found} {plain}");
    }
}

#[test]
fn an_argument_outside_the_tangents_range_destroys_the_canary() {
    let mut tensors = synthetic::tensors(1);
    let (_, _, dense) = tensors.iter_mut().find(|(n, ..)| n == "head.dense").unwrap();
    for word in dense.as_chunks_mut::<2>().0 {
        *word = (12 * i16::from_le_bytes(*word)).to_le_bytes();
    }
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    let model = Model::from_tensors(synthetic::config(), &find).unwrap();
    let eval = insecure();
    let embedding = synthetic::embedding(101, 9);
    assert!(reference::forward(&model, &embedding, 9).tanh > 4.4);
    let upload = eval.encrypt_rows(&synthetic::upload(&embedding, 9)).unwrap();
    let answer = Forward::new(&eval, &model, &mut |_| {}).run(&upload).unwrap();
    let canary = eval.slots_to_rows(&answer).unwrap().values()[CANARY_ROW][0];
    assert!((canary - 1.0).abs() > 1.0, "{canary}");
}

#[test]
fn attention_covers_every_pair_once() {
    let eval = insecure();
    let config = synthetic::config();
    let mut numbers = synthetic::Numbers(5);
    let projections: Vec<f64> = (0..TOKENS * 3 * WIDTH).map(|_| numbers.next()).collect();
    let at = |t: usize, kind: usize, h: usize, f: usize| {
        projections[t * 3 * WIDTH + kind * WIDTH + h * 4 + f]
    };
    let attention = WideAttention::new(&eval, &config).unwrap();
    let rows = product_rows(&eval, &projections, 3 * WIDTH);
    let packs = attention.packs(&eval, &rows, &[eval.computing_level()]).unwrap();
    let levels = &mut Levels::default();
    let (out, level, _) =
        attention.attend(&eval, &config, &packs, &config.layers[0].kernel, levels).unwrap();
    assert_eq!(level, 3);
    for (i, h, f) in (0..TOKENS).flat_map(|i| (0..WIDTH).map(move |j| (i, j / 4, j % 4))) {
        let weight = |j: usize| {
            let square = |f| (at(i, 0, h, f) - at(j, 1, h, f)).powi(2);
            (-(0..4).map(square).sum::<f64>()).exp()
        };
        let wanted: f64 = (0..TOKENS).map(|j| weight(j) * at(j, 2, h, f)).sum();
        let found = out.values()[h * 4 + f][i];
        assert!((found - wanted).abs() < 2f64.powi(-30), "{i} {h} {f}: {found} {wanted}");
    }
}

#[test]
fn shares_of_all_pairs_are_those_of_a_softmax() {
    let eval = insecure();
    let config = synthetic::with_kernel(synthetic::config(), synthetic::SOFTMAX);
    let attention = WideAttention::new(&eval, &config).unwrap();
    assert_eq!(attention.pack_count(), 1, "the mask has room beside queries, keys and values");
    let columns = 3 * WIDTH + 1;
    for length in [1, 7, 8, 9, 16] {
        let mut numbers = synthetic::Numbers(50 + length as u64);
        let mut rows: Vec<f64> = (0..TOKENS * columns).map(|_| 0.8 * numbers.next()).collect();
        for (t, row) in rows.chunks_exact_mut(columns).enumerate() {
            let is_real = if t < length { 1.0 } else { 0.0 };
            row.iter_mut().for_each(|x| *x *= is_real);
            row[3 * WIDTH] = is_real;
        }
        let at = |t: usize, kind: usize, h: usize| {
            let first = t * columns + kind * WIDTH + h * 4;
            &rows[first..first + 4]
        };
        let projections = product_rows(&eval, &rows, columns);
        let packs = attention.packs(&eval, &projections, &[eval.computing_level()]).unwrap();
        let levels = &mut Levels::default();
        let (out, level, _) =
            attention.attend(&eval, &config, &packs, &synthetic::SOFTMAX, levels).unwrap();
        assert_eq!((level, levels.used()), (3, 1));
        for (i, h, f) in (0..TOKENS).flat_map(|i| (0..WIDTH).map(move |j| (i, j / 4, j % 4))) {
            let score = |j| at(i, 0, h).iter().zip(at(j, 1, h)).map(|(q, k)| q * k).sum::<f64>();
            let sum: f64 = (0..length).map(|j| score(j).exp()).sum();
            let wanted: f64 = (0..length).map(|j| score(j).exp() / sum * at(j, 2, h)[f]).sum();
            let found = out.values()[h * 4 + f][i];
            assert!((found - wanted).abs() < 2f64.powi(-14), "{i} {h} {f}: {found} {wanted}");
        }
    }
}

#[test]
fn the_first_token_takes_shares_of_what_the_mask_shows() {
    let eval = insecure();
    let config = synthetic::with_kernel(synthetic::config(), synthetic::SOFTMAX);
    // Keys, values, queries of the first token, and the mask, token by token.
    let columns = 3 * WIDTH + 1;
    for length in [1, 11, 16] {
        let mut numbers = synthetic::Numbers(6);
        let mut rows: Vec<f64> = (0..TOKENS * columns).map(|_| numbers.next()).collect();
        let queries = rows[2 * WIDTH..3 * WIDTH].to_vec();
        for (t, row) in rows.chunks_exact_mut(columns).enumerate() {
            row[2 * WIDTH..3 * WIDTH].copy_from_slice(&queries);
            row[3 * WIDTH] = if t < length { 1.0 } else { 0.0 };
        }
        let product = product_rows(&eval, &rows, columns);
        let (kernel, levels) = (&synthetic::SOFTMAX, &mut Levels::default());
        let (out, ..) =
            token_attention(&eval, &config, kernel, &product, 3 * WIDTH, levels).unwrap();
        for (h, f) in (0..WIDTH).map(|j| (j / 4, j % 4)) {
            let weight = |row: &[f64]| {
                (0..4).map(|f| row[h * 4 + f] * queries[h * 4 + f]).sum::<f64>().exp()
            };
            let real = || rows.chunks_exact(columns).take(length);
            let sum: f64 = real().map(weight).sum();
            let wanted = real().map(|row| weight(row) * row[WIDTH + h * 4 + f]).sum::<f64>() / sum;
            for (t, found) in out.values()[h * 4 + f].iter().enumerate() {
                let wanted = if t == 0 { wanted } else { 0.0 };
                assert!((found - wanted).abs() < 2f64.powi(-14), "{h} {f} {t}: {found} {wanted}");
            }
        }
    }
}

#[test]
fn a_softmax_beyond_its_series_is_refused() {
    let window = Window { low: 1.0, high: 64.0 };
    let with = |score, sum| {
        let kernel = Kernel::Softmax { score, sum };
        synthetic::with_kernel(synthetic::config(), kernel).check()
    };
    assert!(with(Kernel::MAX_SCORE, window).is_ok());
    let why = Error::Unsupported("exponents above 0; scores to 6, sums to a ratio of 128");
    for (score, sum) in [
        (Kernel::MAX_SCORE + 0.1, window),
        (0.0, window),
        (f64::NAN, window),
        (4.0, Window { low: 0.4, ..window }),
        (4.0, Window { low: 0.0, ..window }),
    ] {
        assert_eq!(with(score, sum), Err(why));
    }
}

#[test]
fn the_first_token_attends_to_every_token_that_the_mask_shows() {
    let eval = insecure();
    let config = synthetic::config();
    let mut numbers = synthetic::Numbers(6);
    // Differences, values and the mask, token by token.
    let columns = 2 * WIDTH + 1;
    let length = 11;
    let mut rows: Vec<f64> = (0..TOKENS * columns).map(|_| numbers.next()).collect();
    for (t, row) in rows.chunks_exact_mut(columns).enumerate() {
        row[2 * WIDTH] = if t < length { 1.0 } else { 0.0 };
    }
    let product = product_rows(&eval, &rows, columns);
    let kernel = &config.layers[1].kernel;
    let levels = &mut Levels::default();
    let (out, ..) = token_attention(&eval, &config, kernel, &product, 2 * WIDTH, levels).unwrap();
    for (h, f) in (0..WIDTH).map(|j| (j / 4, j % 4)) {
        let weight = |row: &[f64]| (-(0..4).map(|f| row[h * 4 + f].powi(2)).sum::<f64>()).exp();
        let real = rows.chunks_exact(columns).take(length);
        let wanted: f64 = real.map(|row| weight(row) * row[WIDTH + h * 4 + f]).sum();
        for (t, found) in out.values()[h * 4 + f].iter().enumerate() {
            let wanted = if t == 0 { wanted } else { 0.0 };
            assert!((found - wanted).abs() < 2f64.powi(-30), "{h} {f} {t}: {found} {wanted}");
        }
    }
}

#[test]
fn feed_forward_updates_the_stream_and_passes_canaries_on() {
    let eval = insecure();
    let (config, model) = (synthetic::config(), synthetic::model(2));
    let weights = &model.layers()[0].feed_forward;
    let n = synthetic::embedding(8, TOKENS);
    let with_canary = |(t, row): (usize, &[f64])| {
        let canary = if t == 3 { 0.5 } else { 0.0 };
        row.iter().copied().chain([canary]).collect::<Vec<_>>()
    };
    let values: Vec<f64> = n.chunks_exact(WIDTH).enumerate().flat_map(with_canary).collect();
    let feature = |f: usize| values.iter().skip(f).step_by(WIDTH + 1).copied().collect();
    let rows = eval.encrypt_rows(&(0..=WIDTH).map(feature).collect::<Vec<_>>()).unwrap();
    let linears = &mut Linears::frozen(Levels::default());
    let (update, ..) = feed_forward(&eval, &config, (0, weights), 6.0, &rows, linears).unwrap();
    let unit = 2f64.powi(-10);
    let product = |x: &[f64], w: &Weights, g: usize| -> f64 {
        let column = w.entries.iter().skip(g).step_by(w.outputs);
        x.iter().zip(column).map(|(x, &w)| x * f64::from(w) * unit).sum()
    };
    for (t, token) in n.chunks_exact(WIDTH).enumerate() {
        let hidden: Vec<f64> = (0..config.hidden)
            .map(|f| {
                let gate = product(token, &weights.gate, f);
                reference::gelu(gate) * product(token, &weights.value, f)
            })
            .collect();
        for f in 0..WIDTH {
            let (found, wanted) = (update.values()[f][t], product(&hidden, &weights.output, f));
            assert!((found - wanted).abs() < 2f64.powi(-16), "{t} {f}: {found} {wanted}");
        }
        let canary = if t == 3 { 0.5 } else { 0.0 };
        assert!((update.values()[WIDTH][t] - canary).abs() < 2f64.powi(-30));
    }
}

#[test]
fn an_upload_without_its_mask_is_refused() {
    let eval = insecure();
    let rows = synthetic::upload(&synthetic::embedding(1, 4), 4);
    let upload = eval.encrypt_rows(&rows[..WIDTH - 1]).unwrap();
    let error = Forward::new(&eval, &synthetic::model(1), &mut |_| {}).run(&upload);
    let expected = he_core::Error::WrongLength { expected: WIDTH, found: WIDTH - 1 };
    assert_eq!(error.err(), Some(Error::Core(expected)));
}

#[test]
fn normalised_tokens_have_mean_square_one_and_padding_stays_in_the_window() {
    let eval = insecure();
    let config = synthetic::config();
    let length = 5;
    let embedding = synthetic::embedding(9, length);
    let mut values = Vec::new();
    for (t, row) in embedding.chunks_exact(WIDTH).enumerate() {
        values.extend(row.iter().map(|x| 1.7 * x));
        values.push(if t < length { 1.0 } else { 0.0 });
    }
    let stream = product_rows(&eval, &values, WIDTH + 1);
    let window = Window { low: 0.5, high: 5.0 };
    let normalised = Normalisation::new(
        &eval,
        &config,
        &stream,
        window,
        Padding::Masked,
        eval.computing_level(),
    )
    .unwrap();
    let (rows, _) = normalised.rows(&eval).unwrap();
    for (t, token) in embedding.chunks_exact(WIDTH).enumerate() {
        for (f, wanted) in token.iter().enumerate() {
            assert!((rows.values()[f][t] - wanted).abs() < 2f64.powi(-20), "{t} {f}");
        }
        assert!(rows.values()[WIDTH][t].abs() < 2f64.powi(-30));
    }
}

#[test]
fn a_model_is_refused_by_the_name_of_what_does_not_fit() {
    let mut tensors = synthetic::tensors(1);
    let load = |tensors: &[synthetic::Named]| {
        let find = |name: TensorName| {
            let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
            Some(Tensor { shape, element: Element::I16, bytes })
        };
        Model::from_tensors(synthetic::config(), &find)
    };
    let output = TensorName::Layer { layer: 0, part: "attention.output" };
    let value = TensorName::Layer { layer: 1, part: "feed_forward.value" };
    let dense = TensorName::Single("head.dense");
    let position = |name: TensorName| {
        synthetic::tensors(1).iter().position(|(n, ..)| *n == name.to_string()).unwrap()
    };

    assert!(load(&tensors).is_ok());
    tensors[position(output)].2[2 * WIDTH] ^= 1;
    assert_eq!(load(&tensors), Err(Error::NotCentred { tensor: output, row: 1 }));
    tensors = synthetic::tensors(1);
    tensors[position(value)].2[2 * 15] = 1;
    assert_eq!(load(&tensors), Err(Error::NotZero { tensor: value, column: 15 }));
    tensors = synthetic::tensors(1);
    tensors[position(dense)].1 = [4, 16];
    let wrong = Error::TensorShape { tensor: dense, expected: [8, 8], found: [4, 16] };
    assert_eq!(load(&tensors), Err(wrong));
    tensors.remove(position(dense));
    assert_eq!(load(&tensors), Err(Error::MissingTensor(dense)));
}
