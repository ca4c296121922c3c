//! The tokenizer against the reference one.
//!
//! `data/wordpiece.tsv` holds lines of the reference tokenization of uncased BERT (Hugging Face
//! `tokenizers`), every line with a character beyond ASCII among them, and `data/wordpiece_vocab.txt`
//! the pieces that occur. Longest matches in the whole vocabulary are longest matches in that part
//! of it, so the numbers are those of the reference, renumbered.

use he_nn::client::tokenizer::Tokenizer;
use he_nn::client::vocabulary::{Vocabulary, compile};

#[test]
fn pieces_are_those_of_the_reference() {
    let compiled = compile(include_str!("data/wordpiece_vocab.txt")).unwrap();
    let tokenizer = Tokenizer::new(Vocabulary::parse(&compiled).unwrap());
    let mut count = 0;
    for line in include_str!("data/wordpiece.tsv").lines() {
        let (text, wanted) = line.rsplit_once('\t').unwrap();
        let wanted: Vec<u16> = wanted.split(' ').map(|id| id.parse().unwrap()).collect();
        let mut ids = [0; 128];
        let length = tokenizer.pieces(text, &mut ids).unwrap();
        assert_eq!(ids[..length], wanted, "{text}");
        count += 1;
    }
    assert!(count > 60);
}
