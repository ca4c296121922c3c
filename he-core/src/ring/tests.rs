//! Laws of the ring against big integers: a coefficient is one integer modulo all the primes.

use alloc::vec;
use alloc::vec::Vec;

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::primes::ntt_primes_below;

const LOG_DEGREE: u32 = 4;
const DEGREE: usize = 1 << LOG_DEGREE;

/// As many primes of each width as a chain has: of 25, of 30 and of 31 bits.
fn ring() -> Ring {
    let widths = [(25, 4), (30, 37), (31, 14)];
    let primes = widths.map(|(bits, count)| ntt_primes_below(1 << bits, 17).take(count));
    let primes: Vec<u32> = primes.into_iter().flatten().collect();
    Ring::new(LOG_DEGREE, &primes, &Portable, &Serial).unwrap()
}

fn product(ring: &Ring, basis: Basis) -> BigInt {
    basis.iter().map(|i| BigInt::from(ring.primes()[i])).product()
}

/// The remainder of `x` modulo an odd `q` in `(−q/2, q/2)`.
fn centred(x: &BigInt, q: &BigInt) -> BigInt {
    let r = ((x % q) + q) % q;
    if &r * 2 > *q { r - q } else { r }
}

/// `x / q` rounded to the nearest integer, `q` odd or `x` not halfway.
fn divide(x: &BigInt, q: &BigInt) -> BigInt {
    let remainder = ((x % q) + q) % q;
    let floor = (x - &remainder) / q;
    if remainder * 2 > *q { floor + 1 } else { floor }
}

fn residue(x: &BigInt, q: u32) -> u32 {
    let q = BigInt::from(q);
    u32::try_from(((x % &q) + &q) % &q).unwrap()
}

/// The polynomial with the given coefficients, in coefficient form.
fn poly(ring: &Ring, basis: Basis, coefficients: &[BigInt]) -> Poly {
    let limb = |i| coefficients.iter().map(move |x| residue(x, ring.primes()[i]));
    Poly::from_words(ring, basis, basis.iter().flat_map(limb).collect())
}

/// The coefficients in `(−Q/2, Q/2)` of a polynomial in coefficient form.
fn coefficients(ring: &Ring, poly: &Poly) -> Vec<BigInt> {
    let q = product(ring, poly.basis());
    let unit = |i: usize| {
        let (p, rest) = (ring.primes()[i], product(ring, poly.basis()) / ring.primes()[i]);
        let inverse = ring.modulus(i).inverse(residue(&rest, p));
        rest * inverse
    };
    let units: Vec<BigInt> = poly.basis().iter().map(unit).collect();
    let sum = |k| {
        let terms = units.iter().enumerate().map(|(rank, unit)| unit * poly.limb(rank)[k]);
        terms.sum::<BigInt>()
    };
    (0..ring.degree()).map(|k| centred(&sum(k), &q)).collect()
}

/// A random subset of the primes of [`ring`].
fn basis() -> impl Strategy<Value = Basis> {
    (1_u64..1 << 55).prop_map(Basis::from_bits)
}

/// Coefficients that are random modulo everything, with the edges 0, 1 and −1.
fn integers() -> impl Strategy<Value = Vec<BigInt>> {
    let wide = proptest::collection::vec(any::<u32>(), 52)
        .prop_map(|words| BigInt::from_slice(num_bigint::Sign::Minus, &words));
    let edge = (-1..=1).prop_map(BigInt::from);
    proptest::collection::vec(prop_oneof![9 => wide, 1 => edge], DEGREE)
}

