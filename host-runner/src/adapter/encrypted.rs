//! An adapter under its owner's public key, as a server reads it: a head that says what it is, and its
//! ciphertexts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use he_core::ciphertext::Ciphertext;
use he_core::cpu::Cpu;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{AdapterHead, Header, Kind, Link, Pair, RingShape, TransportKey};
use he_lora::Adapter;
use he_lora::adapter::LayerAdapter;
use he_lora::parameters::Shape;
use he_nn::layout::Layout;
use he_nn::model::Model;

use super::MAX_RANK;
use crate::store::moduli;

/// What an adapter is encrypted for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The ring of the parameters.
    pub ring: &'a Ring,
    /// The parameters.
    pub params: &'a Params,
    /// The model that the adapter belongs to.
    pub model: &'a Model,
}

impl Target<'_> {
    /// Where the rows of an adapter lie in slots.
    pub(super) fn layout(&self) -> Result<Layout<3>> {
        let config = self.model.config();
        let tokens = self.params.tokens();
        ensure!(config.tokens == tokens, "the key is for {tokens} tokens, the model is not");
        // Two halves of tokens; queries, keys, values and a spare; features.
        Ok(Layout::new([2, 4, config.width], tokens, self.params.degree() / tokens)?)
    }
}

/// An adapter as it was read.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub enum Encrypted {
    /// Updates of queries, keys and values.
    Updates(Adapter<Cpu>),
    /// A state of training, which is to be unpacked.
    State {
        /// How many vectors are trained.
        shape: Shape,
        /// What updates are multiplied by.
        scaling: f64,
        /// At the level of rows or above.
        state: Vec<Ciphertext>,
    },
}

/// Reads the head of an adapter's file, so that a wrong one is refused before anything heavy.
///
/// # Errors
/// If the file is missing or of another length, or of other parameters or of another model.
pub fn check(path: &Path, params: &Params, model: &Model) -> Result<AdapterHead> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let length = file.metadata()?.len();
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let take = |bytes: &mut [u8]| file.read_exact(bytes).context("the file is truncated");
    let head = head(&mut link, take, length, (params, model));
    head.with_context(|| format!("in {}", path.display()))
}

/// The shape of what was trained, if an adapter has a head of its own.
///
/// # Errors
/// If the model has not as many classes, or no room for updates of this rank.
pub fn shape(head: &AdapterHead, model: &Model) -> Result<Option<Shape>> {
    if head.classes == 0 {
        return Ok(None);
    }
    let config = model.config();
    ensure!(
        usize::try_from(head.classes)? == config.classes,
        "an adapter of {} classes for a model of {}",
        head.classes,
        config.classes
    );
    Ok(Some(Shape::new(usize::try_from(head.rank)?, config)?))
}

/// Reads the adapter of a model from its file.
///
/// # Errors
/// If the file is missing, truncated or damaged, or of other parameters or of another model.
pub fn read(path: &Path, target: Target<'_>) -> Result<Encrypted> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let length = file.metadata()?.len();
    let read = || parse(&mut BufReader::with_capacity(1 << 20, file), length, target);
    read().with_context(|| format!("in {}", path.display()))
}

fn parse(file: &mut impl Read, length: u64, target: Target<'_>) -> Result<Encrypted> {
    let Target { ring, params, model } = target;
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let mut take = |bytes: &mut [u8]| file.read_exact(bytes).context("the file is truncated");
    let head = head(&mut link, &mut take, length, (params, model))?;
    let layout = target.layout()?;
    let (layers, rank) = (usize::try_from(head.layers)?, usize::try_from(head.rank)?);
    let mut ciphertext = |_| {
        let frame = link.reader(Pair::limit(&shape), &mut take)?;
        let pair = Pair::read(frame, Kind::Ciphertext, &shape)?;
        let ciphertext = Ciphertext::from_pair(ring, params, pair)?;
        let is_right = ciphertext.level() == he_lora::level(params.rows_level())
            && ciphertext.scale().to_bits() == params.default_scale().to_bits();
        ensure!(is_right, "a ciphertext of another level or scale than adapters have");
        Ok(ciphertext)
    };
    if let Some(shape) = self::shape(&head, model)? {
        return Ok(Encrypted::State { shape, scaling: head.scaling, state: vec![ciphertext(0)?] });
    }
    let mut all = Vec::with_capacity(layers);
    for _ in 0..layers {
        let down = (0..rank).map(&mut ciphertext).collect::<Result<_>>()?;
        let up = (0..rank).map(&mut ciphertext).collect::<Result<_>>()?;
        all.push(LayerAdapter::new(down, up)?);
    }
    let adapter = Adapter::new(all, head.scaling, model.config().width, layout.step(2))?;
    Ok(Encrypted::Updates(adapter))
}

/// Reads the head of a file of `length` bytes and checks that it is of an adapter of this model.
fn head(
    link: &mut Link<'_>,
    take: impl FnMut(&mut [u8]) -> Result<()>,
    length: u64,
    (params, model): (&Params, &Model),
) -> Result<AdapterHead> {
    let head = AdapterHead::read(link.reader(AdapterHead::LENGTH.into(), take)?)?;
    ensure!(
        head.model == super::digest(model),
        "the adapter is for another model than the one that is served; encrypt it with that \
         model's folder as --model"
    );
    let (layers, rank) = (usize::try_from(head.layers)?, usize::try_from(head.rank)?);
    ensure!(
        layers == model.layers().len() && rank <= MAX_RANK,
        "an adapter of {layers} layers and rank {rank}"
    );
    let expected = file_bytes(params, &head);
    ensure!(
        length == expected,
        "it has {length} bytes instead of {expected}: copy it again or encrypt it anew"
    );
    Ok(head)
}

/// The bytes of an adapter's file.
pub(super) fn file_bytes(params: &Params, head: &AdapterHead) -> u64 {
    let frame = (Header::BYTES + Header::TAG) as u64;
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    // The basis is one of the parameters, so the length is known.
    let basis = params.basis(he_lora::level(params.rows_level())).bits();
    let ciphertext = frame + Pair::length(&shape, basis).unwrap_or(0);
    let count = match head.classes {
        0 => 2 * u64::from(head.layers) * u64::from(head.rank),
        _ => 1,
    };
    frame + u64::from(AdapterHead::LENGTH) + count * ciphertext
}
