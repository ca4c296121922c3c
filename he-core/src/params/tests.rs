//! The preset's figures, and refusals of sets that are wrong or insecure.

use alloc::format;
use alloc::vec::Vec;

use super::*;

fn edge() -> Params {
    Params::edge_128().unwrap()
}

#[test]
fn the_preset_is_secure_and_all_its_bounds_are_known() {
    let params = edge();
    let [big, sparse, edge] = params.instances();
    assert!((1642.0..1643.0).contains(&big.log_qp), "{big:?}");
    assert!((111.5..112.5).contains(&sparse.log_qp), "{sparse:?}");
    assert!((80.5..81.5).contains(&edge.log_qp), "{edge:?}");
    assert!(params.instances().iter().all(Instance::is_secure));
}

#[test]
fn the_precise_preset_fills_its_bound_with_wider_levels_and_nothing_else() {
    let (params, edge) = (Params::precise_128().unwrap(), edge());
    let [big, sparse, rows] = params.instances();
    assert!((1733.0..1734.0).contains(&big.log_qp), "{big:?}");
    assert_eq!((sparse, rows), (edge.instances()[1], edge.instances()[2]));
    assert_eq!(params.computing_level(), edge.computing_level());
    for level in 1..=params.max_level() {
        let step = params.log_q(level) - params.log_q(level - 1);
        let width = if level <= 14 { 40.0 } else { 60.0 };
        assert!((step - width).abs() < 0.115, "level {level}: {step}");
    }
}

#[test]
fn a_shorter_chain_has_the_same_steps_and_ends_in_the_level_it_returns_to() {
    for params in [edge(), Params::precise_128().unwrap()] {
        let (highest, top) = (params.computing_level(), params.max_level());
        for level in params.rows_level()..=highest {
            let short = params.returning_to(level).unwrap();
            let end = short.returns_to();
            assert!(end == level || end == level + 1 && end == highest, "{end} for {level}");
            assert_eq!(short.basis(highest), params.basis(end));
            assert_eq!(short.basis(0), params.basis(0));
            assert!(short.basis(top).len() <= params.basis(top).len());
            for level in highest + 1..=top {
                assert!(short.basis(level).is_subset(params.terminals().union(params.mains())));
                let ratio = short.step(level) / params.step(level);
                assert!(libm::log2(ratio).abs() < 0.2, "{level}: 2^{}", libm::log2(ratio));
            }
        }
        assert!(params.returning_to(highest + 1).is_err());
        assert!(params.returning_to(params.rows_level() - 1).is_err());
    }
}

#[test]
fn levels_are_where_the_stages_put_them() {
    let params = edge();
    assert_eq!((params.rows_level(), params.computing_level(), params.max_level()), (3, 14, 25));
    assert_eq!(params.base(), Basis::range(0..2));
    assert_eq!(params.basis(25), Basis::range(0..2).union(params.mains()));
    for level in 1..=params.max_level() {
        let width = params.literal().level_bits(level) - params.literal().level_bits(level - 1);
        assert_eq!(width, if level <= 14 { 40 } else { 50 });
        let step = params.log_q(level) - params.log_q(level - 1);
        assert!((step - f64::from(width)).abs() < 0.1, "level {level}: {step}");
        assert!((libm::log2(params.step(level)) - step).abs() < 1e-9);
    }
}

#[test]
fn digits_partition_the_chain_and_specials_cover_each() {
    let params = edge();
    let sizes: Vec<usize> = params.digits().iter().map(|d| d.len()).collect();
    assert_eq!(sizes, [14, 14, 13]);
    let all = params.digits().iter().fold(Basis::EMPTY, |all, &digit| {
        assert!(all.intersection(digit).is_empty());
        all.union(digit)
    });
    assert_eq!(all, params.terminals().union(params.mains()));
    assert_eq!(all.union(params.specials()), Basis::range(0..params.primes().len()));
    assert!(params.special_small().is_subset(params.specials()));
    assert!(params.edge_special().is_subset(params.special_small()));
}

#[test]
fn one_bit_above_a_bound_is_refused() {
    for log_degree in 10..=16 {
        let cap = f64::from(max_log_qp(log_degree, SecretKind::Dense).unwrap());
        for (log_qp, secure) in [(cap - 1.0, true), (cap, true), (cap + 1.0, false)] {
            let instance = Instance { name: "big", log_degree, secret: SecretKind::Dense, log_qp };
            assert_eq!(instance.is_secure(), secure, "{instance:?}");
        }
    }
    // A sparse secret at the whole chain is the mistake that breaks a bootstrap.
    let secret = SecretKind::Sparse { weight: 32 };
    for (log_qp, secure) in [(121.0, true), (122.0, false), (1644.0, false)] {
        let instance = Instance { name: "sparse", log_degree: 16, secret, log_qp };
        assert_eq!(instance.is_secure(), secure, "{instance:?}");
    }
    assert_eq!(max_log_qp(16, SecretKind::Sparse { weight: 31 }), None);
    assert_eq!(max_log_qp(14, SecretKind::Sparse { weight: 32 }), None);
    assert_eq!(max_log_qp(9, SecretKind::Dense), None);
}

