//! The largest moduli that secrets of each kind may be used with.

/// How a secret is distributed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretKind {
    /// Each coefficient uniform in `{−1, 0, 1}`.
    Dense,
    /// Exactly `weight` coefficients `±1`, the others zero.
    Sparse {
        /// Non-zero coefficients.
        weight: usize,
    },
}

/// A ring learning-with-errors problem that a parameter set rests on; errors have a standard
/// deviation of at least 3.19.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instance {
    /// Which secret this is: `big`, `sparse` or `edge`.
    pub name: &'static str,
    /// `log2` of the degree.
    pub log_degree: u32,
    /// How the secret is distributed.
    pub secret: SecretKind,
    /// `log2` of the largest modulus in use, special primes included.
    pub log_qp: f64,
}

impl Instance {
    pub(super) const fn new(
        name: &'static str,
        log_degree: u32,
        secret: SecretKind,
        log_qp: f64,
    ) -> Self {
        Self { name, log_degree, secret, log_qp }
    }

    /// Whether the modulus is within [`max_log_qp`].
    #[must_use]
    pub fn is_secure(&self) -> bool {
        max_log_qp(self.log_degree, self.secret).is_some_and(|cap| self.log_qp <= f64::from(cap))
    }
}

/// The largest `log2(QP)` of 128 bits of classical security, or `None` where there is none.
///
/// Dense secrets: Bossuat et al., *Security Guidelines for Implementing Homomorphic Encryption*
/// (<https://eprint.iacr.org/2024/463>), table 5.2, uniform ternary. The guidelines leave out
/// sparse secrets, so these are allowed only at the one size for which `security/evidence.json`
/// holds an estimate of hybrid attacks: weight 32 or more, a degree of `2^15` or more, 121 bits.
#[must_use]
pub const fn max_log_qp(log_degree: u32, secret: SecretKind) -> Option<u32> {
    match (secret, log_degree) {
        (SecretKind::Dense, 10) => Some(26),
        (SecretKind::Dense, 11) => Some(53),
        (SecretKind::Dense, 12) => Some(106),
        (SecretKind::Dense, 13) => Some(214),
        (SecretKind::Dense, 14) => Some(430),
        (SecretKind::Dense, 15) => Some(868),
        (SecretKind::Dense, 16) => Some(1747),
        (SecretKind::Sparse { weight }, 15 | 16) if weight >= 32 => Some(121),
        _ => None,
    }
}
