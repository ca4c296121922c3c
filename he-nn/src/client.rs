//! What the device computes: text to pieces, pieces to the messages it encrypts, and decrypted
//! numbers to an answer. No heap, and no floating point before the answer.
//!
//! The embedding table and the vocabulary are public and lie in flash; sentences and answers are
//! private and are wiped. Which rows of the table are read depends on the sentence, so these
//! functions belong on a processor whose memory accesses nobody else observes.

pub mod answer;
pub mod embedding;
pub mod input;
pub mod tokenizer;
mod unicode;
pub mod vocabulary;
