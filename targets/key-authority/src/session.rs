//! One order, from its secrets to its last key.
//!
//! Everything is drawn from one generator in the order of `host-runner keygen`: secrets, transport
//! key, message seed, public key, evaluation keys; so the same generator makes the same bytes.
//!
//! The digest of the keys in a report is SHA-256 of, for the public key and each evaluation key in turn,
//! its two [numbers](File::numbers), the length of its file as eight bytes, and the file.

use alloc::vec::Vec;

use he_core::keyswitch::{KeyAuthority, KeySpec};
use he_core::modulus::Modulus;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Header, KeyChunk, Link, Pair, Provision, RingShape, TransportKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Error;
use crate::attest::{self, Attest, Claims, REPORT};
use crate::file::File;
use crate::order::Order;

/// Where public objects go, one after another.
pub trait Outlet {
    /// The next object is `file`, of so many bytes.
    ///
    /// # Errors
    /// If the session is to end.
    fn begin(&mut self, file: File, bytes: u64) -> Result<(), Error>;

    /// The next bytes of it.
    ///
    /// # Errors
    /// If the session is to end.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// An order under way, with its secrets; they are erased when it is dropped.
#[expect(missing_debug_implementations, reason = "secrets are not printed")]
pub struct Session<R> {
    order: Order,
    authority: KeyAuthority,
    transport: Zeroizing<[u8; 32]>,
    device: Provision<Vec<u8>>,
    rng: R,
}

impl<R: CryptoRng> Session<R> {
    /// Makes the secrets.
    ///
    /// # Errors
    /// None: the parameters of an order have a sparse secret that fits.
    pub fn new(order: Order, mut rng: R) -> Result<Self, Error> {
        let authority = KeyAuthority::generate(order.params(), &mut rng)?;
        let mut transport = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *transport);
        let device = Provision {
            messages: SecretSeed::random(&mut rng),
            transport: TransportKey::new(SecretSeed::new(*transport)),
            secret: Ternary::from_packed(authority.edge_secret().packed().to_vec())?,
        };
        Ok(Self { order, authority, transport, device, rng })
    }

    /// What was ordered.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Sends the device its secrets, in one frame, over the device's own link.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn provision(&self, write: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, self.order.params().digest(), 0);
        self.device.write(&mut link, write)
    }

    /// Makes and sends everything public; last a report in which `root` vouches for it.
    ///
    /// # Errors
    /// Those of `outlet`.
    pub fn publish(
        &mut self,
        outlet: &mut impl Outlet,
        root: &impl Attest,
        measurement: [u8; 32],
    ) -> Result<(), Error> {
        outlet.begin(File::Transport, 32)?;
        outlet.put(&*self.transport)?;
        let keys = self.publish_keys(outlet)?;
        let params = self.order.params();
        let nonce = *self.order.nonce();
        let claims = Claims { parameters: params.digest(), measurement, keys, nonce };
        outlet.begin(File::Report, REPORT as u64)?;
        outlet.put(&attest::report(root, &claims))
    }

    /// Makes and sends the keys; returns their digest.
    fn publish_keys(&mut self, outlet: &mut impl Outlet) -> Result<[u8; 32], Error> {
        let Self { order, authority, rng, .. } = self;
        let params = order.params();
        let checksum = TransportKey::checksum();
        let link = || Link::new(&checksum, params.digest(), 0);
        let mut hash = Sha256::new();
        let level = order.public_level();
        let bytes = order.public_key_bytes();
        announce(&mut hash, File::PublicKey, bytes);
        outlet.begin(File::PublicKey, bytes)?;
        authority.write_public_key(params, level, rng, &mut link(), |piece| {
            hash.update(piece);
            outlet.put(piece)
        })?;
        for &spec in order.specs() {
            let (file, bytes) = (File::Key(spec.kind), order.key_bytes(&spec));
            announce(&mut hash, file, bytes);
            outlet.begin(file, bytes)?;
            authority.write_key(params, spec, rng, &mut link(), |piece| {
                hash.update(piece);
                outlet.put(piece)
            })?;
        }
        Ok(hash.finalize().into())
    }
}

/// Takes up in the digest which object follows.
fn announce(hash: &mut Sha256, file: File, bytes: u64) {
    let (kind, number) = file.numbers();
    hash.update([kind, number].map(u32::to_le_bytes).as_flattened());
    hash.update(bytes.to_le_bytes());
}

impl Order {
    /// Bytes of everything public.
    #[must_use]
    pub fn public_bytes(&self) -> u64 {
        let keys: u64 = self.specs().iter().map(|spec| self.key_bytes(spec)).sum();
        32 + self.public_key_bytes() + keys + REPORT as u64
    }

    fn public_key_bytes(&self) -> u64 {
        let basis = self.params().basis(self.public_level()).bits();
        self.with_shape(|shape| FRAME + Pair::length(shape, basis).unwrap_or(0))
    }

