//! The whole encrypted forward pass; reads as the figure of a pre-normalised transformer.
//!
//! Between layers the residual stream is rows: `d` features and the mask, whose first token is the
//! canary. Every linear layer is an integer product on rows, which is free of levels; every
//! non-linear one starts with a bootstrap. A row that every pack knows to be zero is added to the
//! mask when the pack comes back, so whatever destroys a ciphertext destroys the canary.

mod tail;

use alloc::vec::Vec;

use he_core::refresh::{Refresh, Weights};

use crate::Error;
use crate::layer::assembly::Assembly;
use crate::layer::feed_forward::feed_forward;
use crate::layer::head::classify;
use crate::layer::normalisation::{Normalisation, Padding, refresh};
use crate::layer::token_attention::token_attention;
use crate::layer::update::{Linears, Updates};
use crate::layer::wide_attention::WideAttention;
use crate::layout::{broadcast, row, rows_of};
use crate::levels::Levels;
use crate::model::{AttentionWeights, Config, Kernel, LayerRanges, Linear, Model, Window};
use crate::stage::{Event, Stage};
use crate::tape::Tape;

pub use self::tail::{Features, Trunk};

/// One forward pass.
#[expect(missing_debug_implementations, reason = "holds a function")]
pub struct Forward<'a, E: Refresh> {
    eval: &'a E,
    model: &'a Model,
    linears: Linears<'a, E>,
    tape: Option<Tape<E>>,
    progress: &'a mut dyn FnMut(Event),
    stage: usize,
}

impl<'a, E: Refresh> Forward<'a, E> {
    /// A pass of `model` on `eval`, reporting to `progress`.
    pub fn new(eval: &'a E, model: &'a Model, progress: &'a mut dyn FnMut(Event)) -> Self {
        let linears = Linears::frozen(Levels::default());
        Self { eval, model, linears, tape: None, progress, stage: 0 }
    }

    /// With the level that each bootstrap returns to, in order of execution, as planned for this model
    /// and adapter; without, each returns to the highest.
    #[must_use]
    pub fn with_levels(self, levels: &'a [usize]) -> Self {
        self.resuming(Levels::planned(levels))
    }

    /// With the levels that are left of a plan for more than this pass.
    #[must_use]
    pub fn resuming(self, levels: Levels<'a>) -> Self {
        Self { linears: Linears { levels, ..self.linears }, ..self }
    }

    /// With personal updates, if there are any.
    #[must_use]
    pub fn with_updates(self, updates: Option<&'a dyn Updates<E>>) -> Self {
        Self { linears: Linears { updates, ..self.linears }, ..self }
    }

    /// The answer in slots, for an upload of `d` rows: all features but the last, and the mask.
    /// [`crate::layer::head`] says where in the answer the scores and the canary are.
    ///
    /// # Errors
    /// If the upload or the evaluator does not fit the model, or a key is missing.
    pub fn run(self, upload: &E::Rows) -> Result<E::Ciphertext, Error> {
        let (eval, config, head) = (self.eval, self.model.config(), self.model.head());
        self.run_with_head(upload, |rows, mask, linears| {
            classify(eval, config, head, rows, mask, linears.levels.next(eval)?)
        })
    }

