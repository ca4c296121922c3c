//! What the key authority gives a device, once, over a link that both trust.
//!
//! | bytes | field |
//! |---|---|
//! | 32 | transport key |
//! | 32 | seed that message seeds are derived from |
//! | n/4 | the edge secret, two bits a coefficient |

use zeroize::Zeroize;

use super::{FrameReader, Kind, Link, TransportKey};
use crate::Error;
use crate::sample::{SecretSeed, Ternary};

/// The secrets of a device. `B` is what holds the edge secret.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Provision<B: AsRef<[u8]> + AsMut<[u8]>> {
    /// What frames to and from the server are authenticated with.
    pub transport: TransportKey,
    /// What the seeds of messages are derived from.
    pub messages: SecretSeed,
    /// The edge secret.
    pub secret: Ternary<B>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Provision<B> {
    /// Bytes of the body for a degree.
    #[must_use]
    pub const fn length(degree: usize) -> u64 {
        2 * SecretSeed::BYTES as u64 + degree as u64 / 4
    }

    /// Copies the secrets to where a caller in another language keeps them.
    ///
    /// # Panics
    /// If `secret` is not as long as the packed edge secret.
    pub fn copy_to(&self, transport: &mut [u8; 32], messages: &mut [u8; 32], secret: &mut [u8]) {
        transport.copy_from_slice(self.transport.0.bytes());
        messages.copy_from_slice(self.messages.bytes());
        secret.copy_from_slice(self.secret.packed());
    }

    /// Sends the secrets.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If they do not fit a frame.
    pub fn write<W, E>(&self, link: &mut Link<'_>, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let length = Self::length(self.secret.degree());
        let length = u32::try_from(length).expect("a secret that fits a frame");
        let mut frame = link.writer(Kind::Provision, length, write)?;
        frame.put(self.transport.0.bytes())?;
        frame.put(self.messages.bytes())?;
        frame.put(self.secret.packed())?;
        frame.finish()
    }

    /// Reads the secrets; `bytes` is as long as the packed edge secret, whose place it becomes.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not such a frame or the secret not
    /// ternary. What was read is erased then.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>, mut bytes: B) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        frame.expect(Kind::Provision, Self::length(4 * bytes.as_ref().len()))?;
        let transport = TransportKey(take_seed(&mut frame)?);
        let messages = take_seed(&mut frame)?;
        let taken = frame.take(bytes.as_mut());
        // From here on the bytes are erased whatever happens.
        let secret = Ternary::from_packed(bytes)?;
        taken?;
        frame.finish()?;
        Ok(Self { transport, messages, secret })
    }
}

fn take_seed<R, E>(frame: &mut FrameReader<'_, R>) -> Result<SecretSeed, E>
where
    R: FnMut(&mut [u8]) -> Result<(), E>,
    E: From<Error>,
{
    let mut bytes = frame.take_array()?;
    let seed = SecretSeed::new(bytes);
    bytes.zeroize();
    Ok(seed)
}
