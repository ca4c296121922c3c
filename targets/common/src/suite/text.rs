//! From text to the integers that are encrypted.

use super::case;
use super::golden::{Digest, agrees};
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use crate::model::{CIPHERTEXTS, SCALE_BITS, TOKENS, WIDTH, embedding, tokenizer};
use he_core::edge::DEGREE;
use he_nn::Error;
use he_nn::client::embedding::EmbeddingTable;
use he_nn::client::input::Input;

/// `ids`, tab, `text`: what the reference tokenizer makes of sentences.
const LINES: &str = include_str!(concat!(env!("OUT_DIR"), "/golden.txt"));
pub(super) const SENTENCE: &str = "a gripping, funny and deeply human film .";
pub(super) const MESSAGES: &str = "messages";

pub(super) const fn cases<M: Machine>() -> [Case<M>; 3] {
    [
        case("the_tokenizer_agrees_with_the_reference", golden_lines),
        case("an_empty_and_an_overlong_sentence_are_refused", refusals),
        case("messages_are_the_ones_of_the_host", messages),
    ]
}

fn golden_lines<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let Ok(tokenizer) = tokenizer() else {
        check!(false, "the vocabulary is damaged");
        return Ok(());
    };
    let mut count = 0;
    for (expected, text) in LINES.lines().filter_map(|line| line.split_once('\t')) {
        let mut ids = [0; TOKENS];
        let length = tokenizer.pieces(text, &mut ids);
        check!(length.is_ok(), text);
        let expected = expected.split(' ').map(str::parse);
        let found = ids[..length.unwrap_or(0)].iter().map(|&id| Ok(id));
        check!(expected.eq(found), text);
        count += 1;
    }
    check!(count >= 40);
    let mut ids = [0; TOKENS];
    let length = bench.measure("tokenize_instructions", || tokenizer.sentence(SENTENCE, &mut ids));
    check!(length.is_ok());
    Ok(())
}

fn refusals<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let (Ok(tokenizer), Ok(table)) = (tokenizer(), embedding()) else {
        check!(false, "the model in flash is damaged");
        return Ok(());
    };
    let build = |text: &str| Input::<TOKENS>::new(&tokenizer, table, text, SCALE_BITS).err();
    check!(build(" \t") == Some(Error::EmptySentence));
    let words: [u8; 2 * TOKENS] = core::array::from_fn(|i| b"a "[i % 2]);
    let long = core::str::from_utf8(&words).unwrap_or_default();
    check!(build(long) == Some(Error::SentenceTooLong { limit: TOKENS }));
    check!(build(&long[..2 * (TOKENS - 2)]).is_none());
    check!(build("\u{1F600} \u{5B57} ok").is_none());
    Ok(())
}

fn messages<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(bench.measure("embed_instructions", input).is_ok());
    check!(messages_digest().is_ok_and(|digest| agrees(MESSAGES, digest)));
    Ok(())
}

/// A sentence of eleven pieces on tables made up here, so that golden values outlive the model.
pub(super) fn input() -> Result<Input<'static, TOKENS>, Error> {
    let table = EmbeddingTable::new(&MADE_UP_PIECES, &MADE_UP_POSITIONS, WIDTH)?;
    Input::from_ids(table, &[2, 5, 9, 1, 7, 7, 15, 4, 0, 11, 3], 28)
}

static MADE_UP_PIECES: [u8; 16 * WIDTH] = made_up(1);
static MADE_UP_POSITIONS: [u8; TOKENS * WIDTH] = made_up(2);

/// The top bytes of a linear congruence (Knuth, *The Art of Computer Programming* 2, 3.3.4, line 16).
const fn made_up<const N: usize>(mut state: u32) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[i] = state.to_be_bytes()[0];
        i += 1;
    }
    bytes
}

pub(super) fn messages_digest() -> Result<Digest, Error> {
    let input = input()?;
    let mut digest = Digest::new();
    for ciphertext in 0..CIPHERTEXTS {
        for i in 0..DEGREE {
            digest.bytes(&input.coefficient(DEGREE, ciphertext, i).to_le_bytes());
        }
    }
    Ok(digest)
}
