//! An adapter before it is encrypted: a safetensors file with the names of Hugging Face's PEFT.
//!
//! For each layer `l` and each of `query`, `key` and `value` it has, in single precision,
//!
//! ```text
//! base_model.model.layers.{l}.attention.{query}.lora_A.weight    rank × width
//! base_model.model.layers.{l}.attention.{query}.lora_B.weight    width × rank
//! ```
//!
//! or neither of the two, where nothing changes. One that was trained has a head of its own: the same two of
//! `base_model.model.head.dense`, and
//!
//! ```text
//! base_model.model.head.classes.weight                           classes × width
//! ```
//!
//! or it has all matrices of the model, as full fine-tuning leaves them ([`matrices`]).
//!
//! `lora_alpha`, and as `loss` what it was trained for, stand among the file's metadata, or
//! `lora_alpha` in an `adapter_config.json` beside it, as PEFT writes it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chacha20::rand_core::Rng;
use he_lora::Update;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Shape, Side, Vector};
use he_lora::plain::{self, PROJECTIONS};
use he_nn::model::{Linear, Model};
use zeroize::Zeroizing;

use super::MAX_RANK;
use super::matrices;
use super::tensors::{LOSS, Read, Tensors};
use crate::files;
use crate::objective::Objective;

/// No file of an adapter is larger.
const LIMIT: u64 = 1 << 28;

/// The names of the projections, in the order of [`Update`].
const NAMES: [&str; PROJECTIONS] = ["query", "key", "value"];

/// What the names of the head's tensors begin with.
const HEAD: &str = "base_model.model.head";

/// Metadata: what `scaling` is times the rank.
const ALPHA: &str = "lora_alpha";

/// One update a layer, what they are multiplied by, and a head if it has one. Its matrices are erased when it
/// goes.
#[expect(missing_debug_implementations, reason = "a person's weights are private")]
pub struct PlainAdapter {
    updates: Vec<Update>,
    scaling: f64,
    objective: Objective,
    /// The updates again, with those of the head.
    trained: Option<Parameters>,
    /// What full fine-tuning adds to all matrices.
    matrices: Option<Matrices>,
}

/// Rows `down` and columns `up` by name.
type Pair = [Vec<f64>; 2];

impl PlainAdapter {
    /// Reads the adapter of `model` in `path`.
    ///
    /// # Errors
    /// If the file is missing, truncated, or not an adapter, or one of another model; the message
    /// names the tensor.
    pub fn open(path: &Path, model: &Model) -> Result<Self> {
        let bytes = Zeroizing::new(files::read(path, LIMIT)?);
        let beside = || {
            let path = path.with_file_name("adapter_config.json");
            files::read(&path, LIMIT).ok()
        };
        Self::parse(&bytes, &beside, model).with_context(|| format!("in {}", path.display()))
    }

    fn parse(bytes: &[u8], beside: &dyn Fn() -> Option<Vec<u8>>, model: &Model) -> Result<Self> {
        let mut tensors = Read::new(bytes, model)?;
        let loss = tensors.metadata.get(LOSS);
        let objective = loss.map(|name| Objective::named(name)).transpose()?.unwrap_or_default();
        if matrices::is_of(&tensors) {
            let (classes, updates) = matrices::take(&mut tensors, model)?;
            tensors.finish()?;
            return Ok(Self::full(classes, updates, objective));
        }
        let (width, alpha) = (model.config().width, alpha(&tensors.metadata, beside)?);
        let ranks = tensors.shapes().filter(|(name, _)| name.ends_with("lora_A.weight"));
        let rank = ranks.map(|(_, shape)| shape.first().copied().unwrap_or(0)).max();
        let rank = rank.context("it has no tensor …lora_A.weight")?;
        ensure!((1..=MAX_RANK).contains(&rank), "rank {rank} is not one of 1 to {MAX_RANK}");

        let mut updates = Vec::new();
        for layer in 0..model.layers().len() {
            let (mut down, mut up) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
            for ((part, down), up) in NAMES.into_iter().zip(&mut down).zip(&mut up) {
                let names = ["A", "B"].map(|side| name(layer, part, side));
                [*down, *up] = pair(&mut tensors, names, [rank, width])?;
            }
            let update = Update::new(rank, width, down, up);
            updates.push(update.with_context(|| format!("in layer {layer}"))?);
        }
        let has_head = tensors.shapes().any(|(name, _)| name.starts_with(HEAD));
        let head = has_head.then(|| head(&mut tensors, rank, model)).transpose()?;
        tensors.finish()?;
        let count = u32::try_from(rank).context("a rank beyond all bounds")?;
        let trained = head.map(|head| with_projections(head, &updates));
        Ok(Self { updates, scaling: alpha / f64::from(count), objective, trained, matrices: None })
    }

