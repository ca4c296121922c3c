//! What vouches for keys: which program made them, which keys they are, and when they were asked for.
//!
//! | bytes of a report | field |
//! |---|---|
//! | 4 | `HEAR` |
//! | 4 | version, 1 |
//! | 40 | what the evidence rests on, in words, zeros after them |
//! | 8 | digest of the parameter set |
//! | 32 | SHA-256 of the program |
//! | 32 | SHA-256 of the keys, see [`crate::session`] |
//! | 32 | the number used once of the order |
//! | 32 | evidence for all bytes before |

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a report.
pub const REPORT: usize = STATEMENT + 32;

const STATEMENT: usize = 8 + LABEL + 8 + 3 * 32;
const LABEL: usize = 40;

/// What is vouched for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claims {
    /// Digest of the parameter set.
    pub parameters: u64,
    /// SHA-256 of the program.
    pub measurement: [u8; 32],
    /// SHA-256 of the keys.
    pub keys: [u8; 32],
    /// The number used once of the order.
    pub nonce: [u8; 32],
}

/// A root of trust that gives evidence, and tells whether evidence is its own.
pub trait Attest {
    /// What the evidence rests on, in at most 40 bytes.
    const LABEL: &'static str;

    /// Evidence for a statement.
    fn evidence(&self, statement: &[u8]) -> [u8; 32];

    /// Whether this is the root's evidence for the statement.
    fn is_evidence(&self, statement: &[u8], evidence: &[u8; 32]) -> bool;
}

/// A key in the image: whoever has the image can forge its evidence. It stands where a processor's
/// report would.
#[derive(Clone, Copy, Debug)]
pub struct SoftwareRoot;

/// Everyone knows it.
const SOFTWARE_KEY: &[u8] = b"a key that is in every copy of the image";

impl SoftwareRoot {
    fn mac(statement: &[u8]) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(SOFTWARE_KEY).ok()?;
        Some(mac.chain_update(statement))
    }
}

impl Attest for SoftwareRoot {
    const LABEL: &'static str = "SOFTWARE ROOT, no hardware evidence";

    fn evidence(&self, statement: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length.
        Self::mac(statement).map_or([0; 32], |mac| mac.finalize().into_bytes().into())
    }

    fn is_evidence(&self, statement: &[u8], evidence: &[u8; 32]) -> bool {
        Self::mac(statement).is_some_and(|mac| mac.verify_slice(evidence).is_ok())
    }
}

/// A report of `claims`.
#[must_use]
pub fn report<A: Attest>(root: &A, claims: &Claims) -> [u8; REPORT] {
    let mut report = [0; REPORT];
    let (statement, evidence) = report.split_at_mut(STATEMENT);
    statement.copy_from_slice(&self::statement::<A>(claims));
    evidence.copy_from_slice(&root.evidence(statement));
    report
}

/// Whether `report` is what the root says of `claims`.
#[must_use]
pub fn vouches<A: Attest>(root: &A, claims: &Claims, report: &[u8; REPORT]) -> bool {
    let evidence = core::array::from_fn(|i| report[STATEMENT + i]);
    report[..STATEMENT] == statement::<A>(claims)
        && root.is_evidence(&report[..STATEMENT], &evidence)
}

fn statement<A: Attest>(claims: &Claims) -> [u8; STATEMENT] {
    let mut label = [0; LABEL];
    label.iter_mut().zip(A::LABEL.bytes()).for_each(|(place, byte)| *place = byte);
    let parameters = claims.parameters.to_le_bytes();
    let fields: [&[u8]; 7] = [
        b"HEAR",
        &[1, 0, 0, 0],
        &label,
        &parameters,
        &claims.measurement,
        &claims.keys,
        &claims.nonce,
    ];
    let mut statement = [0; STATEMENT];
    let bytes = fields.into_iter().flatten();
    statement.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root that is another one.
    struct Other;

    impl Attest for Other {
        const LABEL: &'static str = SoftwareRoot::LABEL;

        fn evidence(&self, statement: &[u8]) -> [u8; 32] {
            SoftwareRoot.evidence(&[statement, b"."].concat())
        }

        fn is_evidence(&self, statement: &[u8], evidence: &[u8; 32]) -> bool {
            self.evidence(statement) == *evidence
        }
    }

    const CLAIMS: Claims =
        Claims { parameters: 5, measurement: [1; 32], keys: [2; 32], nonce: [3; 32] };

    #[test]
    fn a_report_vouches_for_its_claims_and_for_no_others() {
        let report = report(&SoftwareRoot, &CLAIMS);
        assert!(vouches(&SoftwareRoot, &CLAIMS, &report));
        for other in [
            Claims { parameters: 6, ..CLAIMS },
            Claims { measurement: [9; 32], ..CLAIMS },
            Claims { keys: [9; 32], ..CLAIMS },
            Claims { nonce: [9; 32], ..CLAIMS },
        ] {
            assert!(!vouches(&SoftwareRoot, &other, &report));
        }
        for place in 0..REPORT {
            let mut altered = report;
            altered[place] ^= 1;
            assert!(!vouches(&SoftwareRoot, &CLAIMS, &altered), "byte {place}");
        }
    }

    #[test]
    fn a_report_says_in_words_what_it_rests_on() {
        let report = report(&SoftwareRoot, &CLAIMS);
        assert!(report[8..].starts_with(b"SOFTWARE ROOT, no hardware evidence\0"));
    }

    #[test]
    fn evidence_of_another_root_is_none() {
        assert!(vouches(&Other, &CLAIMS, &report(&Other, &CLAIMS)));
        assert!(!vouches(&SoftwareRoot, &CLAIMS, &report(&Other, &CLAIMS)));
    }
}
