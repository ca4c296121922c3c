//! Routines of a key authority and of owners, at an INSECURE degree to be quick: they are the same code
//! at every degree.

use core::convert::Infallible;
use core::hint::black_box;

use he_core::Error;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::keyswitch::{KeyAuthority, KeyKind, KeySpec, Secret};
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Link, TransportKey};
use rand_core::{TryCryptoRng, TryRng};

use super::seed;

const LOG_DEGREE: u32 = 8;

/// Gives out seeds in the order in which they are asked for: secret ones where `is_secret` says so, else
/// public ones.
struct Seeds {
    secret: Vec<u8>,
    is_secret: &'static [bool],
    drawn: usize,
}

impl TryRng for Seeds {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        if self.is_secret[self.drawn % self.is_secret.len()] {
            bytes.copy_from_slice(&self.secret[64 * self.drawn..][..bytes.len()]);
        } else {
            bytes.fill(self.drawn.to_le_bytes()[0]);
        }
        self.drawn += 1;
        Ok(())
    }
}

impl TryCryptoRng for Seeds {}

impl Seeds {
    fn new(secret: &[u8], is_secret: &'static [bool]) -> Self {
        Self { secret: secret.to_vec(), is_secret, drawn: 0 }
    }
}

struct Setting {
    params: Params,
    ring: Ring,
    authority: KeyAuthority,
}

impl Setting {
    fn new(secret: &[u8]) -> Self {
        let params = Params::insecure_small(LOG_DEGREE, 6, 2).expect("a small set");
        let ring = Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).expect("its ring");
        let authority = KeyAuthority::generate(&params, &mut Seeds::new(secret, &[true]))
            .expect("a weight below the degree");
        Self { params, ring, authority }
    }
}

fn secret_of_weight(secret: &[u8], weight: usize) -> Secret {
    Ternary::with_weight(&SecretSeed::new(seed(secret, 0)), 0, weight, vec![0; 1024])
        .expect("a weight below the degree")
}

pub(crate) fn sparse_secret(secret: &[u8]) -> Box<dyn FnMut()> {
    let secret = secret.to_vec();
    Box::new(move || {
        black_box(secret_of_weight(&secret, 32).packed());
    })
}

pub(crate) fn secrets(secret: &[u8]) -> Box<dyn FnMut()> {
    let (secret, params) = (secret.to_vec(), Setting::new(secret).params);
    Box::new(move || {
        let authority = KeyAuthority::generate(&params, &mut Seeds::new(&secret, &[true]));
        black_box(authority.is_ok());
    })
}

pub(crate) fn relinearization(secret: &[u8]) -> Box<dyn FnMut()> {
    key(secret, KeySpec { kind: KeyKind::Relinearization, level: 2 })
}

pub(crate) fn galois(secret: &[u8]) -> Box<dyn FnMut()> {
    key(secret, KeySpec { kind: KeyKind::Galois(5), level: 2 })
}

pub(crate) fn pack(secret: &[u8]) -> Box<dyn FnMut()> {
    key(secret, KeySpec { kind: KeyKind::Pack(1), level: 0 })
}

/// A key is made from a public seed and then a secret one.
fn key(secret: &[u8], spec: KeySpec) -> Box<dyn FnMut()> {
    let (setting, secret) = (Setting::new(secret), secret.to_vec());
    Box::new(move || {
        let Setting { params, ring, authority } = &setting;
        let key = authority.key(ring, params, spec, &mut Seeds::new(&secret, &[false, true]));
        black_box(key.is_ok());
    })
}

/// As [`key`], limb by limb into a frame.
pub(crate) fn streamed_key(secret: &[u8]) -> Box<dyn FnMut()> {
    let (setting, secret) = (Setting::new(secret), secret.to_vec());
    let spec = KeySpec { kind: KeyKind::Raise, level: 2 };
    Box::new(move || {
        let (checksum, mut seeds) = (TransportKey::checksum(), Seeds::new(&secret, &[false, true]));
        let mut link = Link::new(&checksum, setting.params.digest(), 0);
        let written = setting.authority.write_key(
            &setting.params,
            spec,
            &mut seeds,
            &mut link,
            |bytes: &[u8]| {
                black_box(bytes);
                Ok::<(), Error>(())
            },
        );
        black_box(written.is_ok());
    })
}

/// As [`key`].
pub(crate) fn public_key(secret: &[u8]) -> Box<dyn FnMut()> {
    let (setting, secret) = (Setting::new(secret), secret.to_vec());
    let encoder = Encoder::new(LOG_DEGREE);
    Box::new(move || {
        let Setting { params, ring, authority } = &setting;
        let encryptor = Encryptor { ring, params, encoder: &encoder };
        let mut seeds = Seeds::new(&secret, &[false, true]);
        black_box(encryptor.public_key(authority.big_secret(), 1, &mut seeds));
    })
}
