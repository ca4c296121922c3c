//! The model's client side as it lies in flash, and the rings that its messages live in.

use he_core::edge::{BASE_PRIMES, DEGREE, EdgeRing, EdgeTable};
use he_core::modulus::Modulus;
use he_core::params::EDGE_128;
use he_nn::Error;
use he_nn::client::embedding::EmbeddingTable;
use he_nn::client::tokenizer::Tokenizer;
use he_nn::client::vocabulary::Vocabulary;
use spin::Once;

/// Tokens of a sentence.
pub const TOKENS: usize = 64;
/// Features of a token.
pub const WIDTH: usize = 128;
/// Bits behind the point of an uploaded feature.
pub const SCALE_BITS: u32 = include!(concat!(env!("OUT_DIR"), "/scale_bits.in"));
/// Classes of an answer.
pub const CLASSES: usize = 2;
/// What the classes are called.
pub const LABELS: [&str; CLASSES] = ["negative", "positive"];
/// Ciphertexts of a sentence.
pub const CIPHERTEXTS: usize = TOKENS * WIDTH / DEGREE;

static VOCABULARY_BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vocabulary.bin"));
static PIECES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pieces.bin"));
static POSITIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/positions.bin"));

/// The least primitive 8192nd roots of unity modulo the base primes.
pub(crate) const ROOTS: [u32; BASE_PRIMES] = [27628, 7678];

static TABLES: [EdgeTable<DEGREE>; BASE_PRIMES] = [
    EdgeTable::new(EDGE_128.terminals[0], ROOTS[0]).unwrap(),
    EdgeTable::new(EDGE_128.terminals[1], ROOTS[1]).unwrap(),
];

/// The rings of the two base primes of the preset for devices.
#[must_use]
pub fn rings() -> [EdgeRing<'static>; BASE_PRIMES] {
    TABLES.each_ref().map(EdgeTable::ring)
}

/// The first base prime, for those who need no ring.
pub(crate) const BASE: Modulus = Modulus::new(EDGE_128.terminals[0]).unwrap();

/// The tokenizer. The vocabulary is checked the first time only.
///
/// # Errors
/// If the vocabulary in flash is damaged.
pub fn tokenizer() -> Result<Tokenizer<'static>, Error> {
    static VOCABULARY: Once<Vocabulary<'static>> = Once::new();
    let vocabulary = VOCABULARY.try_call_once(|| Vocabulary::parse(VOCABULARY_BYTES))?;
    Ok(Tokenizer::new(*vocabulary))
}

/// The embedding.
///
/// # Errors
/// If the tables in flash have another shape than the preset asks for.
pub fn embedding() -> Result<EmbeddingTable<'static>, Error> {
    EmbeddingTable::new(PIECES, POSITIONS, WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use he_core::primes::primitive_root_2n;

    #[test]
    fn the_roots_are_the_ones_that_everybody_else_finds() {
        for (&prime, root) in EDGE_128.terminals.iter().zip(ROOTS) {
            let modulus = Modulus::new(prime).unwrap();
            assert_eq!(primitive_root_2n(modulus, 4096), Some(root));
        }
    }

    #[test]
    fn tables_and_vocabulary_fit_each_other() {
        let table = embedding().unwrap();
        assert_eq!(table.vocabulary(), tokenizer().unwrap().vocabulary().len());
        assert!(table.positions() >= TOKENS);
    }
}
