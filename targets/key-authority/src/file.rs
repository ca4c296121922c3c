//! What leaves the authority for everyone to see, and where it belongs in a folder of keys.

use core::fmt;

use he_core::keyswitch::KeyKind;

/// One public object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum File {
    /// 32 bytes that authenticate frames between device and server; they decrypt nothing.
    Transport,
    /// The public key for personal adapters.
    PublicKey,
    /// An evaluation key.
    Key(KeyKind),
    /// What vouches for all of them.
    Report,
}

impl File {
    /// The object as two numbers, for registers.
    #[must_use]
    pub const fn numbers(self) -> (u32, u32) {
        match self {
            Self::Key(kind) => kind.numbers(),
            Self::Transport => (16, 0),
            Self::PublicKey => (17, 0),
            Self::Report => (18, 0),
        }
    }

    /// The object with these numbers, if there is one.
    #[must_use]
    pub fn from_numbers(kind: u32, number: u32) -> Option<Self> {
        match (kind, number) {
            (16, 0) => Some(Self::Transport),
            (17, 0) => Some(Self::PublicKey),
            (18, 0) => Some(Self::Report),
            _ => KeyKind::from_numbers(kind, number).map(Self::Key),
        }
    }
}

/// The path below a folder of keys, as `host-runner` names it.
impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport => f.write_str("server/transport.key"),
            Self::PublicKey => f.write_str("owner/public.key"),
            Self::Report => f.write_str("owner/attestation.report"),
            Self::Key(KeyKind::Relinearization) => f.write_str("server/relinearization.key"),
            Self::Key(KeyKind::Galois(galois)) => write!(f, "server/galois-{galois}.key"),
            Self::Key(KeyKind::Raise) => f.write_str("server/raise.key"),
            Self::Key(KeyKind::Pack(part)) => write!(f, "server/pack-{part}.key"),
            Self::Key(KeyKind::Down) => f.write_str("server/down.key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_their_numbers_are_the_same_thing() {
        for kind in 0..20 {
            for number in 0..3 {
                let Some(file) = File::from_numbers(kind, number) else { continue };
                assert_eq!(file.numbers(), (kind, number));
            }
        }
        assert_eq!(File::from_numbers(16, 1), None);
        assert_eq!(File::from_numbers(6, 0), None);
    }
}