fn centre_all(ring: &Ring, basis: Basis, x: &[BigInt]) -> Vec<BigInt> {
    let q = product(ring, basis);
    x.iter().map(|x| centred(x, &q)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn conversion_keeps_the_centred_representative(
        from in basis(), to in basis(), x in integers(),
    ) {
        let ring = ring();
        let a = poly(&ring, from, &x);
        let expected = poly(&ring, to, &centre_all(&ring, from, &x));
        prop_assert_eq!(Converter::new(&ring, from, to).convert(&ring, &a), expected);
    }

    #[test]
    fn extension_is_conversion_in_evaluation_form(all in basis(), part in basis(), x in integers()) {
        let ring = ring();
        let from = all.intersection(part);
        prop_assume!(!from.is_empty());
        let to = all.difference(part);
        let a = poly(&ring, all, &x);
        let mut evaluations = a.clone();
        evaluations.ntt_assign(&ring);
        let mut extended = Converter::new(&ring, from, to).extend(&ring, &evaluations);
        extended.inverse_ntt_assign(&ring);
        prop_assert_eq!(extended, poly(&ring, all, &centre_all(&ring, from, &x)));
    }

    #[test]
    fn rescaling_multiplies_divides_and_rounds(from in basis(), to in basis(), x in integers()) {
        let ring = ring();
        let mut a = poly(&ring, from, &x);
        a.ntt_assign(&ring);
        let rescaler = Rescaler::new(&ring, from, to);
        let mut rescaled = rescaler.apply(&ring, &a);
        rescaled.inverse_ntt_assign(&ring);
        let (up, down) = (product(&ring, to.difference(from)), product(&ring, from.difference(to)));
        let exact: Vec<BigInt> =
            centre_all(&ring, from, &x).iter().map(|x| divide(&(x * &up), &down)).collect();
        prop_assert_eq!(rescaled, poly(&ring, to, &exact));
        let ratio = ring.product_ratio(from, to);
        prop_assert_eq!(rescaler.ratio().to_bits(), ratio.to_bits());
        let log = ring.log2_product(from) - ring.log2_product(to);
        prop_assert!((libm::log2(ratio) - log).abs() < 1e-9);
    }

    #[test]
    fn arithmetic_is_that_of_integer_polynomials(
        wide in basis(), part in basis(), x in integers(), y in integers(), z in integers(),
    ) {
        let ring = ring();
        let narrow = wide.intersection(part);
        prop_assume!(!narrow.is_empty());
        let evaluated = |basis, x: &[BigInt]| {
            let mut a = poly(&ring, basis, x);
            a.ntt_assign(&ring);
            a
        };
        let (a, b, c) = (evaluated(narrow, &x), evaluated(wide, &y), evaluated(wide, &z));
        let check = |found: &Poly, expected: Vec<BigInt>| {
            let mut found = found.clone();
            found.inverse_ntt_assign(&ring);
            assert_eq!(coefficients(&ring, &found), centre_all(&ring, narrow, &expected));
        };
        let pairs = |f: fn(&BigInt, &BigInt) -> BigInt| x.iter().zip(&y).map(move |(x, y)| f(x, y));
        let mut out = a.clone();
        out.add_assign(&ring, &b);
        check(&out, pairs(|x, y| x + y).collect());
        out = a.clone();
        out.sub_assign(&ring, &b);
        check(&out, pairs(|x, y| x - y).collect());
        out = a.clone();
        out.neg_assign(&ring);
        check(&out, x.iter().map(|x| -x).collect());
        out = a.clone();
        out.mul_assign(&ring, &b);
        check(&out, negacyclic(&x, &y));
        out = a.clone();
        out.mul_add_assign(&ring, &b, &c);
        check(&out, negacyclic(&y, &z).iter().zip(&x).map(|(p, x)| p + x).collect());
        out = a.clone();
        out.scale_assign(&ring, |i, q| {
            assert_eq!(q.value(), ring.primes()[i]);
            12345
        });
        check(&out, x.iter().map(|x| x * 12345).collect());
        out = a.clone();
        out.mul_i_assign(&ring);
        check(&out, negacyclic(&x, &monomial(DEGREE / 2)));
        check(&b.restrict(&ring, narrow), y);
    }

    #[test]
    fn automorphisms_substitute_a_power_of_x(basis in basis(), x in integers(), k in 0..DEGREE) {
        let ring = ring();
        let galois = 2 * k + 1;
        let map = Automorphism::new(LOG_DEGREE, u32::try_from(galois).unwrap());
        let a = poly(&ring, basis, &x);
        let powers = x.iter().enumerate().map(|(i, x)| {
            let sign = if (i * galois / DEGREE).is_multiple_of(2) { 1 } else { -1 };
            (i * galois % DEGREE, x * sign)
        });
        let mut expected = vec![BigInt::ZERO; DEGREE];
        powers.for_each(|(place, x)| expected[place] = x);
        let expected = poly(&ring, basis, &expected);
        prop_assert_eq!(&map.apply_to_coefficients(&ring, &a), &expected);
        let mut evaluations = a.clone();
        evaluations.ntt_assign(&ring);
        let mut found = evaluations.automorphism(&ring, &map);
        found.inverse_ntt_assign(&ring);
        prop_assert_eq!(found, expected);
    }
}

fn negacyclic(x: &[BigInt], y: &[BigInt]) -> Vec<BigInt> {
    let term = |k: usize, i: usize| {
        let product = &x[i] * &y[(DEGREE + k - i) % DEGREE];
        if i <= k { product } else { -product }
    };
    (0..DEGREE).map(|k| (0..DEGREE).map(|i| term(k, i)).sum()).collect()
}

fn monomial(power: usize) -> Vec<BigInt> {
    (0..DEGREE).map(|k| BigInt::from(u8::from(k == power))).collect()
}

#[test]
fn rotations_compose_and_wrap_around() {
    let slots = isize::try_from(DEGREE / 2).unwrap();
    let modulus = 2 * u32::try_from(DEGREE).unwrap();
    for a in -slots..=slots {
        assert_eq!(galois_of_rotation(LOG_DEGREE, a), galois_of_rotation(LOG_DEGREE, a + slots));
        for b in 0..slots {
            let (x, y) = (galois_of_rotation(LOG_DEGREE, a), galois_of_rotation(LOG_DEGREE, b));
            assert_eq!(x * y % modulus, galois_of_rotation(LOG_DEGREE, a + b));
        }
    }
    assert_eq!(galois_of_rotation(LOG_DEGREE, 1), 5);
    assert_eq!(galois_of_conjugation(LOG_DEGREE), modulus - 1);
}

#[test]
fn signed_coefficients_are_recovered() {
    let ring = ring();
    let values: Vec<i64> =
        vec![0, 1, -1, i64::MIN, i64::MAX, 7, -(1 << 40), 1 << 40, 0, 0, 0, 0, 3, -3, 9, -9];
    let a = Poly::from_signed(&ring, ring.basis(), |i| values[i]);
    let expected: Vec<BigInt> = values.iter().map(|&x| BigInt::from(x)).collect();
    assert_eq!(coefficients(&ring, &a), expected);
}

#[test]
fn conversion_is_exact_next_to_the_ends_of_the_range() {
    let ring = ring();
    let (from, to) = (Basis::range(0..41), Basis::range(41..55));
    let half: BigInt = product(&ring, from) / 2;
    let end: BigInt = half - (product(&ring, from) >> 39);
    let mut x = vec![BigInt::ZERO; DEGREE];
    x[0] = end.clone();
    x[1] = -end;
    let converted = Converter::new(&ring, from, to).convert(&ring, &poly(&ring, from, &x));
    assert_eq!(converted, poly(&ring, to, &x));
}

#[test]
fn conversion_acts_on_every_coefficient_alone() {
    // A degree of many blocks, with coefficients that repeat those of a small degree.
    const LOG_LARGE: u32 = 13;
    let small = ring();
    let large = Ring::new(LOG_LARGE, small.primes(), &Portable, &Serial).unwrap();
    let (from, to) = (Basis::range(2..11), Basis::range(5..20));
    let tiled = |a: &Poly| {
        let limb = |rank| a.limb(rank).iter().cycle().take(1 << LOG_LARGE).copied();
        Poly::from_words(&large, a.basis(), (0..a.basis().len()).flat_map(limb).collect())
    };
    let x: Vec<BigInt> = (1..=DEGREE).map(|k| BigInt::from(k).pow(70) - (1 << 30)).collect();
    let a = poly(&small, from, &x);
    let expected = Converter::new(&small, from, to).convert(&small, &a);
    let found = Converter::new(&large, from, to).convert(&large, &tiled(&a));
    assert_eq!(found, tiled(&expected));
}

#[test]
fn bad_rings_are_refused() {
    let good = ntt_primes_below(1 << 25, 17).next().unwrap();
    let bad: [(u32, &[u32]); 6] = [
        (0, &[good]),
        (17, &[good]),
        (4, &[good, good]),
        (4, &[33]),
        (4, &[2_147_483_647]),
        (4, &[u32::MAX]),
    ];
    for (log_degree, primes) in bad {
        let refused = Ring::new(log_degree, primes, &Portable, &Serial);
        assert!(matches!(refused, Err(Error::InvalidParameters(_))), "{log_degree} {primes:?}");
    }
}
