//! A key authority on tape and a board that plays it, for tests: every run sees the same secrets.

use core::mem;
use core::sync::atomic::{AtomicU8, Ordering};

use embedded_io::{ErrorKind, ErrorType, Read};
use he_core::edge::{DEGREE, EdgeSecret};
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Link, Provision, TransportKey};
use he_firmware::machine::{Entropy, Exhausted, Memory};

/// Bytes of the secrets, and of a frame with them.
const SECRETS: usize = 64 + DEGREE / 4;
const FRAME: usize = 32 + SECRETS + 16;
/// The transport key of the vectors, which the tests' server knows.
pub const TRANSPORT: [u8; 32] = [9; 32];
/// The secret that scans look for.
pub const SCANNED: u8 = 1;

/// The number of the secret that comes next.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Provisions with the secret that was asked for.
#[derive(Debug)]
pub struct Tape {
    frame: [u8; FRAME],
    taken: usize,
    /// Called when a frame but for its tag has been read.
    listener: fn(),
}

/// Secret number `number`; number 0 is that of the vectors.
#[must_use]
pub fn secret(number: u8) -> EdgeSecret {
    let seed = match number {
        0 => [2; 32],
        SCANNED => include!("tape/secret.in"),
        _ => [20 + number; 32],
    };
    Ternary::uniform(&SecretSeed::new(seed), 0, [0; DEGREE / 4])
}

/// Chooses the secret that comes next.
pub fn choose(number: u8) {
    NEXT.store(number, Ordering::Relaxed);
}

impl Tape {
    /// A tape at its start.
    #[must_use]
    pub const fn new(listener: fn()) -> Self {
        Self { frame: [0; FRAME], taken: FRAME, listener }
    }

    /// Makes the next frame.
    fn next(&mut self) {
        let number = NEXT.load(Ordering::Relaxed);
        let messages = if number == 0 { [4; 32] } else { include!("tape/messages.in") };
        let provision = Provision {
            transport: TransportKey::new(SecretSeed::new(TRANSPORT)),
            messages: SecretSeed::new(messages),
            secret: secret(number),
        };
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, EDGE_128.digest(), 0);
        let mut rest = &mut self.frame[..];
        let write = |bytes: &[u8]| {
            let (front, back) = mem::take(&mut rest).split_at_mut(bytes.len());
            front.copy_from_slice(bytes);
            rest = back;
            Ok::<(), ErrorKind>(())
        };
        provision.write(&mut link, write).ok();
        self.taken = 0;
    }
}

impl ErrorType for Tape {
    type Error = ErrorKind;
}

impl Read for Tape {
    /// Erases what was read.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.taken == FRAME {
            self.next();
        }
        if self.taken == FRAME - 16 {
            (self.listener)();
        }
        let from = &mut self.frame[self.taken..];
        let length = bytes.len().min(from.len());
        bytes[..length].copy_from_slice(&from[..length]);
        from[..length].fill(0);
        self.taken += length;
        Ok(length)
    }
}

/// Each exchange has the same fresh bytes, and the numbers of exchanges start again with every secret, so that
/// exchanges differ by their secrets only.
#[expect(missing_debug_implementations, reason = "holds a secret")]
pub struct Board {
    /// The secrets' complement, which scans for secrets do not see: as good as sealed.
    kept: [u8; SECRETS],
    is_kept: bool,
    sequence: u64,
}

impl Board {
    /// A new board.
    #[must_use]
    pub const fn new() -> Self {
        Self { kept: [0; SECRETS], is_kept: false, sequence: 0 }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory for Board {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        if self.is_kept {
            secrets.iter_mut().zip(&self.kept).for_each(|(secret, kept)| *secret = !kept);
        }
        Ok(self.is_kept)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        self.kept.iter_mut().zip(&*secrets).for_each(|(kept, secret)| *kept = !secret);
        secrets.fill(0);
        (self.is_kept, self.sequence) = (true, first - 1);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Exhausted> {
        *self = Self::new();
        Ok(())
    }
}

impl Entropy for Board {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        Ok([4; 32])
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.sequence += 1;
        Ok(self.sequence)
    }
}