    /// As [`Self::run`], with another head: from normalised features and a row of zeros, and the mask, as [`classify`] takes
    /// them.
    ///
    /// # Errors
    /// As [`Self::run`], and those of `head`.
    pub fn run_with_head(
        mut self,
        upload: &E::Rows,
        head: impl FnOnce(&E::Rows, &E::Rows, &mut Linears<'a, E>) -> Result<E::Ciphertext, Error>,
    ) -> Result<E::Ciphertext, Error> {
        let (eval, [stream, mask]) = (self.eval, self.trunk_rows(upload)?);
        let [rows, zeros] = self.tail_rows(&[stream])?;
        let stage = self.begin();
        let mask = eval.add_rows(&mask, &zeros)?;
        let answer = head(&rows, &mask, &mut self.linears)?;
        self.end(stage, eval.level(&answer));
        Ok(answer)
    }

    /// The residual stream of the first token after the last attention, zero in other places, and the mask.
    fn trunk_rows(&mut self, upload: &E::Rows) -> Result<[E::Rows; 2], Error> {
        let model = self.model;
        let config = model.config();
        let ([first, last], [first_ranges, last_ranges]) = (model.layers(), &config.layers[..])
        else {
            return Err(Error::Unsupported("two layers: all tokens, then the first token"));
        };
        let window = last_ranges.attention_norm;
        let window = window.ok_or(Error::Unsupported("the last layer normalises its input"))?;
        if self.eval.tokens() != config.tokens {
            return Err(Error::Unsupported("the parameters are for another number of tokens"));
        }

        let stream = self.first_attention(upload, &first.attention, first_ranges)?;
        let stream = self.feed_forward(&stream, 0, Padding::Masked)?;
        let stream = self.last_attention(&stream, &last.attention, last_ranges, window)?;
        let width = config.width;
        let part = |range| self.eval.select(&stream, &rows_of(range));
        Ok([part(0..width)?, part(width..width + 1)?])
    }

    /// `X + Wo · attention(X)` for every token, and the mask, from an upload.
    fn first_attention(
        &mut self,
        upload: &E::Rows,
        weights: &AttentionWeights,
        ranges: &LayerRanges,
    ) -> Result<E::Rows, Error> {
        let (eval, config) = (self.eval, self.model.config());
        let width = config.width;
        let stage = self.begin();
        let attention = WideAttention::new(eval, config)?;
        let projections = match self.linears.updates {
            None => eval.matmul(upload, &upload_weights(config, weights, 0))?,
            Some(updates) => {
                let plain = eval.matmul(upload, &upload_weights(config, weights, 0))?;
                let stream = eval.select(&plain, &rows_of(3 * width..4 * width + 1))?;
                let level = self.linears.levels.next(eval)?;
                let input = refresh(eval, config, &stream, Padding::None, level)?;
                let (update, inner) = updates.projections(eval, config, 0, &input)?;
                self.record(|tape| {
                    tape.inputs.push(input);
                    tape.inner.push(inner);
                });
                let all = eval.concat(upload, &update)?;
                eval.matmul(&all, &upload_weights(config, weights, 3 * width))?
            }
        };
        self.end(stage, 0);

        let stage = self.begin();
        let levels = (0..attention.pack_count()).map(|_| self.linears.levels.next(eval));
        let levels = levels.collect::<Result<Vec<_>, _>>()?;
        let packs = attention.packs(eval, &projections, &levels)?;
        self.end(stage, packs.level(eval));

        let stage = self.begin();
        let (out, level, kernel) =
            attention.attend(eval, config, &packs, &ranges.kernel, &mut self.linears.levels)?;
        self.record(|tape| {
            tape.packs.push(packs);
            tape.wide.push(kernel);
        });
        let stream = eval.select(&projections, &rows_of(3 * width..4 * width + 1))?;
        let product = eval.matmul(&out, &output_weights(config, weights))?;
        let product = self.linears.output(eval, config, (Linear::Output(0), &out), product)?;
        let stream = eval.add_rows(&stream, &product)?;
        self.end(stage, level);
        Ok(stream)
    }

    /// `X + Wo · attention(LN(X))` for the first token, zero in other places, and the mask.
    fn last_attention(
        &mut self,
        stream: &E::Rows,
        weights: &AttentionWeights,
        ranges: &LayerRanges,
        window: Window,
    ) -> Result<E::Rows, Error> {
        let (eval, config) = (self.eval, self.model.config());
        let (width, last) = (config.width, config.layers.len() - 1);
        let stage = self.begin();
        let level = self.linears.levels.next(eval)?;
        let padding = Padding::Masked;
        let normalisation = Normalisation::new(eval, config, stream, window, padding, level)?;
        let (mut inputs, level) = normalisation.first_token_rows(eval)?;
        if let Some(updates) = self.linears.updates {
            let input = normalisation.slots(eval)?;
            let (update, inner) = updates.projections(eval, config, last, &input)?;
            self.record(|tape| {
                tape.inputs.push(input);
                tape.inner.push(inner);
            });
            let queries = broadcast(eval, &eval.select(&update, &rows_of(0..width))?)?;
            inputs = eval.concat(&inputs, &queries)?;
            inputs = eval.concat(&inputs, &eval.select(&update, &rows_of(width..3 * width))?)?;
        }
        self.record(|tape| tape.normalisations.push(normalisation));
        self.end(stage, level);

        let stage = self.begin();
        let product = eval.matmul(&inputs, &self.last_weights(weights, &ranges.kernel))?;
        let all = eval.concat(&product, &eval.select(stream, &rows_of(width..width + 1))?)?;
        let (canary, mask) = (3 * width, eval.row_count(&product));
        let (kernel, levels) = (&ranges.kernel, &mut self.linears.levels);
        let (out, level, kernel) = token_attention(eval, config, kernel, &all, mask, levels)?;
        self.record(|tape| tape.token.push(kernel));
        let mut sums = rows_of(2 * width..3 * width);
        sums.push(alloc::vec![row(mask), row(canary)]);
        let stream = eval.select(&all, &sums)?;
        let product = eval.matmul(&out, &output_weights(config, weights))?;
        let product = self.linears.output(eval, config, (Linear::Output(last), &out), product)?;
        let stream = eval.add_rows(&stream, &product)?;
        self.end(stage, level);
        Ok(stream)
    }

    /// `X + Wout · (gelu(LN(X) · Wg) ∘ (LN(X) · Wx))`, and the mask.
    fn feed_forward(
        &mut self,
        stream: &E::Rows,
        layer: usize,
        padding: Padding,
    ) -> Result<E::Rows, Error> {
        let (eval, config) = (self.eval, self.model.config());
        let (weights, ranges) = (&self.model.layers()[layer], &config.layers[layer]);
        let stage = self.begin();
        let (window, level) = (ranges.feed_forward_norm, self.linears.levels.next(eval)?);
        let normalisation = Normalisation::new(eval, config, stream, window, padding, level)?;
        let (normalised, level) = normalisation.rows(eval)?;
        self.record(|tape| tape.normalisations.push(normalisation));
        self.end(stage, level);

        let stage = self.begin();
        let (weights, gate) = (&weights.feed_forward, ranges.gate);
        let (update, level, gates) =
            feed_forward(eval, config, (layer, weights), gate, &normalised, &mut self.linears)?;
        self.record(|tape| tape.gates.push(gates));
        let stream = eval.add_rows(stream, &update)?;
        self.end(stage, level);
        Ok(stream)
    }

    /// From normalised features, those of the first token, the first token's stream and the canary
    /// (and updates of queries, keys and values) to differences of queries and keys, values, stream
    /// and canary; for a softmax keys in place of differences, and queries at the end.
    fn last_weights(&self, weights: &AttentionWeights, kernel: &Kernel) -> Weights {
        let config = self.model.config();
        let width = config.width;
        let updates = if self.linears.updates.is_some() { 3 * width } else { 0 };
        let first = 3 * width + 1;
        let (sign, queries, outputs) = match kernel {
            Kernel::Gaussian { .. } => (-1, 0, first),
            Kernel::Softmax { .. } => (1, first, first + width),
        };
        let assembly = Assembly::new(first + updates, outputs, config.weight_frac_bits)
            .with(0, 0, &weights.key, sign)
            .with(width, queries, &weights.query, 1)
            .with(0, width, &weights.value, 1)
            .with_identity(2 * width, 2 * width, width + 1);
        if updates == 0 {
            return assembly.finish();
        }
        assembly
            .with_identity(first, queries, width)
            .with_scaled_identity(first + width, 0, width, sign)
            .with_identity(first + 2 * width, width, width)
            .finish()
    }

    fn record(&mut self, note: impl FnOnce(&mut Tape<E>)) {
        if let Some(tape) = &mut self.tape {
            note(tape);
        }
    }

    fn begin(&mut self) -> Stage {
        let stage = Stage { index: self.stage };
        self.stage += 1;
        (self.progress)(Event::Begin(stage));
        stage
    }

    fn end(&mut self, stage: Stage, level: usize) {
        (self.progress)(Event::End { stage, level });
    }
}

/// From an upload (and `updates` rows of updates) to queries, keys, values, stream and mask.
fn upload_weights(config: &Config, weights: &AttentionWeights, updates: usize) -> Weights {
    let width = config.width;
    Assembly::new(width + updates, 4 * width + 1, config.weight_frac_bits)
        .with(0, 0, &weights.query, 1)
        .with(0, width, &weights.key, 1)
        .with(0, 2 * width, &weights.value, 1)
        .with_identity(0, 3 * width, width)
        .with_last_feature_rebuilt(width - 1)
        .with_identity(width - 1, 4 * width, 1)
        .with_identity(width, 0, updates)
        .finish()
}

/// From the attention's output to its update of the stream, and of the mask by the value that is
/// known to be zero.
fn output_weights(config: &Config, weights: &AttentionWeights) -> Weights {
    let width = config.width;
    Assembly::new(width, width + 1, config.weight_frac_bits)
        .with(0, 0, &weights.output, 1)
        .with_identity(width - 1, width, 1)
        .finish()
}
