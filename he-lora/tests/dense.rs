//! Products with encrypted matrices, and the optimizer on them, against plain loops at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::complex::Complex;
use he_core::eval::Evaluator;
use he_core::eval::clear::Clear;
use he_core::refresh::Refresh;
use he_lora::adamw::{self, AdamW, Moments};
use he_lora::dense::{self, Grid, Side};
use he_lora::parameters::{Parameters, PerKind};
use he_nn::backward::normalisation::joined;
use he_nn::layout::{factor_scale, low_half};
use synthetic::{Numbers, TOKENS, WIDTH};

/// A level above the one that products are at.
const LEVEL: usize = 4;

fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| numbers.next()).collect()
}

fn matrices() -> Vec<Vec<f64>> {
    (0..5).map(|index| numbers(20 + index, WIDTH * WIDTH)).collect()
}

/// `TOKENS` vectors of features, one after the other, as rows.
fn rows(eval: &Clear, x: &[f64]) -> he_core::eval::clear::ClearRows {
    let feature = |f: usize| x.iter().skip(f).step_by(WIDTH).copied().collect();
    eval.encrypt_rows(&(0..WIDTH).map(feature).collect::<Vec<_>>()).unwrap()
}

/// The largest difference from rows.
fn error(found: &[Vec<f64>], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), WIDTH);
    let entry = |(index, wanted): (usize, &f64)| found[index % WIDTH][index / WIDTH] - wanted;
    wanted.iter().enumerate().map(|pair| entry(pair).abs()).fold(0.0, f64::max)
}

/// `x W`, or `x Wᵀ`, token by token.
fn plain(x: &[f64], w: &[f64], side: Side) -> Vec<f64> {
    let entry = |from: usize, to: usize| match side {
        Side::Input => w[from * WIDTH + to],
        Side::Output => w[to * WIDTH + from],
    };
    let out = |x: &[f64], to| x.iter().enumerate().map(|(from, x)| x * entry(from, to)).sum();
    x.chunks(WIDTH).flat_map(|x| (0..WIDTH).map(move |to| out(x, to))).collect()
}

/// Vectors in slots, in copy `vectors.len() − 1` the last of them, as a side of a matrix has it.
fn side(
    eval: &Clear,
    grid: &Grid,
    vectors: &[&[f64]],
    side: Side,
) -> he_core::eval::clear::ClearVector {
    let all = vectors.iter().map(|x| rows(eval, x));
    let all = all.reduce(|all, next| eval.concat(&all, &next).unwrap()).unwrap();
    let pack = grid.pack_rows(eval, &small::config(), &all).unwrap();
    let slots = low_half(eval, &pack, LEVEL + 1).unwrap();
    grid.copied(eval, &slots, vectors.len() - 1, side).unwrap()
}