#[test]
fn bad_literals_are_refused() {
    static SWAPPED: [u32; 4] = [33_292_289, 32_899_073, 28_311_553, 33_292_289];
    static COMPOSITE: [u32; 4] = [33_292_289, 32_899_073, 28_311_553, 37_224_451];
    static FAR: [u32; 4] = [33_292_289, 32_899_073, 28_311_553, 29_884_417];
    let bad = [
        // Too much modulus for these degrees.
        ParamsLiteral { log_degree: 15, ..EDGE_128 },
        ParamsLiteral { log_edge_degree: 11, ..EDGE_128 },
        // A sparse secret that nothing is known about.
        ParamsLiteral { hamming_weight: 16, ..EDGE_128 },
        ParamsLiteral { hamming_weight: 0, ..EDGE_128 },
        // Degrees that do not fit each other.
        ParamsLiteral { log_degree: 17, ..EDGE_128 },
        ParamsLiteral { log_edge_degree: 17, ..EDGE_128 },
        ParamsLiteral { log_tokens: 13, ..EDGE_128 },
        // Wrong primes.
        ParamsLiteral { terminals: &SWAPPED, ..EDGE_128 },
        ParamsLiteral { terminals: &COMPOSITE, ..EDGE_128 },
        ParamsLiteral { terminals: &FAR, ..EDGE_128 },
        ParamsLiteral { terminals: &[], ..EDGE_128 },
        ParamsLiteral { specials: &EDGE_128.specials[..1], ..EDGE_128 },
        ParamsLiteral { specials: &EDGE_128.specials[..13], ..EDGE_128 },
        // Digits that the specials do not cover, or too many.
        ParamsLiteral { digits: 2, ..EDGE_128 },
        ParamsLiteral { digits: 5, ..EDGE_128 },
        // A product that is larger than the base.
        ParamsLiteral { product_bits: 50, ..EDGE_128 },
        // Levels that the primes cannot make.
        ParamsLiteral { mains: &EDGE_128.mains[..36], ..EDGE_128 },
        ParamsLiteral { computing_bits: 41, ..EDGE_128 },
        ParamsLiteral { stages: Stages { computing: 12, ..EDGE_128.stages }, ..EDGE_128 },
    ];
    for literal in bad {
        let refused = Params::new(literal);
        assert!(matches!(refused, Err(Error::InvalidParameters(_))), "{refused:?}");
    }
}

#[test]
fn insecure_small_sets_have_the_levels_of_the_preset_and_another_digest() {
    let small = Params::insecure_small(8, 6, 3).unwrap();
    assert!(small.is_insecure() && !edge().is_insecure());
    assert_ne!(small.digest(), edge().digest());
    assert_eq!((small.degree(), small.edge_degree(), small.tokens()), (256, 64, 8));
    assert!((0..=small.max_level()).all(|level| small.basis(level) == edge().basis(level)));
}

#[test]
fn every_field_changes_the_digest() {
    let base = EDGE_128;
    let stages = |computing| Stages { computing, ..base.stages };
    let others = [
        ParamsLiteral { log_degree: 15, ..base },
        ParamsLiteral { log_edge_degree: 11, ..base },
        ParamsLiteral { log_tokens: 7, ..base },
        ParamsLiteral { hamming_weight: 33, ..base },
        ParamsLiteral { strength: Strength::Insecure, ..base },
        ParamsLiteral { base_bits: 51, ..base },
        ParamsLiteral { computing_bits: 41, ..base },
        ParamsLiteral { bootstrap_bits: 51, ..base },
        ParamsLiteral { product_bits: 35, ..base },
        ParamsLiteral { digits: 4, ..base },
        ParamsLiteral { stages: stages(12), ..base },
        ParamsLiteral { terminals: &base.terminals[1..], ..base },
        ParamsLiteral { mains: &base.mains[1..], ..base },
        ParamsLiteral { specials: &base.specials[1..], ..base },
    ];
    for other in others {
        assert_ne!(other.digest(), base.digest(), "{other:?}");
    }
    assert_eq!(base.digest(), EDGE_128.digest());
}

/// The number after `"key": ` in a line of JSON.
fn number(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("\"{key}\": "))?;
    rest.split([',', '}']).next()?.trim().parse().ok()
}

#[test]
fn the_evidence_covers_every_instance_of_the_presets() {
    let evidence = include_str!("../../../security/evidence.json");
    let (edge_128, precise_128) = evidence.split_once("\"preset\": \"precise_128\"").unwrap();
    check_evidence(&edge(), edge_128);
    check_evidence(&Params::precise_128().unwrap(), precise_128);
}

fn check_evidence(params: &Params, evidence: &str) {
    for instance in params.instances() {
        let name = format!("\"name\": \"{}\"", instance.name);
        let line = evidence.lines().find(|line| line.contains(&name)).unwrap();
        let weight = match instance.secret {
            SecretKind::Dense => None,
            SecretKind::Sparse { weight } => Some(weight),
        };
        assert_eq!(number(line, "log_degree"), Some(f64::from(instance.log_degree)));
        assert_eq!(number(line, "weight"), weight.map(|w| f64::from(u32::try_from(w).unwrap())));
        assert_eq!(number(line, "log_qp"), Some(libm::ceil(instance.log_qp)), "{instance:?}");
        assert!(number(line, "bits").unwrap() >= 128.0, "{line}");
    }
    assert!(
        evidence.lines().any(|line| number(line, "log2_overflow").is_some_and(|p| p <= -128.0))
    );
}
