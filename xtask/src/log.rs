//! A device's log: `defmt` frames on its semihosting output, decoded with the image's own table.

use anyhow::{Context, Result};
use defmt_decoder::{DecodeError, Table};
use std::io::Read;

/// Whether `image` logs at all.
pub(crate) fn has_table(image: &[u8]) -> bool {
    matches!(Table::parse(image), Ok(Some(_)))
}

/// Decodes `stream` to its end and calls `each` with every message.
///
/// # Errors
/// If `image` has no table or a table of another version.
pub(crate) fn decode(
    image: &[u8],
    mut stream: impl Read,
    mut each: impl FnMut(String),
) -> Result<()> {
    let table = Table::parse(image)?.context("the image has no log table")?;
    let mut decoder = table.new_stream_decoder();
    let mut bytes = [0; 1024];
    loop {
        let count = match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => count,
        };
        decoder.received(&bytes[..count]);
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map_or("", |level| level.as_str());
                    each(format!("{level} {}", frame.display_message()));
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) if table.encoding().can_recover() => {}
                Err(DecodeError::Malformed) => return Ok(()),
            }
        }
    }
}
