//! Primes below `2^31` that suit the number-theoretic transform, and its roots of unity.

use crate::modulus::Modulus;

/// Every prime of a chain is 1 modulo this power of two, so every ring up to degree `2^16`
/// transforms modulo each of them.
pub const LOG_STEP: u32 = 17;

/// Whether `n` is prime, by the strong test to the bases 2, 7 and 61, which no composite below
/// `2^32` passes (Jaeschke, *On strong pseudoprimes to several bases*, 1993).
#[must_use]
pub const fn is_prime(n: u32) -> bool {
    if n < 2 || n.is_multiple_of(2) {
        return n == 2;
    }
    let twos = (n - 1).trailing_zeros();
    let bases = [2, 7, 61];
    let mut i = 0;
    while i < bases.len() {
        let base = bases[i] % n;
        if base != 0 && !is_strong_probable_prime(n, base, twos) {
            return false;
        }
        i += 1;
    }
    true
}

/// The primes below `limit` that are 1 modulo `2^log_step`, in descending order.
pub fn ntt_primes_below(limit: u32, log_step: u32) -> impl Iterator<Item = u32> {
    let step = 1_u32.checked_shl(log_step).unwrap_or(0);
    // The largest number below the limit that is 1 modulo the step.
    let first = (limit >= 2 && step > 1).then(|| (limit - 2) / step * step + 1);
    core::iter::successors(first, move |&p| p.checked_sub(step)).filter(|&p| is_prime(p))
}

/// The least primitive `2·degree`-th root of unity modulo a prime, or `None` if there is none
/// because `degree` is not a power of two or the prime is not 1 modulo `2·degree`.
#[must_use]
pub fn primitive_root_2n(modulus: Modulus, degree: u32) -> Option<u32> {
    let order = degree.checked_mul(2)?;
    let minus_one = modulus.value() - 1;
    if !degree.is_power_of_two() || !minus_one.is_multiple_of(order) {
        return None;
    }
    let cofactor = minus_one / order;
    let root = (2..modulus.value())
        .map(|x| modulus.pow_vartime(x, cofactor))
        .find(|&root| modulus.pow_vartime(root, degree) == minus_one)?;
    // All the primitive roots are the odd powers of one.
    let square = modulus.mul(root, root);
    core::iter::successors(Some(root), |&power| Some(modulus.mul(power, square)))
        .take(usize::try_from(degree).ok()?)
        .min()
}

const fn is_strong_probable_prime(n: u32, base: u32, twos: u32) -> bool {
    let mut x = pow(base, (n - 1) >> twos, n);
    if x == 1 || x == n - 1 {
        return true;
    }
    let mut squarings = 1;
    while squarings < twos {
        x = mul(x, x, n);
        if x == n - 1 {
            return true;
        }
        squarings += 1;
    }
    false
}

const fn pow(base: u32, mut exponent: u32, n: u32) -> u32 {
    let (mut power, mut product) = (base % n, 1);
    while exponent > 0 {
        if exponent % 2 == 1 {
            product = mul(product, power, n);
        }
        power = mul(power, power, n);
        exponent /= 2;
    }
    product
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder modulo a 32-bit number")]
const fn mul(a: u32, b: u32, n: u32) -> u32 {
    (a as u64 * b as u64 % n as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_no_divisor(n: u32) -> bool {
        n >= 2 && (2..).take_while(|d| *d <= n / d).all(|d| !n.is_multiple_of(d))
    }

    #[test]
    fn primality_agrees_with_trial_division() {
        // Small numbers, the neighbourhood of a power of two, and strong pseudoprimes to 2 and 7.
        let edges = [2047, 3_215_031_751, 314_821, 25_326_001, u32::MAX, u32::MAX - 4];
        for n in (0..5000).chain((1 << 31) - 300..(1 << 31) + 300).chain(edges) {
            assert_eq!(is_prime(n), has_no_divisor(n), "{n}");
        }
    }

    #[test]
    fn ntt_primes_are_all_of_them_and_descend() {
        let found = ntt_primes_below(1 << 20, 10);
        let expected = (1..=1023).rev().map(|k| k * 1024 + 1).filter(|&n| has_no_divisor(n));
        assert!(found.eq(expected));
        // The limit itself is out.
        assert!(ntt_primes_below(7681, 9).all(|p| p < 7681));
        assert_eq!(ntt_primes_below(7682, 9).next(), Some(7681));
        assert_eq!(ntt_primes_below(1, 17).next(), None);
    }

    #[test]
    fn roots_are_primitive_and_least() {
        for (q, degree) in [(257, 128), (257, 8), (7681, 256), (12289, 1), (0x1fc_0001, 1 << 10)] {
            let modulus = Modulus::new(q).unwrap();
            let is_primitive = |x| modulus.pow_vartime(x, degree) == q - 1;
            let least = (1..q).find(|&x| is_primitive(x));
            assert_eq!(primitive_root_2n(modulus, degree), least, "{degree} modulo {q}");
        }
        assert_eq!(primitive_root_2n(Modulus::new(257).unwrap(), 256), None);
        assert_eq!(primitive_root_2n(Modulus::new(257).unwrap(), 3), None);
    }
}
