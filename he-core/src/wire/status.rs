//! What a server tells a device in words and numbers.
//!
//! | bytes of progress | field |
//! |---|---|
//! | 4, 4, 4 | number of the stage, number of stages, milliseconds since the start |
//! | 0 to 32 | name of the stage, UTF-8 |
//!
//! | bytes of refusal | field |
//! |---|---|
//! | 4 | code |
//! | 8 | the value that would be needed, or zero |
//! | 0 to 120 | reason, UTF-8 |

use core::fmt;

use super::{FrameReader, Kind, Link};
use crate::Error;

/// At most `N` bytes of text.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    /// The text, cut at a character if it is too long.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(N)];
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes, length: text.len() }
    }

    /// The text as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Takes what is left of a body.
    fn take<R, E>(frame: &mut FrameReader<'_, R>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let length = usize::try_from(frame.left()).ok().filter(|&length| length <= N);
        let length = length.ok_or(Error::Malformed("a text that is too long"))?;
        let mut bytes = [0; N];
        frame.take(&mut bytes[..length])?;
        if core::str::from_utf8(&bytes[..length]).is_err() {
            return Err(Error::Malformed("a text that is not UTF-8").into());
        }
        Ok(Self { bytes, length })
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// The number of the stage that begins, from zero.
    pub index: u32,
    /// How many stages there are.
    pub total: u32,
    /// Milliseconds since the work began.
    pub millis: u32,
    /// What the stage does.
    pub stage: Text<32>,
}

impl Progress {
    /// Sends it.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<W, E>(&self, link: &mut Link<'_>, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let stage = self.stage.as_str().as_bytes();
        let mut frame = link.writer(Kind::Progress, 12 + short(stage.len()), write)?;
        for number in [self.index, self.total, self.millis] {
            frame.put(&number.to_le_bytes())?;
        }
        frame.put(stage)?;
        frame.finish()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not one of progress.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        frame.expect(Kind::Progress, frame.left().into())?;
        let [index, total, millis] =
            [frame.take_array()?, frame.take_array()?, frame.take_array()?].map(u32::from_le_bytes);
        let stage = Text::take(&mut frame)?;
        frame.finish()?;
        Ok(Self { index, total, millis, stage })
    }
}

/// Why there will be no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// A number for programs.
    pub code: u32,
    /// What would be needed, in the unit of the reason; zero where that makes no sense.
    pub needed: u64,
    /// The reason for people.
    pub text: Text<120>,
}

impl Refusal {
    /// Sends it.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<W, E>(&self, link: &mut Link<'_>, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let text = self.text.as_str().as_bytes();
        let mut frame = link.writer(Kind::Refusal, 12 + short(text.len()), write)?;
        frame.put(&self.code.to_le_bytes())?;
        frame.put(&self.needed.to_le_bytes())?;
        frame.put(text)?;
        frame.finish()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not a refusal.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        frame.expect(Kind::Refusal, frame.left().into())?;
        let code = u32::from_le_bytes(frame.take_array()?);
        let needed = u64::from_le_bytes(frame.take_array()?);
        let text = Text::take(&mut frame)?;
        frame.finish()?;
        Ok(Self { code, needed, text })
    }
}

/// The length of a text of at most 120 bytes.
#[expect(clippy::cast_possible_truncation, reason = "at most 120")]
const fn short(length: usize) -> u32 {
    length as u32
}
