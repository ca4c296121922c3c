//! Rings that belong together, checked for security, and presets for each degree.

use super::{SlotRing, SlotTable};
use crate::Error;
use crate::params::{Instance, SecretKind, hash};

/// The rings of one parameter set: a degree and one to sixteen primes, the base first.
///
/// A prime more, the `special` one, is not for ciphertexts but for a server's key switching; it counts
/// for security, because keys are encrypted modulo all primes together.
#[derive(Clone, Copy, Debug)]
pub struct SlotParams<'a> {
    rings: &'a [SlotRing<'a>],
    special: Option<u32>,
}

/// One prime of 26 bits: no product, no key switching.
pub const SLOTS_1024: SlotParams<'static> = SlotParams { rings: &RINGS_1024, special: None };

/// Primes of 27 and 26 bits: one product, no key switching.
pub const SLOTS_2048: SlotParams<'static> = SlotParams { rings: &RINGS_2048, special: None };

/// Primes of 27, 26 and 26 bits, and 27 for key switching: two products.
pub const SLOTS_4096: SlotParams<'static> =
    SlotParams { rings: &RINGS_4096, special: Some(134_111_233) };

/// A prime of 28 and six of 26 bits, and 28 for key switching: six products.
pub const SLOTS_8192: SlotParams<'static> =
    SlotParams { rings: &RINGS_8192, special: Some(268_271_617) };

/// A prime of 28 and fourteen of 26 bits, and 28 for key switching: fourteen products.
pub const SLOTS_16384: SlotParams<'static> =
    SlotParams { rings: &RINGS_16384, special: Some(268_271_617) };

impl<'a> SlotParams<'a> {
    /// Rings of one degree and of different primes, and the prime that a server switches keys with.
    ///
    /// # Errors
    /// If they are not that, or all primes together are more than
    /// [`max_log_qp`](crate::params::max_log_qp) allows for a uniform ternary secret.
    pub fn new(rings: &'a [SlotRing<'a>], special: Option<u32>) -> Result<Self, Error> {
        let degree = rings.first().map_or(0, SlotRing::degree);
        let primes = || rings.iter().map(|ring| ring.modulus().value()).chain(special);
        if degree == 0 || rings.iter().any(|ring| ring.degree() != degree) {
            return Err(Error::InvalidParameters("rings of different degrees, or none"));
        }
        if primes().enumerate().any(|(i, q)| primes().take(i).any(|other| other == q)) {
            return Err(Error::InvalidParameters("a prime occurs twice"));
        }
        let log_qp = primes().map(|q| libm::log2(f64::from(q))).sum();
        let instance = Instance {
            name: "slots",
            log_degree: degree.trailing_zeros(),
            secret: SecretKind::Dense,
            log_qp,
        };
        if !instance.is_secure() {
            return Err(Error::InvalidParameters("less than 128 bits of security"));
        }
        Ok(Self { rings, special })
    }

    /// The same for ciphertexts modulo the first `limbs` primes only, or all if there are fewer.
    #[must_use]
    pub fn truncated(self, limbs: usize) -> Self {
        Self { rings: &self.rings[..limbs.clamp(1, self.rings.len())], ..self }
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.rings[0].degree()
    }

    /// `N/2`.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.degree() / 2
    }

    /// The ring of each prime of a ciphertext.
    #[must_use]
    pub const fn rings(&self) -> &'a [SlotRing<'a>] {
        self.rings
    }

    /// The prime for key switching.
    #[must_use]
    pub const fn special(&self) -> Option<u32> {
        self.special
    }

    /// Identifies the parameters in frames: a hash of the degree, the prime for key switching or 0, and the
    /// primes, of eight bytes each (FNV-1a, 64 bits).
    #[must_use]
    pub fn digest(&self) -> u64 {
        let primes = self.rings.iter().map(|ring| u64::from(ring.modulus().value()));
        let (degree, special) = (self.degree() as u64, u64::from(self.special.unwrap_or(0)));
        hash([degree, special].into_iter().chain(primes))
    }

    /// Rings without any security.
    #[cfg(test)]
    pub(crate) const fn insecure(rings: &'a [SlotRing<'a>]) -> Self {
        Self { rings, special: None }
    }
}

/// The tables of primes with the least primitive roots of unity.
const fn tables<const R: usize, const K: usize>(
    degree: usize,
    primes: [(u32, u32); K],
) -> [SlotTable<R>; K] {
    let mut tables = [SlotTable::new(degree, primes[0].0, primes[0].1).expect("a preset"); K];
    let mut i = 1;
    while i < K {
        tables[i] = SlotTable::new(degree, primes[i].0, primes[i].1).expect("a preset");
        i += 1;
    }
    tables
}

const fn rings<const R: usize, const K: usize>(tables: &[SlotTable<R>; K]) -> [SlotRing<'_>; K] {
    let mut rings = [tables[0].ring(); K];
    let mut i = 1;
    while i < K {
        rings[i] = tables[i].ring();
        i += 1;
    }
    rings
}

static RINGS_1024: [SlotRing<'static>; 1] = rings(&TABLES_1024);
static RINGS_2048: [SlotRing<'static>; 2] = rings(&TABLES_2048);
static RINGS_4096: [SlotRing<'static>; 3] = rings(&TABLES_4096);
static RINGS_8192: [SlotRing<'static>; 7] = rings(&TABLES_8192);
static RINGS_16384: [SlotRing<'static>; 15] = rings(&TABLES_16384);

static TABLES_1024: [SlotTable<64>; 1] = tables(1024, [(67_104_769, 195_478)]);
static TABLES_2048: [SlotTable<64>; 2] =
    tables(2048, [(134_176_769, 100_530), (67_104_769, 20_150)]);
static TABLES_4096: [SlotTable<64>; 3] =
    tables(4096, [(134_176_769, 24_149), (67_084_289, 78_068), (67_043_329, 21_389)]);
static TABLES_8192: [SlotTable<128>; 7] = tables(
    8192,
    [
        (268_369_921, 65_274),
        (67_043_329, 4_721),
        (66_994_177, 10_197),
        (66_961_409, 9_350),
        (66_813_953, 14_563),
        (66_551_809, 4_908),
        (66_420_737, 1_590),
    ],
);
static TABLES_16384: [SlotTable<256>; 15] = tables(
    16384,
    [
        (268_369_921, 10_360),
        (67_043_329, 6_695),
        (66_813_953, 1_502),
        (66_551_809, 386),
        (66_420_737, 7_284),
        (65_929_217, 2_026),
        (65_241_089, 1_563),
        (65_077_249, 12_358),
        (65_044_481, 5_808),
        (64_946_177, 710),
        (64_749_569, 930),
        (64_684_033, 225),
        (64_258_049, 1_837),
        (63_897_601, 286),
        (63_799_297, 17_008),
    ],
);
