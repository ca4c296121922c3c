//! How an image without files tells a host what belongs in which file: records in one stream.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | [`Tag`] |
//! | 4 | bytes that follow, little-endian |
//! | … | by tag |

/// What a record says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tag {
    /// Eight bytes: how many bytes of `Data` there will be in all.
    Plan,
    /// The path of the file that the following data belong to.
    File,
    /// The next bytes of the file.
    Data,
    /// The end; figures as one JSON object.
    Done,
    /// There will be no end; why, in words.
    Fail,
}

impl Tag {
    /// The tag as sent.
    #[must_use]
    pub const fn bytes(self) -> [u8; 4] {
        match self {
            Self::Plan => *b"PLAN",
            Self::File => *b"FILE",
            Self::Data => *b"DATA",
            Self::Done => *b"DONE",
            Self::Fail => *b"FAIL",
        }
    }

    /// The eight bytes before a body of `length` bytes.
    #[must_use]
    pub fn head(self, length: u32) -> [u8; 8] {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&self.bytes());
        head[4..].copy_from_slice(&length.to_le_bytes());
        head
    }
}
