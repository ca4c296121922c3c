//! Frames in and out, piece by piece.

use core::hint::black_box;

use super::{Header, Kind, TransportKey};
use crate::Error;
use crate::sample::{HASH, KeyedHash, Purpose, prf};

/// What the key of the tags is derived as.
const FRAME_TAG: u32 = u32::from_le_bytes(*b"tag1");

/// The tag of a frame under way.
struct Tagger<'k> {
    key: &'k TransportKey,
    hash: KeyedHash,
}

impl<'k> Tagger<'k> {
    fn new(key: &'k TransportKey, header: &[u8; Header::BYTES]) -> Self {
        let mut hash = KeyedHash::new(&key.0, Purpose::FrameHash);
        hash.update(header);
        Self { key, hash }
    }

    fn finish(&self) -> [u8; Header::TAG] {
        let mut input = [0; 24];
        input[..HASH].copy_from_slice(&self.hash.finish());
        super::field(&prf(&self.key.0.derive_any(FRAME_TAG, 0), &input), 0)
    }
}

/// One exchange between two parties: numbers its frames, and refuses those of others.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct Link<'k> {
    key: &'k TransportKey,
    digest: u64,
    sequence: u64,
    sent: u32,
    received: u32,
}

impl<'k> Link<'k> {
    /// Begins an exchange. `digest` is that of the parameter set; `sequence` must be larger than any
    /// used with this key before.
    #[must_use]
    pub const fn new(key: &'k TransportKey, digest: u64, sequence: u64) -> Self {
        Self { key, digest, sequence, sent: 0, received: 0 }
    }

    /// Answers an exchange that another party begins: reads its first frame, of at most `limit` bytes
    /// of body, and takes over its sequence number.
    ///
    /// The number is authentic only once the frame is finished. Who is to be safe from replays then
    /// compares it with the largest so far.
    ///
    /// # Errors
    /// Those of `read`, or if the header is not acceptable.
    pub fn accept<R, E>(
        key: &'k TransportKey,
        digest: u64,
        limit: u64,
        read: R,
    ) -> Result<(Self, FrameReader<'k, R>), E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let mut link = Self::new(key, digest, 0);
        let reader = FrameReader::open(key, limit, read)?;
        link.sequence = reader.header.sequence;
        link.check(&reader.header)?;
        Ok((link, reader))
    }

    /// The sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Begins the next frame out, with a body of `length` bytes.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn writer<W, E>(
        &mut self,
        kind: Kind,
        length: u32,
        mut write: W,
    ) -> Result<FrameWriter<'k, W>, E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let Self { digest, sequence, sent: part, .. } = *self;
        self.sent += 1;
        let header = Header { kind, digest, sequence, part, length }.to_bytes();
        write(&header)?;
        Ok(FrameWriter { tagger: Tagger::new(self.key, &header), left: length, write })
    }

    /// Opens the next frame in, of at most `limit` bytes of body.
    ///
    /// # Errors
    /// Those of `read`, or if the header is not that of the next frame.
    pub fn reader<R, E>(&mut self, limit: u64, read: R) -> Result<FrameReader<'k, R>, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let reader = FrameReader::open(self.key, limit, read)?;
        self.check(&reader.header)?;
        Ok(reader)
    }

    /// Checks that a header is that of the next frame, and counts it.
    fn check(&mut self, header: &Header) -> Result<(), Error> {
        if header.digest != self.digest {
            return Err(Error::Malformed("a frame for other parameters"));
        }
        if header.sequence != self.sequence || header.part != self.received {
            return Err(Error::Malformed("a frame out of order"));
        }
        self.received += 1;
        Ok(())
    }
}

/// A frame on its way out.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct FrameWriter<'k, W> {
    tagger: Tagger<'k>,
    left: u32,
    write: W,
}

impl<W, E> FrameWriter<'_, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    /// Sends a piece of the body.
    ///
    /// # Errors
    /// Those of the closure that writes.
    ///
    /// # Panics
    /// If the body becomes longer than declared.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), E> {
        let length = u32::try_from(bytes.len()).ok();
        let left = length.and_then(|length| self.left.checked_sub(length));
        self.left = left.expect("a body as long as declared");
        self.tagger.hash.update(bytes);
        (self.write)(bytes)
    }

    /// Sends the tag.
    ///
    /// # Errors
    /// Those of the closure that writes.
    ///
    /// # Panics
    /// If the body is shorter than declared.
    pub fn finish(mut self) -> Result<(), E> {
        assert_eq!(self.left, 0, "a body as long as declared");
        (self.write)(&self.tagger.finish())
    }
}

/// A frame on its way in. What it gave is authentic once [`Self::finish`] says so.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct FrameReader<'k, R> {
    header: Header,
    tagger: Tagger<'k>,
    left: u32,
    read: R,
}

impl<'k, R, E> FrameReader<'k, R>
where
    R: FnMut(&mut [u8]) -> Result<(), E>,
    E: From<Error>,
{
    fn open(key: &'k TransportKey, limit: u64, mut read: R) -> Result<Self, E> {
        let mut bytes = [0; Header::BYTES];
        read(&mut bytes)?;
        let header = Header::parse(&bytes)?;
        if u64::from(header.length) > limit {
            return Err(Error::Malformed("a frame that is too long").into());
        }
        Ok(Self { header, tagger: Tagger::new(key, &bytes), left: header.length, read })
    }

    /// The header, not yet authenticated.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the body that are still to be taken.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Refuses a frame that is not of this kind or whose body has another length.
    pub(crate) fn expect(&self, kind: Kind, length: u64) -> Result<(), Error> {
        if self.header.kind != kind {
            return Err(Error::Malformed("a frame of another kind"));
        }
        if u64::from(self.header.length) != length {
            return Err(Error::Malformed("a body of the wrong length"));
        }
        Ok(())
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the body has less.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<(), E> {
        let length = u32::try_from(bytes.len()).ok();
        let left = length.and_then(|length| self.left.checked_sub(length));
        self.left = left.ok_or(Error::Malformed("a body that is too short"))?;
        (self.read)(bytes)?;
        self.tagger.hash.update(bytes);
        Ok(())
    }

    /// Takes the next `N` bytes of the body.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], E> {
        let mut bytes = [0; N];
        self.take(&mut bytes)?;
        Ok(bytes)
    }

    /// Checks the tag.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the body was not taken whole, or if the frame is not
    /// what was sent.
    pub fn finish(mut self) -> Result<(), E> {
        if self.left != 0 {
            return Err(Error::Malformed("a body of the wrong length").into());
        }
        let mut found = [0; Header::TAG];
        (self.read)(&mut found)?;
        let expected = self.tagger.finish();
        // Hidden from compilers, which stop at the first difference otherwise.
        let differing = |all, (a, b): (&u8, &u8)| black_box(all | (a ^ b));
        let difference = expected.iter().zip(&found).fold(0, differing);
        if difference == 0 {
            return Ok(());
        }
        Err(Error::Malformed("a frame that was altered, or a wrong key").into())
    }
}
