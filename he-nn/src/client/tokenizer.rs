//! Text to word pieces as uncased BERT does it, on the stack.
//!
//! Control characters go, accents fall off, letters become small; words end at white space, and
//! every punctuation mark and every Chinese ideograph is a word of its own. A word is cut into the
//! longest pieces that the vocabulary has, from the left; one that cannot be cut is `[UNK]`.
//!
//! After Devlin, Chang, Lee, Toutanova, *BERT* (NAACL 2019), and its published tokenizer. The time
//! it takes depends on the text.

use super::unicode::{
    is_dropped, is_ideograph, is_punctuation, is_space, lower_case, without_accents,
};
use super::vocabulary::Vocabulary;
use crate::Error;

/// Longer words are `[UNK]`, in characters.
const WORD_LIMIT: usize = 100;

/// Text to pieces under one vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Tokenizer<'a> {
    vocabulary: Vocabulary<'a>,
}

/// The word that is being read.
struct Word {
    bytes: [u8; 4 * WORD_LIMIT],
    length: usize,
    characters: usize,
}

/// Where pieces go.
struct Output<'a> {
    ids: &'a mut [u16],
    length: usize,
}

impl<'a> Tokenizer<'a> {
    /// A tokenizer for `vocabulary`.
    #[must_use]
    pub const fn new(vocabulary: Vocabulary<'a>) -> Self {
        Self { vocabulary }
    }

    /// The vocabulary.
    #[must_use]
    pub const fn vocabulary(&self) -> &Vocabulary<'a> {
        &self.vocabulary
    }

    /// Writes `[CLS]`, the pieces of `text` and `[SEP]`, and returns how many that is.
    ///
    /// # Errors
    /// If there is no piece in the text, or `ids` has no room for all of them.
    pub fn sentence(&self, text: &str, ids: &mut [u16]) -> Result<usize, Error> {
        let length = self.pieces(text, ids)?;
        if length <= 2 {
            return Err(Error::EmptySentence);
        }
        Ok(length)
    }

    /// The same for a text that may be empty.
    ///
    /// # Errors
    /// If `ids` has no room for all pieces.
    pub fn pieces(&self, text: &str, ids: &mut [u16]) -> Result<usize, Error> {
        let mut out = Output { ids, length: 0 };
        let mut word = Word::empty();
        out.push(self.vocabulary.class());
        for c in text.chars() {
            if is_space(c) {
                self.finish(&mut word, &mut out)?;
            } else if is_dropped(c) {
                continue;
            } else {
                let is_word = is_ideograph(c);
                for part in without_accents(c).parts().map(lower_case) {
                    let is_word = is_word || is_punctuation(part);
                    if is_word {
                        self.finish(&mut word, &mut out)?;
                    }
                    word.push(part);
                    if is_word {
                        self.finish(&mut word, &mut out)?;
                    }
                }
            }
        }
        self.finish(&mut word, &mut out)?;
        out.push(self.vocabulary.separator());
        out.check()?;
        Ok(out.length)
    }

    /// Cuts the word into pieces and empties it.
    fn finish(&self, word: &mut Word, out: &mut Output<'_>) -> Result<(), Error> {
        let start = out.length;
        let is_known = word.characters <= WORD_LIMIT && {
            let mut rest = word.text();
            let mut prefix: &[u8] = b"";
            loop {
                if rest.is_empty() {
                    break true;
                }
                let Some((id, length)) = self.longest(prefix, rest) else { break false };
                out.push(id);
                (_, rest) = rest.split_at(length);
                prefix = b"##";
            }
        };
        if !is_known {
            out.length = start;
            out.push(self.vocabulary.unknown());
        }
        *word = Word::empty();
        out.check()
    }

    /// The longest piece that `rest` starts with, and its length in bytes.
    fn longest(&self, prefix: &[u8], rest: &str) -> Option<(u16, usize)> {
        rest.char_indices().rev().find_map(|(at, c)| {
            let length = at + c.len_utf8();
            let id = self.vocabulary.find(prefix, rest.get(..length)?.as_bytes())?;
            Some((id, length))
        })
    }
}

impl Word {
    const fn empty() -> Self {
        Self { bytes: [0; 4 * WORD_LIMIT], length: 0, characters: 0 }
    }

    fn push(&mut self, c: char) {
        self.characters += 1;
        if let Some(room) = self.bytes.get_mut(self.length..self.length + c.len_utf8()) {
            self.length += c.encode_utf8(room).len();
        }
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Output<'_> {
    /// Counts a piece, and writes it if there is room.
    fn push(&mut self, id: u16) {
        if let Some(place) = self.ids.get_mut(self.length) {
            *place = id;
        }
        self.length += 1;
    }

    const fn check(&self) -> Result<(), Error> {
        let limit = self.ids.len();
        if self.length > limit { Err(Error::SentenceTooLong { limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::compile;
    use super::*;

    const LIST: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n,\n中\nresume\na";

    fn tokenized(text: &str) -> Result<([u16; 8], usize), Error> {
        let bytes = compile(LIST).unwrap();
        let mut ids = [0; 8];
        let length = Tokenizer::new(Vocabulary::parse(&bytes).unwrap()).sentence(text, &mut ids)?;
        Ok((ids, length))
    }

    #[test]
    fn words_are_cut_into_the_longest_pieces() {
        assert_eq!(tokenized("unaffable").unwrap().0[..5], [2, 4, 5, 6, 3]);
        assert_eq!(tokenized("UN,中RÉSUMÉ").unwrap().0[..6], [2, 4, 7, 8, 9, 3]);
    }

    #[test]
    fn what_cannot_be_cut_is_unknown_as_a_whole() {
        assert_eq!(tokenized("unaffzz un").unwrap().0[..4], [2, 1, 4, 3]);
    }

    #[test]
    fn an_empty_and_an_overlong_sentence_are_refused() {
        assert_eq!(tokenized(" \t\u{200b}"), Err(Error::EmptySentence));
        assert!(tokenized("a a a a a a").is_ok());
        assert_eq!(tokenized("a a a a a unaffzz").unwrap().0[6..], [1, 3]);
        assert_eq!(tokenized("a a a a a a a"), Err(Error::SentenceTooLong { limit: 8 }));
    }
}
