//! Reads lines of text from a byte stream into a fixed buffer.

use embedded_io::Read;
use heapless::Vec;
use zeroize::Zeroize;

/// Why a line could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError<E> {
    /// The link failed.
    Link(E),
    /// The link closed before a line ended.
    Closed,
    /// The line is longer than the buffer; it was read to its end and dropped.
    TooLong {
        /// Bytes a line may have, without its line feed.
        capacity: usize,
    },
    /// The line is not UTF-8.
    NotText {
        /// Bytes at the front that are.
        valid_up_to: usize,
    },
}

/// A buffer for one line of at most `N` bytes. A line is private: it is erased with the buffer.
#[derive(Debug, Default)]
pub struct LineReader<const N: usize> {
    bytes: Vec<u8, N>,
}

impl<const N: usize> LineReader<N> {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// The next line of `link`, without its line feed and without a carriage return before it.
    ///
    /// # Errors
    /// [`LineError`]; after `TooLong` and `NotText` the next call reads the next line.
    pub fn read<L: Read>(&mut self, link: &mut L) -> Result<&str, LineError<L::Error>> {
        self.wipe();
        let mut overflowed = false;
        loop {
            let mut byte = [0];
            match link.read(&mut byte).map_err(LineError::Link)? {
                0 => return Err(LineError::Closed),
                _ if byte[0] == b'\n' => break,
                _ => overflowed |= self.bytes.push(byte[0]).is_err(),
            }
        }
        if overflowed {
            return Err(LineError::TooLong { capacity: N });
        }
        if self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        core::str::from_utf8(&self.bytes)
            .map_err(|e| LineError::NotText { valid_up_to: e.valid_up_to() })
    }

    /// Erases the line that was read last.
    pub fn wipe(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
    }
}

impl<const N: usize> Drop for LineReader<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_lose_a_carriage_return() {
        let mut link: &[u8] = b"one\r\n\ntwo \xc3\xa9\n";
        let mut reader = LineReader::<8>::new();
        assert_eq!(reader.read(&mut link), Ok("one"));
        assert_eq!(reader.read(&mut link), Ok(""));
        assert_eq!(reader.read(&mut link), Ok("two \u{e9}"));
        assert_eq!(reader.read(&mut link), Err(LineError::Closed));
    }

    #[test]
    fn a_line_of_exactly_the_capacity_fits_and_one_byte_more_is_refused_whole() {
        let mut link: &[u8] = b"12345678\n123456789\nnext\n";
        let mut reader = LineReader::<8>::new();
        assert_eq!(reader.read(&mut link), Ok("12345678"));
        assert_eq!(reader.read(&mut link), Err(LineError::TooLong { capacity: 8 }));
        assert_eq!(reader.read(&mut link), Ok("next"));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_and_the_next_line_survives() {
        let mut link: &[u8] = b"ab\xff\nok\n";
        let mut reader = LineReader::<8>::new();
        assert_eq!(reader.read(&mut link), Err(LineError::NotText { valid_up_to: 2 }));
        assert_eq!(reader.read(&mut link), Ok("ok"));
    }
}
