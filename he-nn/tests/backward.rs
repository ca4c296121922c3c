//! The way back through each layer, in the clear at an INSECURE size, against differences of plain loops.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "synthetic/model.rs"]
mod synthetic;

use he_core::eval::Evaluator;
use he_core::eval::clear::{Clear, ClearRows};
use he_core::eval::position::{RowShape, Shape};
use he_core::refresh::{Refresh, Weights};
use he_nn::backward;
use he_nn::backward::bootstraps::{Bootstraps, RANGE};
use he_nn::backward::linears::Linears;
use he_nn::layer::assembly::as_product;
use he_nn::layer::feed_forward::feed_forward;
use he_nn::layer::normalisation::{Normalisation, Padding};
use he_nn::layer::token_attention::token_attention;
use he_nn::layer::update;
use he_nn::layer::wide_attention::WideAttention;
use he_nn::layout::row;
use he_nn::levels::Levels;
use he_nn::model::Window;
use he_nn::reference::gelu;
use synthetic::{FRAC_BITS, TOKENS, WIDTH};

/// Features of a head.
const DEPTH: usize = 4;
const HALF: usize = TOKENS / 2;
/// Where bootstraps return to.
const LEVEL: usize = 14;

fn insecure() -> Clear {
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: FRAC_BITS,
        product_scale: 2f64.powi(38),
        rows_level: 3,
        computing_level: LEVEL,
    };
    Clear::new(Shape::nominal(1 << 9).unwrap().with_rows(rows).unwrap())
}

/// Bootstraps to [`LEVEL`].
macro_rules! to_top {
    () => {
        &mut Linears::frozen(&mut Bootstraps::new(&mut Levels::default()))
    };
}

fn random(seed: u64, count: usize) -> Vec<f64> {
    let mut numbers = synthetic::Numbers(seed);
    (0..count).map(|_| numbers.next()).collect()
}

/// Rows from a matrix of tokens.
fn rows(eval: &Clear, x: &[f64], width: usize) -> ClearRows {
    let feature = |f: usize| x.iter().skip(f).step_by(width).copied().collect();
    eval.encrypt_rows(&(0..width).map(feature).collect::<Vec<_>>()).unwrap()
}

fn product_rows(eval: &Clear, x: &[f64], width: usize) -> ClearRows {
    as_product(eval, &synthetic::config(), &rows(eval, x, width)).unwrap()
}

/// Halves from a matrix of tokens: lower tokens, then upper ones in their place.
fn halves(eval: &Clear, x: &[f64]) -> ClearRows {
    let at =
        |u: usize, f: usize, t: usize| if t < HALF { x[(u * HALF + t) * WIDTH + f] } else { 0.0 };
    let row = |i: usize| (0..TOKENS).map(|t| at(i / WIDTH, i % WIDTH, t)).collect();
    eval.encrypt_rows(&(0..2 * WIDTH).map(row).collect::<Vec<_>>()).unwrap()
}

/// A matrix of tokens from rows.
fn matrix(rows: &ClearRows) -> Vec<f64> {
    let values = rows.values();
    (0..TOKENS).flat_map(|t| values.iter().map(move |row| row[t])).collect()
}

