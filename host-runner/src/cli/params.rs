//! `host-runner params`: a parameter set in full, with the evidence for its security.

use anyhow::Result;
use clap::Args;
use he_core::params::{Params, SecretKind, max_log_qp};
use serde::Serialize;

use super::output::Output;
use crate::evidence::Evidence;
use crate::preset;

const EXAMPLES: &str = "\
Examples:
  host-runner params
  host-runner params --preset edge-128 --json -";

/// Prints a preset's primes, levels, log2(QP) of every kind of key, and security evidence
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowParams {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    #[command(flatten)]
    output: Output,
}

impl ShowParams {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let report = Report::new(&self.preset, &params, Evidence::new(&self.preset)?);
        self.output.report(&report, Report::print)
    }
}

/// A parameter set as JSON.
#[derive(Debug, Serialize)]
struct Report {
    preset: String,
    digest: String,
    log_n: u32,
    log_edge_n: u32,
    tokens: usize,
    log_qp: f64,
    security_bits: f64,
    primes: Primes,
    levels: Vec<Level>,
    instances: Vec<Secret>,
    evidence: Evidence,
}

#[derive(Debug, Serialize)]
struct Primes {
    terminals: Vec<u32>,
    mains: Vec<u32>,
    specials: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Level {
    level: usize,
    stage: &'static str,
    log_q: f64,
    terminals: usize,
    mains: usize,
}

/// One secret, and the hardest use that is made of it.
#[derive(Debug, Serialize)]
struct Secret {
    name: &'static str,
    log_n: u32,
    distribution: String,
    log_qp: f64,
    log_qp_limit: Option<u32>,
    is_within_limit: bool,
}

impl Report {
    fn new(preset: &str, params: &Params, evidence: Evidence) -> Self {
        let all = params.primes();
        let pick = |basis: he_core::ring::Basis| basis.iter().map(|i| all[i]).collect();
        let levels = (0..params.level_count()).map(|level| {
            let (terminals, mains) = params.literal().split(level);
            let (stage, log_q) = (stage(params, level), params.log_q(level));
            Level { level, stage, log_q, terminals, mains }
        });
        let instances = params.instances().into_iter().map(|instance| Secret {
            name: instance.name,
            log_n: instance.log_degree,
            distribution: match instance.secret {
                SecretKind::Dense => "uniform ternary".to_owned(),
                SecretKind::Sparse { weight } => format!("ternary of weight {weight}"),
            },
            log_qp: instance.log_qp,
            log_qp_limit: max_log_qp(instance.log_degree, instance.secret),
            is_within_limit: instance.is_secure(),
        });
        Self {
            preset: preset.to_owned(),
            digest: format!("{:016x}", params.digest()),
            log_n: params.log_degree(),
            log_edge_n: params.log_edge_degree(),
            tokens: params.tokens(),
            log_qp: params.log_qp(),
            security_bits: evidence.bits(),
            primes: Primes {
                terminals: pick(params.terminals()),
                mains: pick(params.mains()),
                specials: pick(params.specials()),
            },
            levels: levels.collect(),
            instances: instances.collect(),
            evidence,
        }
    }

    fn print(&self) {
        println!("{} (digest {})", self.preset, self.digest);
        println!(
            "big ring 2^{}, edge ring 2^{}, {} tokens, log2(QP) {:.1}",
            self.log_n, self.log_edge_n, self.tokens, self.log_qp
        );
        println!("\nterminals  {:?}", self.primes.terminals);
        println!("mains      {:?}", self.primes.mains);
        println!("specials   {:?}", self.primes.specials);
        println!("\nlevel  log2(Q)  terminals  mains  stage");
        for l in self.levels.iter().rev() {
            let (log_q, terminals, mains) = (l.log_q, l.terminals, l.mains);
            println!("{:>5}  {log_q:>7.2}  {terminals:>9}  {mains:>5}  {}", l.level, l.stage);
        }
        println!("\nsecret  degree  distribution          log2(QP)  128-bit limit");
        for s in &self.instances {
            let limit = s.log_qp_limit.map_or("none".to_owned(), |limit| limit.to_string());
            let (name, log_n, kind, log_qp) = (s.name, s.log_n, &s.distribution, s.log_qp);
            println!("{name:<6}  2^{log_n:<4}  {kind:<20}  {log_qp:>8.1}  {limit:>13}");
        }
        println!("\nestimated cost of attacks, log2 (security/estimate.py)");
        for i in &self.evidence.instances {
            let attack = |(name, cost): (&String, &serde_json::Value)| match cost.as_f64() {
                Some(bits) => format!("{name} {bits:.1}"),
                None => format!("{name} none"),
            };
            let attacks: Vec<_> = i.attacks.iter().map(attack).collect();
            println!("{:<6}  {:>5.0}  ({})", i.name, i.bits, attacks.join(", "));
        }
        println!("a bootstrap fails with probability 2^{:.1}", self.evidence.log2_overflow);
    }
}

/// What a level is for.
fn stage(params: &Params, level: usize) -> &'static str {
    let eval_mod = params.computing_level() + params.eval_mod_levels();
    match level {
        0 => "base: rows",
        _ if level <= params.rows_level() => "slots to coefficients",
        _ if level <= params.computing_level() => "computing",
        _ if level <= eval_mod => "sine evaluation",
        _ => "coefficients to slots",
    }
}