    fn key_bytes(&self, spec: &KeySpec) -> u64 {
        let basis = spec.basis(self.params()).bits();
        let frame = self.with_shape(|shape| FRAME + KeyChunk::length(shape, basis).unwrap_or(0));
        frame * spec.digits(self.params()).len() as u64
    }

    fn with_shape<T>(&self, f: impl FnOnce(&RingShape<'_>) -> T) -> T {
        let primes: Vec<_> =
            self.params().primes().iter().filter_map(|&q| Modulus::new(q)).collect();
        f(&RingShape { degree: self.params().degree(), primes: &primes })
    }
}

/// Bytes of a frame beside its body.
const FRAME: u64 = (Header::BYTES + Header::TAG) as u64;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};

    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng;
    use he_core::keyswitch::KeyKind;
    use he_core::params::Params;

    use super::*;
    use crate::attest::SoftwareRoot;
    use crate::order;

    /// Every file whole, or the end after so many bytes.
    #[derive(Default)]
    struct Folder {
        files: BTreeMap<String, (u64, Vec<u8>)>,
        current: String,
        left: Option<usize>,
    }

    impl Outlet for Folder {
        fn begin(&mut self, file: File, bytes: u64) -> Result<(), Error> {
            self.current = file.to_string();
            self.files.insert(self.current.clone(), (bytes, Vec::new()));
            Ok(())
        }

        fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
            if let Some(left) = &mut self.left {
                *left = left.checked_sub(bytes.len()).ok_or(Error::Ended)?;
            }
            self.files.get_mut(&self.current).unwrap().1.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn session() -> Session<ChaCha20Rng> {
        let params = Params::insecure_small(9, 6, 3).unwrap();
        let specs = [
            KeySpec { kind: KeyKind::Relinearization, level: 4 },
            KeySpec { kind: KeyKind::Pack(7), level: 0 },
            KeySpec { kind: KeyKind::Down, level: 0 },
        ];
        let bytes = order::write(&params, 6, &[9; 32], &specs);
        let order = Order::parse(&bytes, |_| Some(params.clone())).unwrap();
        Session::new(order, ChaCha20Rng::from_seed([1; 32])).unwrap()
    }

    #[test]
    fn every_file_has_the_length_that_was_announced_and_all_have_the_sum() {
        let (mut session, mut folder) = (session(), Folder::default());
        session.publish(&mut folder, &SoftwareRoot, [4; 32]).unwrap();
        assert_eq!(folder.files.len(), 6);
        let lengths = folder.files.values().map(|(announced, bytes)| {
            assert_eq!(*announced, bytes.len() as u64);
            announced
        });
        assert_eq!(lengths.sum::<u64>(), session.order.public_bytes());
    }

    #[test]
    fn the_report_vouches_for_the_files_as_they_are() {
        let (mut session, mut folder) = (session(), Folder::default());
        session.publish(&mut folder, &SoftwareRoot, [4; 32]).unwrap();
        let mut hash = Sha256::new();
        let kinds = session.order.specs().iter().map(|spec| File::Key(spec.kind));
        for file in [File::PublicKey].into_iter().chain(kinds) {
            let (kind, number) = file.numbers();
            let (length, bytes) = &folder.files[&file.to_string()];
            hash.update([kind, number].map(u32::to_le_bytes).as_flattened());
            hash.update(length.to_le_bytes());
            hash.update(bytes);
        }
        let claims = Claims {
            parameters: session.order.params().digest(),
            measurement: [4; 32],
            keys: hash.finalize().into(),
            nonce: [9; 32],
        };
        let report = folder.files[&File::Report.to_string()].1.as_slice().try_into().unwrap();
        assert!(attest::vouches(&SoftwareRoot, &claims, report));
    }

    #[test]
    fn an_outlet_that_ends_ends_the_session_wherever_it_is() {
        let mut whole = Folder::default();
        session().publish(&mut whole, &SoftwareRoot, [4; 32]).unwrap();
        let bytes: usize = whole.files.values().map(|(_, bytes)| bytes.len()).sum();
        for left in (0..bytes).step_by(9973) {
            let mut folder = Folder { left: Some(left), ..Folder::default() };
            let result = session().publish(&mut folder, &SoftwareRoot, [4; 32]);
            assert_eq!(result, Err(Error::Ended), "after {left} bytes");
        }
    }

    #[test]
    fn the_device_gets_its_secret_and_the_servers_transport_key() {
        let (mut session, mut folder, mut frame) = (session(), Folder::default(), Vec::new());
        session
            .provision(|bytes| {
                frame.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        session.publish(&mut folder, &SoftwareRoot, [4; 32]).unwrap();
        let body = &frame[Header::BYTES..frame.len() - Header::TAG];
        assert_eq!(body[..32], folder.files[&File::Transport.to_string()].1);
        assert_eq!(&body[64..], session.authority.edge_secret().packed());
        let secret = session.authority.edge_secret().packed();
        for (name, (_, bytes)) in &folder.files {
            assert!(bytes.windows(secret.len()).all(|window| window != secret), "{name}");
        }
    }
}