fn times(x: &[f64], w: &Weights) -> Vec<f64> {
    let unit = 2f64.powi(-10);
    let column = |g: usize| w.entries.iter().skip(g).step_by(w.outputs);
    let dot = |x: &[f64], g| x.iter().zip(column(g)).map(|(x, &w)| x * f64::from(w) * unit).sum();
    x.chunks_exact(w.inputs).flat_map(|x| (0..w.outputs).map(move |g| dot(x, g))).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Compares with the derivatives of `f` at `x`.
fn check(found: &[f64], x: &[f64], f: &dyn Fn(&[f64]) -> f64) {
    assert_eq!(found.len(), x.len());
    let step = 1e-5;
    let slope = |i: usize| {
        let moved = |by: f64| {
            let mut x = x.to_vec();
            x[i] += by;
            f(&x)
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    };
    let wanted: Vec<f64> = (0..x.len()).map(slope).collect();
    let size = wanted.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert!(size > 0.01);
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((found - wanted).abs() < size * 2f64.powi(-12), "{i}: {found} {wanted}");
    }
}

#[test]
fn back_through_a_normalisation() {
    let (eval, config) = (insecure(), synthetic::config());
    let length = 11;
    let padding = |t: usize| if t < length { 0.0 } else { 1.0 };
    let x: Vec<f64> = random(1, TOKENS * WIDTH).iter().map(|x| 2.0 * x).collect();
    let mut stream = Vec::new();
    for (t, row) in x.chunks_exact(WIDTH).enumerate() {
        stream.extend(row);
        stream.push(1.0 - padding(t));
    }
    let stream = product_rows(&eval, &stream, WIDTH + 1);
    let (window, padded) = (Window { low: 0.3, high: 4.0 }, Padding::Masked);
    let tape = Normalisation::new(&eval, &config, &stream, window, padded, LEVEL).unwrap();
    let g = random(2, TOKENS * WIDTH);
    let given = product_rows(&eval, &g, WIDTH);
    let back = backward::normalisation::normalisation;
    let found =
        back(&eval, &config, &tape, &given, &mut Bootstraps::new(&mut Levels::default())).unwrap();
    let found = backward::normalisation::joined(&eval, &config, &found).unwrap();
    check(&matrix(&found), &x, &|x| {
        let tokens = x.chunks_exact(WIDTH).zip(g.chunks_exact(WIDTH)).enumerate();
        tokens.map(|(t, (x, g))| dot(x, g) / (dot(x, x) / 8.0 + padding(t)).sqrt()).sum()
    });
}

#[test]
fn back_through_a_feed_forward_network() {
    let (eval, config, model) = (insecure(), synthetic::config(), synthetic::model(2));
    let weights = &model.layers()[0].feed_forward;
    let x = random(3, TOKENS * WIDTH);
    let with_zero: Vec<f64> =
        x.chunks_exact(WIDTH).flat_map(|row| row.iter().copied().chain([0.0])).collect();
    let given = rows(&eval, &with_zero, WIDTH + 1);
    let linears = &mut update::Linears::frozen(Levels::default());
    let (_, _, tape) = feed_forward(&eval, &config, (0, weights), 6.0, &given, linears).unwrap();
    let g = random(4, TOKENS * WIDTH);
    let back = backward::feed_forward::feed_forward;
    let given = halves(&eval, &g);
    let found = back(&eval, &config, (0, weights), &tape, &given, to_top!()).unwrap();
    check(&matrix(&found), &x, &|x| {
        let (gates, values) = (times(x, &weights.gate), times(x, &weights.value));
        let units: Vec<f64> = gates.iter().zip(&values).map(|(&g, v)| gelu(g) * v).collect();
        dot(&times(&units, &weights.output), &g)
    });
}

#[test]
fn back_through_the_attention_of_the_first_token() {
    let (eval, config, model) = (insecure(), synthetic::config(), synthetic::model(3));
    let weights = &model.layers()[1].attention;
    let (length, columns) = (9, 2 * WIDTH);
    let x = random(5, TOKENS * columns);
    let mask = |t: usize| if t < length { 1.0 } else { 0.0 };
    let with_mask: Vec<f64> = x
        .chunks_exact(columns)
        .enumerate()
        .flat_map(|(t, row)| row.iter().copied().chain([mask(t)]))
        .collect();
    let given = product_rows(&eval, &with_mask, columns + 1);
    let (kernel, levels) = (&config.layers[1].kernel, &mut Levels::default());
    let (_, _, tape) = token_attention(&eval, &config, kernel, &given, columns, levels).unwrap();
    let g = random(6, WIDTH);
    let back = backward::token_attention::token_attention;
    let given = halves(&eval, &g.repeat(TOKENS));
    let (found, stream) = back(&eval, &config, weights, &tape, &given, to_top!()).unwrap();
    let found = matrix(&found);
    let projected = found.chunks_exact(3 * WIDTH).flat_map(|row| row[..columns].to_vec());
    check(&projected.collect::<Vec<_>>(), &x, &|x| {
        let mut out = vec![0.0; WIDTH];
        for (t, row) in x.chunks_exact(columns).enumerate() {
            for (f, out) in out.iter_mut().enumerate() {
                let head = f / DEPTH * DEPTH..f / DEPTH * DEPTH + DEPTH;
                let difference = &row[head];
                *out += (-dot(difference, difference)).exp() * mask(t) * row[WIDTH + f];
            }
        }
        dot(&times(&out, &weights.output), &g)
    });
    for f in 0..WIDTH {
        let sum: f64 = found.iter().skip(f).step_by(3 * WIDTH).sum();
        for t in 0..TOKENS {
            let (query, first) =
                (found[t * 3 * WIDTH + columns + f], if t == 0 { 1.0 } else { 0.0 });
            assert!((query - first * sum).abs() < 2f64.powi(-20), "{f} {t}");
            let [low, high] = [f, WIDTH + f].map(|row| stream.values()[row][t]);
            assert!((low - first * g[f]).abs() < 2f64.powi(-20) && high.abs() < 2f64.powi(-20));
        }
    }
}

#[test]
fn back_through_the_softmax_of_the_first_token() {
    let eval = insecure();
    let config = synthetic::with_kernel(synthetic::config(), synthetic::SOFTMAX);
    let model = synthetic::model(3);
    let weights = &model.layers()[1].attention;
    // Keys, values and, in every token, the first one's queries.
    let (length, columns) = (9, 3 * WIDTH);
    let mut x = random(5, TOKENS * columns);
    let queries = x[2 * WIDTH..columns].to_vec();
    let mask = |t: usize| if t < length { 1.0 } else { 0.0 };
    let with_mask: Vec<f64> = x
        .chunks_exact(columns)
        .enumerate()
        .flat_map(|(t, row)| [&row[..2 * WIDTH], &queries, &[mask(t)]].concat())
        .collect();
    let given = product_rows(&eval, &with_mask, columns + 1);
    let (kernel, levels) = (&synthetic::SOFTMAX, &mut Levels::default());
    let (_, _, tape) = token_attention(&eval, &config, kernel, &given, columns, levels).unwrap();
    let g = random(6, WIDTH);
    let back = backward::token_attention::token_attention;
    let given = halves(&eval, &g.repeat(TOKENS));
    let (found, stream) = back(&eval, &config, weights, &tape, &given, to_top!()).unwrap();
    // The queries of other tokens are not read, and have no derivative.
    for row in x.chunks_exact_mut(columns).skip(1) {
        row[2 * WIDTH..].fill(0.0);
    }
    check(&matrix(&found), &x, &|x| {
        let queries = &x[2 * WIDTH..columns];
        let mut out = vec![0.0; WIDTH];
        for h in 0..WIDTH / DEPTH {
            let head = h * DEPTH..(h + 1) * DEPTH;
            let weight = |t: usize| {
                dot(&queries[head.clone()], &x[t * columns..][head.clone()]).exp() * mask(t)
            };
            let sum: f64 = (0..TOKENS).map(weight).sum();
            for (t, f) in (0..TOKENS).flat_map(|t| head.clone().map(move |f| (t, f))) {
                out[f] += weight(t) / sum * x[t * columns + WIDTH + f];
            }
        }
        dot(&times(&out, &weights.output), &g)
    });
    for (t, f) in (0..TOKENS).flat_map(|t| (0..WIDTH).map(move |f| (t, f))) {
        let first = if t == 0 { 1.0 } else { 0.0 };
        let [low, high] = [f, WIDTH + f].map(|row| stream.values()[row][t]);
        assert!((low - first * g[f]).abs() < 2f64.powi(-20) && high.abs() < 2f64.powi(-20));
    }
}

#[test]
fn back_through_the_softmax_of_all_pairs() {
    let eval = insecure();
    let config = synthetic::with_kernel(synthetic::config(), synthetic::SOFTMAX);
    let model = synthetic::model(4);
    let weights = &model.layers()[0].attention;
    let (length, columns) = (11, 3 * WIDTH);
    let mut x: Vec<f64> = random(7, TOKENS * columns).iter().map(|x| 0.8 * x).collect();
    x[length * columns..].fill(0.0);
    let attention = WideAttention::new(&eval, &config).unwrap();
    let with_mask: Vec<f64> = x
        .chunks_exact(columns)
        .enumerate()
        .flat_map(|(t, row)| [row, &[if t < length { 1.0 } else { 0.0 }]].concat())
        .collect();
    let given = product_rows(&eval, &with_mask, columns + 1);
    let packs = attention.packs(&eval, &given, &[LEVEL]).unwrap();
    let (kernel, levels) = (&synthetic::SOFTMAX, &mut Levels::default());
    let (_, _, kernel) = attention.attend(&eval, &config, &packs, kernel, levels).unwrap();
    let g = random(8, TOKENS * WIDTH);
    let back = backward::wide_attention::wide_attention;
    let given = halves(&eval, &g);
    let found = back(&eval, &config, weights, (&packs, &kernel), &given, to_top!()).unwrap();
    let real = length * columns;
    check(&matrix(&found)[..real], &x[..real], &|x| {
        let at = |t: usize, kind: usize, h: usize| {
            let first = t * columns + kind * WIDTH + h * DEPTH;
            &x[first..first + DEPTH]
        };
        let mut out = vec![0.0; TOKENS * WIDTH];
        for (i, h) in (0..2 * TOKENS).map(|n| (n / 2, n % 2)) {
            let query = if i < length { at(i, 0, h).to_vec() } else { vec![0.0; DEPTH] };
            let weights: Vec<f64> = (0..length).map(|j| dot(&query, at(j, 1, h)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (j, weight) in weights.iter().enumerate() {
                let first = i * WIDTH + h * DEPTH;
                let values = out[first..first + DEPTH].iter_mut().zip(at(j, 2, h));
                values.for_each(|(out, v)| *out += weight / sum * v);
            }
        }
        dot(&times(&out, &weights.output), &g)
    });
}

#[test]
fn back_through_the_attention_of_all_pairs() {
    let (eval, config, model) = (insecure(), synthetic::config(), synthetic::model(4));
    let weights = &model.layers()[0].attention;
    let columns = 3 * WIDTH;
    let x = random(7, TOKENS * columns);
    let attention = WideAttention::new(&eval, &config).unwrap();
    let given = product_rows(&eval, &x, columns);
    let packs = attention.packs(&eval, &given, &[LEVEL]).unwrap();
    let (kernel, levels) = (&config.layers[0].kernel, &mut Levels::default());
    let (_, _, kernel) = attention.attend(&eval, &config, &packs, kernel, levels).unwrap();
    let g = random(8, TOKENS * WIDTH);
    let back = backward::wide_attention::wide_attention;
    let given = halves(&eval, &g);
    let found = back(&eval, &config, weights, (&packs, &kernel), &given, to_top!()).unwrap();
    check(&matrix(&found), &x, &|x| {
        let at = |t: usize, kind: usize, h: usize| {
            let first = t * columns + kind * WIDTH + h * DEPTH;
            &x[first..first + DEPTH]
        };
        let mut out = vec![0.0; TOKENS * WIDTH];
        for (i, j, h) in (0..TOKENS * TOKENS * 2).map(|n| (n / 2 / TOKENS, n / 2 % TOKENS, n % 2)) {
            let pairs = at(i, 0, h).iter().zip(at(j, 1, h));
            let weight = (-pairs.map(|(q, k)| (q - k) * (q - k)).sum::<f64>()).exp();
            let first = i * WIDTH + h * DEPTH;
            let values = out[first..first + DEPTH].iter_mut().zip(at(j, 2, h));
            values.for_each(|(out, v)| *out += weight * v);
        }
        dot(&times(&out, &weights.output), &g)
    });
}

#[test]
fn only_derivatives_beyond_their_range_show_in_the_guard() {
    let eval = insecure();
    let guard = |largest: f64| {
        let mut levels = Levels::default();
        let mut bootstraps = Bootstraps::new(&mut levels);
        for seed in [7, 8] {
            let mut g = random(seed, TOKENS * WIDTH);
            g[5] = largest;
            let packs = [&g, &random(seed + 2, TOKENS * WIDTH)].map(|g| {
                let rows = product_rows(&eval, g, WIDTH);
                let sums: Vec<_> =
                    (0..eval.rows_per_pack()).map(|i| vec![row(i % WIDTH)]).collect();
                eval.select(&rows, &sums).unwrap()
            });
            packs.iter().for_each(|pack| drop(bootstraps.low_half(&eval, pack).unwrap()));
            bootstraps.square(&eval).unwrap();
        }
        let guard = bootstraps.guard(&eval).unwrap().unwrap();
        assert_eq!(eval.level(&guard), eval.rows_level());
        guard.values()[3].re
    };
    for largest in [0.0, RANGE / 2.0, -RANGE] {
        assert!(guard(largest).abs() < 2f64.powi(-5), "{largest}: {}", guard(largest));
    }
    for largest in [5.0 * RANGE, -10.0 * RANGE] {
        assert!(guard(largest) > 2.0, "{largest}: {}", guard(largest));
    }
}
