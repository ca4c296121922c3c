//! The layers of the encrypted forward pass, one a file.

pub mod assembly;
pub mod update;
pub mod feed_forward;
pub mod head;
pub mod normalisation;
pub(crate) mod softmax;
pub mod token_attention;
pub mod wide_attention;
