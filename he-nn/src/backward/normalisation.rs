//! Back through `n = r x` with `r = 1/√(mean(x²) + …)`: `r g − r² n · mean(x ∘ g)`.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Term};

use crate::Error;
use crate::backward::bootstraps::Bootstraps;
use crate::layer::normalisation::{COPIES, COPY, FEATURE, HALF, Normalisation, layout};
use crate::layout::{
    factor_scale, mul_to, row, sum_rotations, to_first, to_upper_half, upper_half,
};
use crate::model::Config;

/// The derivative by the stream in halves, from that by the normalised stream as `d` rows of a product.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn normalisation<E: Refresh>(
    eval: &E,
    config: &Config,
    tape: &Normalisation<E>,
    rows: &E::Rows,
    bootstraps: &mut Bootstraps<'_, '_, E>,
) -> Result<E::Rows, Error> {
    stream_rows(eval, config, &in_copies(eval, config, tape, rows, bootstraps)?)
}

/// As [`normalisation`], in slots: the same in the three copies of the stream.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn in_copies<E: Refresh>(
    eval: &E,
    config: &Config,
    tape: &Normalisation<E>,
    rows: &E::Rows,
    bootstraps: &mut Bootstraps<'_, '_, E>,
) -> Result<E::Ciphertext, Error> {
    let g = bootstraps.low_half(eval, &eval.select(rows, &copies(eval, config)?)?)?;
    through(eval, tape, &g)
}

/// The derivative of each of `count` sentences, from that of all ([`crate::layout::merged`]) in slots: the sum of one
/// as [`in_copies`] gives it, and of one in copy 0 of `u = 1` alone. `d` rows that have it at the first token, and zeros. One
/// level, and a way back to rows for six sentences.
///
/// # Errors
/// If the level is too low.
pub fn parted<E: Refresh>(
    eval: &E,
    config: &Config,
    (in_copies, alone): (&E::Ciphertext, &E::Ciphertext),
    count: usize,
) -> Result<Vec<E::Rows>, Error> {
    let layout = layout(eval, config)?;
    let level = eval.level(in_copies).min(eval.level(alone));
    let [in_copies, alone] = [in_copies, alone].map(|x| eval.drop_level(x, level));
    let (in_copies, blocks) = (in_copies?, 0..count.min(2 * COPIES));
    let steps = blocks.clone().map(|block| layout.step(HALF) * (1 - block.cast_signed()));
    let moved = eval.rotate_many(&alone?, &steps.collect::<Vec<_>>())?;
    let mut sentences = Vec::with_capacity(count);
    for first in (0..count).step_by(2 * COPIES) {
        let mask = |x: &E::Ciphertext, blocks: core::ops::Range<usize>| {
            let mask = layout.values(|[u, c, _], token| {
                let block = u + 2 * c;
                let is_here = blocks.contains(&block) && token == first + block;
                if is_here && token < count { 1.0 } else { 0.0 }
            });
            eval.encode(&mask, level, factor_scale(eval, x, level))
        };
        let all = mask(&in_copies, blocks.clone())?;
        let masks = blocks.clone().zip(&moved).map(|(block, x)| mask(x, block..block + 1));
        let masks = masks.collect::<Result<Vec<_>, _>>()?;
        let mut terms: Vec<_> = moved.iter().zip(&masks).collect();
        terms.push((&in_copies, &all));
        let blocks = eval.slots_to_rows(&eval.rescale(&eval.dot_plain(&terms)?)?)?;
        for token in first..count.min(first + 2 * COPIES) {
            let (u, c) = ((token - first) % 2, (token - first) / 2);
            let place = |f| alloc::vec![to_first(layout.row([u, c, f]), token, config.tokens)];
            let rows: Vec<_> = (0..config.width).map(place).collect();
            sentences.push(eval.select(&blocks, &rows)?);
        }
    }
    Ok(sentences)
}

/// From the derivative by the normalised stream to that by the stream: both in the first copy, whatever the
/// other copies hold, and in each other copy of the stream that holds the same.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn through<E: Refresh>(
    eval: &E,
    tape: &Normalisation<E>,
    g: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let Normalisation { layout, stream, root, .. } = tape;
    let scale = eval.default_scale();
    let is_first = layout.values(|[_, c, _], _| if c == 0 { 1.0 } else { 0.0 });
    let first = mul_values(eval, stream, &is_first, scale)?;
    let products = mul_to(eval, &first, g, scale)?;
    let count = layout.size(COPY) * layout.size(FEATURE);
    let sum = sum_rotations(eval, &products, layout.step(COPY), 1..count)?;
    let features = u32::try_from(layout.size(FEATURE));
    let features = f64::from(features.map_err(|_| Error::Unsupported("too many features"))?);
    let mean = eval.with_scale(&sum, eval.scale(&sum) * features);

    let normalised = eval.mul_rescaled(stream, root)?;
    let square = eval.mul_rescaled(root, root)?;
    let along = eval.mul_rescaled(&normalised, &square)?;
    let along = mul_to(eval, &mean, &along, scale)?;
    Ok(eval.sub(&mul_to(eval, root, g, scale)?, &along)?)
}

/// Places of `d` rows in the copies of the stream, both halves of the tokens.
fn copies<E: Refresh>(eval: &E, config: &Config) -> Result<Vec<Vec<Term>>, Error> {
    let layout = layout(eval, config)?;
    Ok(layout.pack(|[u, c, f]| match (u, c) {
        (_, COPIES) => Vec::new(),
        (0, _) => alloc::vec![row(f)],
        _ => alloc::vec![upper_half(f, config.tokens)],
    }))
}

/// Halves from the first copy: `d` rows of the lower tokens, then `d` of the upper ones in the lower ones' place,
/// and nothing in their own.
///
/// # Errors
/// If the level is too low.
pub fn stream_rows<E: Refresh>(
    eval: &E,
    config: &Config,
    slots: &E::Ciphertext,
) -> Result<E::Rows, Error> {
    let layout = layout(eval, config)?;
    let rows = eval.slots_to_rows(slots)?;
    let places = (0..2).flat_map(|u| (0..config.width).map(move |f| layout.row([u, 0, f])));
    Ok(eval.select(&rows, &places.map(|index| alloc::vec![row(index)]).collect::<Vec<_>>())?)
}

/// Rows of all tokens from halves.
///
/// # Errors
/// If there are fewer rows.
pub fn joined<E: Refresh>(eval: &E, config: &Config, halves: &E::Rows) -> Result<E::Rows, Error> {
    let (width, tokens) = (eval.row_count(halves) / 2, config.tokens);
    let place = |f| alloc::vec![row(f), to_upper_half(width + f, tokens)];
    Ok(eval.select(halves, &(0..width).map(place).collect::<Vec<_>>())?)
}