#[test]
fn matrices_at_rest_are_read_as_they_were_packed() {
    let grid = Grid::new(&small::insecure(), WIDTH).unwrap();
    let all = matrices();
    let slots = grid.pack(&all.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    for (index, matrix) in all.iter().enumerate() {
        assert_eq!(&grid.read(index, &slots).unwrap(), matrix);
    }
    assert!(grid.read(5, &slots).unwrap().iter().all(|&x| x == 0.0));
    assert!(grid.pack(&vec![&all[0][..]; grid.held() + 1]).is_err());
    assert!(Grid::new(&small::insecure(), 2 * WIDTH).is_err());
}

#[test]
fn products_with_encrypted_matrices_and_their_transposes_are_those_of_plain_loops() {
    let eval = small::insecure();
    let grid = Grid::new(&eval, WIDTH).unwrap();
    let (x, other, all) = (numbers(1, TOKENS * WIDTH), numbers(2, TOKENS * WIDTH), matrices());
    let slots = grid.pack(&all.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let rest = eval.encrypt(&slots, LEVEL + 2, eval.default_scale()).unwrap();
    for direction in [Side::Input, Side::Output] {
        let leaving = if direction == Side::Input { Side::Output } else { Side::Input };
        let input = side(&eval, &grid, &[&other, &other, &x], direction);
        let turns = grid.turns(&eval, &input, direction).unwrap();
        for (index, matrix) in all.iter().enumerate() {
            let scale = factor_scale(&eval, &input, LEVEL);
            let mut diagonals = grid.diagonals(&eval, &rest, index, scale).unwrap();
            if direction == Side::Output {
                diagonals = grid.transposed(&eval, &diagonals).unwrap();
            }
            let y = dense::product(&eval, &[(&turns, &diagonals)]).unwrap();
            assert_eq!(eval.level(&y), eval.rows_level());
            let y = grid.leave(&eval, &y, leaving).unwrap();
            let y = joined(&eval, &small::config(), &y).unwrap();
            let error = error(y.values(), &plain(&x, matrix, direction));
            assert!(error < 2f64.powi(-30), "{direction:?} {index}: 2^{:.1}", error.log2());
        }
    }
}

#[test]
fn gathered_gradients_of_two_matrices_are_sums_over_tokens_of_outer_products() {
    let eval = small::insecure();
    let grid = Grid::new(&eval, WIDTH).unwrap();
    let (x, gs) = (numbers(1, TOKENS * WIDTH), [2, 3].map(|seed| numbers(seed, TOKENS * WIDTH)));
    let input = side(&eval, &grid, &[&x], Side::Input);
    let turns = grid.turns(&eval, &input, Side::Input).unwrap();
    let [a, b] = gs.each_ref().map(|g| side(&eval, &grid, &[&x, g], Side::Output));
    let both = eval.add(&a, &eval.mul_i(&b)).unwrap();
    let both = dense::gradient(&eval, &turns, &both).unwrap();
    for index in [0, 1, grid.held() - 1] {
        let gathered = grid.gathered(&eval, &both, index).unwrap();
        let parts = [|z: &Complex| z.re, |z: &Complex| z.im];
        for (part, g) in parts.iter().zip(&gs) {
            let slots: Vec<_> = gathered.values().iter().map(|z| Complex::real(part(z))).collect();
            let found = grid.read(index, &slots).unwrap();
            for (entry, found) in found.iter().enumerate() {
                let (from, to) = (entry / WIDTH, entry % WIDTH);
                let terms = x.chunks(WIDTH).zip(g.chunks(WIDTH)).map(|(x, g)| x[from] * g[to]);
                assert!((found - terms.sum::<f64>()).abs() < 2f64.powi(-30), "{index} {entry}");
            }
            for other in (0..grid.held()).filter(|&other| other != index) {
                assert!(grid.read(other, &slots).unwrap().iter().all(|&x| x == 0.0));
            }
        }
    }
    assert!(grid.gathered(&eval, &both[1..], 0).is_err());
}

#[test]
fn elementwise_steps_of_the_optimizer_are_steps_in_the_clear() {
    let eval = small::insecure();
    let optimizer = AdamW { rates: PerKind::EQUAL, ..small::optimizer() };
    let mut theta = small::parameters(1, 0.5);
    let shape = theta.shape();
    let mut moments = Moments { mean: Parameters::zeros(shape), square: Parameters::zeros(shape) };
    let encrypt = |x: &[f64]| {
        let slots: Vec<_> = x.iter().copied().map(Complex::real).collect();
        eval.encrypt(&slots, 14, eval.default_scale()).unwrap()
    };
    let mut state =
        [&theta, &moments.mean, &moments.square].map(|numbers| encrypt(numbers.numbers()));
    for number in 1..=3 {
        let gradient = small::parameters(10 + u64::from(number), 1.9);
        let [a, b, c] = &state;
        let all = [a, b, c, &encrypt(gradient.numbers())];
        let after = adamw::update(&eval, &optimizer, number, all).unwrap();
        let exact = |x: f64| 1.0 / x.sqrt();
        optimizer.apply(number, &mut theta, &mut moments, &gradient, &exact);
        for (found, wanted) in after.iter().zip([&theta, &moments.mean, &moments.square]) {
            let pairs = found.values().iter().zip(wanted.numbers());
            let error = pairs.map(|(f, w)| (f.re - w).abs()).fold(0.0, f64::max);
            assert!(error < 2f64.powi(-20), "{number}: 2^{:.1}", error.log2());
        }
        state = after.map(|x| eval.encrypt(x.values(), 14, eval.default_scale()).unwrap());
    }
}
