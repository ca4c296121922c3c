//! A pass in two parts: to the last attention, sentence by sentence, and from there for several at once.
//!
//! After the last attention a sentence is one token. Rows have a place for each token, so `e` sentences take turns over
//! places ([`merged`]), and each bootstrap serves all of them.

use alloc::vec::Vec;

use he_core::refresh::Refresh;

use super::Forward;
use crate::Error;
use crate::layer::normalisation::{Normalisation, Padding};
use crate::layout::{merged, rows_of};
use crate::stage::TAIL;
use crate::tape::Tape;

/// What a sentence comes to at the end of the last attention.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Trunk<E: Refresh> {
    /// The first token's residual stream: `d` rows, zero in other places.
    pub stream: E::Rows,
    /// The mask, whose first token is the canary.
    pub mask: E::Rows,
    /// What the way back needs.
    pub tape: Tape<E>,
    /// How many bootstraps there were, those before this part included.
    pub bootstraps: usize,
}

/// What sentences come to before the head.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Features<E: Refresh> {
    /// Normalised features of the sentences, which take turns over places, and a row of zeros.
    pub rows: E::Rows,
    /// A row of a product that is zero unless something was destroyed.
    pub zeros: E::Rows,
    /// What the way back needs.
    pub tape: Tape<E>,
    /// How many bootstraps there were, those before this part included.
    pub bootstraps: usize,
}

impl<E: Refresh> Forward<'_, E> {
    /// To the last attention of one sentence, with what the way back needs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn trunk(mut self, upload: &E::Rows) -> Result<Trunk<E>, Error> {
        self.tape = Some(Tape::default());
        let [stream, mask] = self.trunk_rows(upload)?;
        let tape = Tape { linears: self.linears.inputs, ..self.tape.unwrap_or_default() };
        Ok(Trunk { stream, mask, tape, bootstraps: self.linears.levels.used() })
    }

    /// From the streams of a power of two of sentences ([`Trunk::stream`]) to the head, with what the way back needs.
    ///
    /// # Errors
    /// If there are not so many, or more than half of the tokens, or a key is missing.
    pub fn tail(mut self, streams: &[E::Rows]) -> Result<Features<E>, Error> {
        (self.tape, self.stage) = (Some(Tape::default()), TAIL);
        let [rows, zeros] = self.tail_rows(streams)?;
        let tape = Tape { linears: self.linears.inputs, ..self.tape.unwrap_or_default() };
        Ok(Features { rows, zeros, tape, bootstraps: self.linears.levels.used() })
    }

    /// Normalised features with a row of zeros, and what else is zero.
    pub(super) fn tail_rows(&mut self, streams: &[E::Rows]) -> Result<[E::Rows; 2], Error> {
        let (eval, model) = (self.eval, self.model);
        let (config, width) = (model.config(), model.config().width);
        let last = model.layers().len().checked_sub(1);
        let last = last.ok_or(Error::Unsupported("a model without layers"))?;
        let mut with_zeros = rows_of(0..width);
        with_zeros.push(Vec::new());
        let stream = eval.select(&merged(eval, streams)?, &with_zeros)?;
        let stream = self.feed_forward(&stream, last, Padding::None)?;

        let stage = self.begin();
        let (window, level) = (config.head_norm, self.linears.levels.next(eval)?);
        let (padding, norm) = (Padding::None, Normalisation::new);
        let normalisation = norm(eval, config, &stream, window, padding, level)?;
        let (rows, level) = normalisation.rows(eval)?;
        self.record(|tape| tape.normalisations.push(normalisation));
        self.end(stage, level);
        Ok([rows, eval.select(&stream, &rows_of(width..width + 1))?])
    }
}