    /// What training came to, with updates multiplied by `alpha / rank`.
    ///
    /// # Errors
    /// If the last value of an update is not zero.
    pub fn trained(
        parameters: Parameters,
        (alpha, objective): (f64, Objective),
        model: &Model,
    ) -> Result<Self> {
        let shape = parameters.shape();
        let update = |layer| {
            let matrices = |side| {
                core::array::from_fn(|projection| {
                    let row = |r| Vector::Projection { layer, projection, side, r };
                    rows(&parameters, (0..shape.rank()).map(row))
                })
            };
            Update::new(shape.rank(), shape.width(), matrices(Side::Down), matrices(Side::Up))
        };
        let updates = (0..model.layers().len()).map(update).collect::<Result<_, _>>()?;
        let rank = f64::from(u32::try_from(shape.rank())?);
        let trained = Some(parameters);
        Ok(Self { updates, scaling: alpha / rank, objective, trained, matrices: None })
    }

    /// What full fine-tuning came to: columns of classes, and what is added to every matrix.
    #[must_use]
    pub const fn full(classes: Parameters, updates: Matrices, objective: Objective) -> Self {
        Self {
            updates: Vec::new(),
            scaling: 1.0,
            objective,
            trained: Some(classes),
            matrices: Some(updates),
        }
    }

    /// One update a layer.
    #[must_use]
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// `alpha / rank`.
    #[must_use]
    pub const fn scaling(&self) -> f64 {
        self.scaling
    }

    /// What it was trained for.
    #[must_use]
    pub const fn objective(&self) -> Objective {
        self.objective
    }

    /// All that was trained, if it has a head of its own.
    #[must_use]
    pub const fn parameters(&self) -> Option<&Parameters> {
        self.trained.as_ref()
    }

    /// Whether it changes every matrix, in place of an update of low rank.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.matrices.is_some()
    }

    /// Adds the update of a part of a linear layer to its output `y`, given its input `x`, as [`he_nn::reference::Update`]
    /// does.
    pub fn apply(&self, linear: Linear, part: usize, x: &[f64], y: &mut [f64]) {
        if let Some(matrices) = &self.matrices {
            matrices.add_part(linear, part, x, y);
        }
        if let Linear::Projections(layer) = linear
            && let Some(update) = self.updates.get(layer)
        {
            update.apply(part, self.scaling, x, y);
        }
        let Some(trained) = self.trained.as_ref().filter(|_| linear == Linear::Dense) else {
            return;
        };
        for r in 0..trained.shape().rank() {
            let [down, up] =
                [Side::Down, Side::Up].map(|side| trained.vector(Vector::Dense { side, r }));
            plain::apply(down, up, self.scaling, x, y);
        }
    }

    /// The scores of the head's hyperbolic tangents, if it has a head of its own.
    #[must_use]
    pub fn scores(&self, hidden: &[f64]) -> Option<Vec<f64>> {
        let trained = self.trained.as_ref()?;
        let score = |k| {
            trained.vector(Vector::Class(k)).iter().zip(hidden).map(|(w, t)| w * t).sum::<f64>()
        };
        Some((0..trained.shape().classes()).map(score).collect())
    }
}

/// Rows `down` and columns `up` of these names, zero if there are none.
fn pair(tensors: &mut Read<'_>, [a, b]: [String; 2], [rank, width]: [usize; 2]) -> Result<Pair> {
    if !tensors.has(&a) && !tensors.has(&b) {
        return Ok([(); 2].map(|()| vec![0.0; rank * width]));
    }
    let (down, up) = (tensors.take(&a, [rank, width])?, tensors.take(&b, [width, rank])?);
    Ok([down, transposed(&up, rank)])
}

/// The head's own vectors; all others are zero.
fn head(tensors: &mut Read<'_>, rank: usize, model: &Model) -> Result<Parameters> {
    let shape = Shape::new(rank, model.config());
    let shape =
        shape.with_context(|| format!("a head of its own beside updates of rank {rank}"))?;
    let mut parameters = Parameters::zeros(shape);
    let names = ["A", "B"].map(dense_name);
    let matrices = pair(tensors, names, [rank, shape.width()])?;
    for (side, matrix) in [Side::Down, Side::Up].into_iter().zip(&matrices) {
        set(&mut parameters, |r| Vector::Dense { side, r }, matrix);
    }
    let classes = tensors.take(&classes_name(), [shape.classes(), shape.width()])?;
    set(&mut parameters, Vector::Class, &classes);
    Ok(parameters)
}

/// With the updates of the projections.
fn with_projections(mut parameters: Parameters, updates: &[Update]) -> Parameters {
    for (layer, update) in updates.iter().enumerate() {
        for projection in 0..PROJECTIONS {
            let [down, up] = update.matrices(projection);
            for (side, matrix) in [(Side::Down, down), (Side::Up, up)] {
                let vector = |r| Vector::Projection { layer, projection, side, r };
                set(&mut parameters, vector, matrix);
            }
        }
    }
    parameters
}

