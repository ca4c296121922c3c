//! What is examined: every routine of the device and of the key authority that touches secrets, and some
//! that leak, to see that they are found.

mod authority;
mod controls;
mod device;
mod slots;

/// Bytes of secrets that a routine is prepared from.
pub(crate) const SECRET: usize = 1 << 15;

/// Makes what is to be run from secret bytes.
pub(crate) type Prepare = fn(&[u8]) -> Box<dyn FnMut()>;

/// Something to examine.
pub(crate) struct Routine {
    /// Its name.
    pub name: &'static str,
    /// Whether it is there to be found.
    pub leaks: bool,
    /// How often what it finds out, and may tell, decides a jump.
    pub excepted: usize,
    /// Makes it.
    pub prepare: Prepare,
}

/// All of them.
pub(crate) const ROUTINES: &[Routine] = &[
    leaky("control: a branch", controls::branch),
    leaky("control: an address", controls::address),
    leaky("control: a remainder of two words", controls::remainder),
    constant("secret, uniform", device::uniform_secret),
    constant("secret, residues", device::residues),
    constant("errors", device::errors),
    constant("message seeds", device::message_seeds),
    constant("edge key", device::edge_key),
    constant("edge encryption", device::edge_encryption),
    constant("edge decryption", device::edge_decryption),
    constant("embedding to integers", device::embedding),
    constant("frame out", device::frame),
    // That the tag was right and the secret ternary.
    Routine { excepted: 4, ..constant("provision in", device::provision) },
    constant("slots, encryption", slots::encryption),
    constant("slots, public encryption", slots::public_encryption),
    constant("slots, public key", slots::public_key),
    constant("slots, decryption", slots::decryption),
    constant("slots, decryption of two limbs", slots::decryption_of_two),
    constant("secret of a fixed weight", authority::sparse_secret),
    constant("secrets of an authority", authority::secrets),
    constant("relinearization key", authority::relinearization),
    constant("Galois key", authority::galois),
    constant("packing key", authority::pack),
    constant("key of raising, in a stream", authority::streamed_key),
    constant("public key", authority::public_key),
];

const fn constant(name: &'static str, prepare: Prepare) -> Routine {
    Routine { name, leaks: false, excepted: 0, prepare }
}

const fn leaky(name: &'static str, prepare: Prepare) -> Routine {
    Routine { leaks: true, ..constant(name, prepare) }
}

/// Number `index` of the seeds in secret bytes.
fn seed(secret: &[u8], index: usize) -> [u8; 32] {
    core::array::from_fn(|i| secret[32 * index + i])
}
