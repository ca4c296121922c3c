//! Products of rows of residues with matrices of small integers, in double precision: every sum is
//! an integer of at most 53 bits, so nothing is rounded.
//!
//! Columns go block by block, so that a block and its result stay in the second cache.

use he_core::modulus::Modulus;

/// Columns of a block.
const COLUMNS: usize = 528;

/// Integers up to here are doubles.
const EXACT: f64 = (1u64 << 53) as f64;

/// See [`Kernels::matmul`](he_core::ring::Kernels::matmul).
pub(crate) fn matmul(q: Modulus, out: &mut [u32], rows: &[&[u32]], weights: &[u32]) {
    let (inputs, width) = (rows.len(), rows[0].len());
    let height = weights.len() / inputs;
    assert_eq!((inputs * height, height * width), (weights.len(), out.len()));
    assert!(rows.iter().all(|row| row.len() == width));
    let weights: Vec<f64> = weights.iter().map(|&w| f64::from(q.centred(w))).collect();
    let largest = weights.iter().fold(1.0, |largest: f64, w| largest.max(w.abs()));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let terms = (EXACT / (f64::from(q.value()) * largest)) as usize;
    assert!(terms > 0, "a weight is too large");
    let terms = terms.min(inputs);
    out.fill(0);
    let (mut block, mut sums) = (vec![0.0; terms * COLUMNS], vec![0.0; height * COLUMNS]);
    for start in (0..width).step_by(COLUMNS) {
        let columns = start..width.min(start + COLUMNS);
        for (part, first) in rows.chunks(terms).zip((0..inputs).step_by(terms)) {
            for (to, row) in block.chunks_exact_mut(COLUMNS).zip(part) {
                to.iter_mut().zip(&row[columns.clone()]).for_each(|(to, &x)| *to = f64::from(x));
            }
            let (from, depth) = (&weights[first..], part.len());
            product(&mut sums, [from, &block], [height, depth, columns.len()], inputs);
            for (out, sums) in out.chunks_exact_mut(width).zip(sums.chunks_exact(COLUMNS)) {
                add_reduced(q, &mut out[columns.clone()], sums);
            }
        }
    }
}

/// `sums = weights · block`, of `[height, depth, columns]`; rows of weights are `stride` apart, all
/// others [`COLUMNS`].
fn product(sums: &mut [f64], [weights, block]: [&[f64]; 2], shape: [usize; 3], stride: usize) {
    let [height, depth, columns] = shape;
    assert!(columns <= COLUMNS && depth <= stride && height > 0 && depth > 0);
    assert!(weights.len() >= (height - 1) * stride + depth);
    assert!(block.len() >= depth * COLUMNS && sums.len() >= height * COLUMNS);
    let (stride, step) = (stride.cast_signed(), COLUMNS.cast_signed());
    let (a, b, c) = (weights.as_ptr(), block.as_ptr(), sums.as_mut_ptr());
    // SAFETY: the three matrices lie inside their slices, as was asserted, and sums is borrowed alone.
    unsafe {
        matrixmultiply::dgemm(
            height, depth, columns, 1.0, a, stride, 1, b, step, 1, 0.0, c, step, 1,
        );
    }
}

/// `out += sums`, modulo `q`.
fn add_reduced(q: Modulus, out: &mut [u32], sums: &[f64]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        #[expect(clippy::cast_possible_truncation, reason = "an integer of 53 bits")]
        let sum = q.reduce_signed(sum as i64);
        *out = q.add(*out, sum);
    }
}
