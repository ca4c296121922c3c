//! A sentence as the integer messages that the device encrypts.
//!
//! Feature `f` of token `t` is coefficient `(f mod r) + r·t` of edge ciphertext `f div r`, with
//! `r = n / T`. The last feature is minus the sum of the others, so the server needs no upload of
//! it; its place holds the mask: 1 for the tokens of the sentence and 0 for padding. Padding is 0 in
//! every feature. So the server sees neither how long the sentence is nor anything else.

use zeroize::Zeroize;

use super::embedding::{EmbeddingTable, Token};
use super::tokenizer::Tokenizer;
use crate::Error;

/// A tokenized sentence of at most `T` tokens, ready to be encrypted. Zeroized on drop.
#[expect(missing_debug_implementations, reason = "a sentence is private")]
pub struct Input<'a, const T: usize> {
    table: EmbeddingTable<'a>,
    ids: [u16; T],
    tokens: [Token; T],
    length: usize,
    scale_bits: u32,
}

impl<'a, const T: usize> Input<'a, T> {
    /// Tokenizes `text`; features will be scaled by `2^scale_bits`, at most `2^28`.
    ///
    /// # Errors
    /// If the text is empty or has more than `T − 2` pieces, or the tables do not fit the
    /// vocabulary.
    pub fn new(
        tokenizer: &Tokenizer<'_>,
        table: EmbeddingTable<'a>,
        text: &str,
        scale_bits: u32,
    ) -> Result<Self, Error> {
        let mut input = Self::empty(table, scale_bits)?;
        if tokenizer.vocabulary().len() != table.vocabulary() {
            return Err(Error::Malformed("vocabulary and embedding have different lengths"));
        }
        input.length = tokenizer.sentence(text, &mut input.ids)?;
        input.prepare();
        Ok(input)
    }

    /// The sentence that consists of `ids`, special pieces included.
    ///
    /// # Errors
    /// If there are none or more than `T`, or one is not in the table.
    pub fn from_ids(
        table: EmbeddingTable<'a>,
        ids: &[u16],
        scale_bits: u32,
    ) -> Result<Self, Error> {
        let mut input = Self::empty(table, scale_bits)?;
        if ids.is_empty() {
            return Err(Error::EmptySentence);
        }
        if ids.iter().any(|&id| usize::from(id) >= table.vocabulary()) {
            return Err(Error::Malformed("a piece is not in the table"));
        }
        let room = input.ids.get_mut(..ids.len()).ok_or(Error::SentenceTooLong { limit: T })?;
        room.copy_from_slice(ids);
        input.length = ids.len();
        input.prepare();
        Ok(input)
    }

    /// The pieces, special ones included.
    #[must_use]
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..self.length).unwrap_or_default()
    }

    /// Edge ciphertexts in an upload of degree `degree`.
    #[must_use]
    pub const fn ciphertexts(&self, degree: usize) -> usize {
        (self.table.width() * T).div_ceil(degree)
    }

    /// Coefficient `index` of edge ciphertext number `ciphertext`, of degree `degree`; at most
    /// [`super::embedding::LIMIT`] in absolute value.
    #[must_use]
    pub fn coefficient(&self, degree: usize, ciphertext: usize, index: usize) -> i32 {
        let rows = degree / T;
        let (feature, token) = (ciphertext * rows + index % rows, index / rows);
        let is_real = i32::from(token < self.length);
        if feature == self.table.width() - 1 {
            return is_real << self.scale_bits;
        }
        match (self.ids.get(token), self.tokens.get(token)) {
            (Some(&id), Some(&constants)) => {
                is_real * self.table.normalised(id, token, feature, constants)
            }
            _ => 0,
        }
    }

    fn empty(table: EmbeddingTable<'a>, scale_bits: u32) -> Result<Self, Error> {
        if scale_bits > 28 {
            return Err(Error::Unsupported("uploads are scaled by at most 2^28"));
        }
        if table.positions() < T {
            return Err(Error::Malformed("the table has too few positions"));
        }
        Ok(Self { table, ids: [0; T], tokens: [Token::default(); T], length: 0, scale_bits })
    }

    fn prepare(&mut self) {
        for (position, (&id, token)) in self.ids.iter().zip(&mut self.tokens).enumerate() {
            *token = self.table.token(id, position, self.scale_bits);
        }
    }
}

impl<const T: usize> Drop for Input<'_, T> {
    fn drop(&mut self) {
        self.ids.zeroize();
        self.tokens.zeroize();
        self.length.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_lies_where_the_server_expects_it() {
        let pieces: [u8; 64] = core::array::from_fn(|i| u8::try_from(i * 37 % 256).unwrap());
        let positions: [u8; 32] = core::array::from_fn(|i| u8::try_from(i * 91 % 256).unwrap());
        let table = EmbeddingTable::new(&pieces, &positions, 8).unwrap();
        let input = Input::<4>::from_ids(table, &[3, 5, 7], 20).unwrap();
        assert_eq!(input.ciphertexts(16), 2);
        for f in 0..8 {
            for t in 0..4 {
                let got = input.coefficient(16, f / 4, f % 4 + 4 * t);
                let wanted = match (t < 3, f) {
                    (false, _) => 0,
                    (true, 7) => 1 << 20,
                    (true, _) => {
                        let id = input.ids()[t];
                        table.normalised(id, t, f, table.token(id, t, 20))
                    }
                };
                assert_eq!(got, wanted, "feature {f}, token {t}");
            }
        }
    }

    #[test]
    fn refuses_pieces_outside_the_table_and_too_many() {
        let table = EmbeddingTable::new(&[1; 16], &[1; 16], 4).unwrap();
        assert!(Input::<4>::from_ids(table, &[4], 20).is_err());
        assert!(Input::<4>::from_ids(table, &[], 20).is_err());
        let limit = Error::SentenceTooLong { limit: 4 };
        assert_eq!(Input::<4>::from_ids(table, &[0; 5], 20).err(), Some(limit));
        assert!(Input::<4>::from_ids(table, &[0], 29).is_err());
    }
}