/// Sets vectors to the rows of a matrix.
fn set(parameters: &mut Parameters, vector: impl Fn(usize) -> Vector, matrix: &[f64]) {
    let width = parameters.shape().width();
    for (r, row) in matrix.chunks_exact(width).enumerate() {
        parameters.vector_mut(vector(r)).copy_from_slice(row);
    }
}

/// Vectors, one after the other.
fn rows(parameters: &Parameters, vectors: impl Iterator<Item = Vector>) -> Vec<f64> {
    vectors.flat_map(|vector| parameters.vector(vector).iter().copied()).collect()
}

/// Writes an adapter that changes nothing yet: `lora_A` uniform within `1/√width`, `lora_B` zero.
///
/// # Errors
/// If rank or alpha are out of range, or the file cannot be written.
pub fn create(
    path: &Path,
    model: &Model,
    rank: usize,
    alpha: f64,
    rng: &mut impl Rng,
) -> Result<()> {
    ensure!((1..=MAX_RANK).contains(&rank), "rank {rank} is not one of 1 to {MAX_RANK}");
    ensure!(alpha > 0.0 && alpha.is_finite(), "alpha {alpha} is not a positive number");
    let width = model.config().width;
    let bound = 1.0 / f64::from(u32::try_from(width)?).sqrt();
    let mut tensors = Tensors::default();
    for layer in 0..model.layers().len() {
        for part in NAMES {
            let random = (0..rank * width).map(|_| {
                let unit = f64::from(rng.next_u32()) / f64::from(u32::MAX);
                (2.0 * unit - 1.0) * bound
            });
            tensors.add(name(layer, part, "A"), [rank, width], random);
            let zeros = core::iter::repeat_n(0.0, width * rank);
            tensors.add(name(layer, part, "B"), [width, rank], zeros);
        }
    }
    tensors.write(path, model, &metadata(alpha, Objective::default()))
}

/// Writes what training came to: the projections' updates, that of the head's dense layer, and the classes.
///
/// # Errors
/// If the file cannot be written.
pub fn save(
    path: &Path,
    model: &Model,
    (alpha, objective): (f64, Objective),
    parameters: &Parameters,
) -> Result<()> {
    let shape = parameters.shape();
    let (rank, width) = (shape.rank(), shape.width());
    let mut tensors = Tensors::default();
    let mut update = |vector: &dyn Fn(Side, usize) -> Vector, name: &dyn Fn(&str) -> String| {
        let vectors = |side| rows(parameters, (0..rank).map(|r| vector(side, r)));
        tensors.add(name("A"), [rank, width], vectors(Side::Down).into_iter());
        let up = transposed(&vectors(Side::Up), width);
        tensors.add(name("B"), [width, rank], up.into_iter());
    };
    for layer in 0..model.layers().len() {
        for (projection, part) in NAMES.into_iter().enumerate() {
            let vector = |side, r| Vector::Projection { layer, projection, side, r };
            update(&vector, &|side| name(layer, part, side));
        }
    }
    update(&|side, r| Vector::Dense { side, r }, &dense_name);
    let classes = rows(parameters, (0..shape.classes()).map(Vector::Class));
    tensors.add(classes_name(), [shape.classes(), width], classes.into_iter());
    tensors.write(path, model, &metadata(alpha, objective))
}

fn metadata(alpha: f64, objective: Objective) -> [(&'static str, String); 2] {
    [(ALPHA, alpha.to_string()), (LOSS, objective.name())]
}

/// The name of a projection's matrix `lora_A` or `lora_B`.
fn name(layer: usize, part: &str, side: &str) -> String {
    format!("base_model.model.layers.{layer}.attention.{part}.lora_{side}.weight")
}

/// The name of the dense layer's `lora_A` or `lora_B`.
fn dense_name(side: &str) -> String {
    format!("{HEAD}.dense.lora_{side}.weight")
}

/// The name of the classes.
fn classes_name() -> String {
    format!("{HEAD}.classes.weight")
}

/// `lora_alpha`, from the file or from PEFT's configuration beside it.
fn alpha(metadata: &HashMap<String, String>, beside: &dyn Fn() -> Option<Vec<u8>>) -> Result<f64> {
    let of_file = metadata.get(ALPHA).map(|text| text.parse::<f64>().ok());
    let of_config = || {
        let config: serde_json::Value = serde_json::from_slice(&beside()?).ok()?;
        Some(config.get(ALPHA).and_then(serde_json::Value::as_f64))
    };
    let found = of_file.or_else(of_config).with_context(|| {
        format!("it has no metadata {ALPHA}, and there is no adapter_config.json beside it")
    })?;
    let is_good = |alpha: &f64| *alpha > 0.0 && alpha.is_finite();
    found.filter(is_good).with_context(|| format!("{ALPHA} is not a positive number"))
}

/// Rows become columns: the matrix has `columns` entries a row.
fn transposed(matrix: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|c| matrix.iter().skip(c).step_by(columns).copied()).collect()
}
