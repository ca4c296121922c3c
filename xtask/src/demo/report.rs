//! What the demonstration shows in the end, as a table and as JSON.

use crate::size::RAM;
use anyhow::{Context, Result};
use core::fmt::Write;
use serde::Serialize;
use serde_json::Value;

/// Fewest bits that the logits must share with the plaintext model's.
const ERROR_BITS: f64 = 6.0;

/// Everything measured. The names are those of the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    sentence: String,
    label: String,
    logits: Vec<f64>,
    plain_logits: Vec<f64>,
    error_bits: f64,
    canary: String,
    upload_bytes: u64,
    download_bytes: u64,
    device: Device,
    server: Value,
    keys: Value,
    parameters: Value,
    #[serde(skip)]
    probabilities: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Device {
    tokenize_instructions: u64,
    embed_instructions: u64,
    encrypt_instructions: u64,
    values_encrypted: u64,
    decrypt_instructions: u64,
    ram_bytes: u64,
}

impl Report {
    /// From what the device, the server and the plaintext model reported.
    ///
    /// # Errors
    /// The name of a figure that is missing.
    pub(super) fn new(
        sentence: &str,
        device: &Value,
        server: &Value,
        plain: &Value,
        parameters: &Value,
    ) -> Result<Self> {
        let logits = numbers(device, "logits")?;
        let plain_logits = numbers(plain, "logits")?;
        let worst = logits.iter().zip(&plain_logits).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(f64::MIN_POSITIVE, f64::max);
        Ok(Self {
            sentence: sentence.to_owned(),
            label: text(device, "label")?,
            probabilities: numbers(device, "probabilities")?,
            error_bits: -worst.log2(),
            logits,
            plain_logits,
            canary: text(device, "canary")?,
            upload_bytes: count(device, "upload_bytes")?,
            download_bytes: count(device, "download_bytes")?,
            device: Device {
                tokenize_instructions: count(device, "tokenize_instructions")?,
                embed_instructions: count(device, "embed_instructions")?,
                encrypt_instructions: count(device, "encrypt_instructions")?,
                values_encrypted: count(device, "values_encrypted")?,
                decrypt_instructions: count(device, "decrypt_instructions")?,
                ram_bytes: count(device, "ram_bytes")?,
            },
            server: pick(server, &["seconds", "peak_bytes", "stages"]),
            keys: server["keys"].clone(),
            parameters: pick(parameters, &["log_n", "log_qp", "security_bits"]),
        })
    }

    /// Whether the device accepted the answer, its logits are within 2^-6 of the plaintext model's,
    /// and so is its label wherever the plaintext margin exceeds the error; and the device kept to its memory.
    pub(super) fn is_good(&self) -> bool {
        let error = (-self.error_bits).exp2();
        let margin = (self.plain_logits[0] - self.plain_logits[self.plain_logits.len() - 1]).abs();
        let same = best(&self.logits) == best(&self.plain_logits);
        let fits = self.device.ram_bytes <= RAM;
        let is_right = self.error_bits >= ERROR_BITS && (same || margin <= error);
        self.canary == "intact" && fits && is_right
    }

    /// The table for the terminal.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            writeln!(table, "{name:<34} {value}").ok();
        };
        row("sentence", self.sentence.clone());
        row("label", self.label.clone());
        row("probabilities", list(&self.probabilities));
        row("logits, decrypted", list(&self.logits));
        row("logits, plaintext model", list(&self.plain_logits));
        row("largest difference", format!("2^-{:.1}", self.error_bits));
        row("canaries", self.canary.clone());
        row("upload", bytes(self.upload_bytes));
        row("download", bytes(self.download_bytes));
        let device = &self.device;
        row("device: tokenize", instructions(device.tokenize_instructions));
        row("device: embed and normalise", instructions(device.embed_instructions));
        let values = device.values_encrypted;
        let encrypt = instructions(device.encrypt_instructions);
        row("device: encrypt", format!("{encrypt} for {values} values"));
        row("device: decrypt", instructions(device.decrypt_instructions));
        row(
            "device: RAM high water, budget",
            format!("{}, {}", bytes(device.ram_bytes), bytes(RAM)),
        );
        row("server", stage(&self.server));
        for one in self.server["stages"].as_array().into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or("?");
            row(&format!("  {name}"), stage(one));
        }
        let keys = |name: &str| self.keys[name].as_u64().map_or("?".to_owned(), bytes);
        row("keys on the wire", keys("wire_bytes"));
        row("keys in the server's memory", keys("resident_bytes"));
        let of = |name: &str| self.parameters[name].as_f64().map_or("?".to_owned(), rounded);
        let security = format!("N = 2^{}, log2(QP) {}", of("log_n"), of("log_qp"));
        row("parameters", format!("{security}, {} bits", of("security_bits")));
        table
    }
}

fn best(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}

fn stage(value: &Value) -> String {
    let seconds = value["seconds"].as_f64().unwrap_or(f64::NAN);
    let mut text = format!("{seconds:.2} s");
    if let Some(level) = value["level"].as_u64() {
        write!(text, ", level {level}").ok();
    }
    if let Some(peak) = value["peak_bytes"].as_u64() {
        write!(text, ", peak {}", bytes(peak)).ok();
    }
    text
}

fn rounded(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") }
}

fn list(values: &[f64]) -> String {
    values.iter().map(|v| format!("{v:.5}")).collect::<Vec<_>>().join("  ")
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{}.{} KB", count / 1000, count % 1000 / 100),
        _ => format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

fn instructions(count: u64) -> String {
    format!("{}.{:03} M instructions", count / 1_000_000, count % 1_000_000 / 1000)
}

fn pick(value: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), value[*name].clone())).collect()
}

fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("`{name}` is missing"))?.to_owned())
}

fn count(value: &Value, name: &str) -> Result<u64> {
    value[name].as_u64().with_context(|| format!("`{name}` is missing"))
}

fn numbers(value: &Value, name: &str) -> Result<Vec<f64>> {
    let list = value[name].as_array().with_context(|| format!("`{name}` is missing"))?;
    list.iter().map(|v| v.as_f64().with_context(|| format!("`{name}` holds {v}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(logits: &Value, canary: &str) -> Report {
        let device = json!({
            "label": "positive", "logits": logits, "probabilities": [0.1, 0.9], "canary": canary,
            "upload_bytes": 1, "download_bytes": 2, "tokenize_instructions": 3,
            "embed_instructions": 4, "encrypt_instructions": 5, "values_encrypted": 6,
            "decrypt_instructions": 7, "ram_bytes": 8
        });
        let plain = json!({ "logits": [-1.0, 1.0] });
        Report::new("s", &device, &json!({ "seconds": 1.5 }), &plain, &json!({})).unwrap()
    }

    #[test]
    fn the_error_is_the_largest_difference_in_bits() {
        let exact = report(&json!([-1.0, 1.0 + 1.0 / 256.0]), "intact");
        assert!((exact.error_bits - 8.0).abs() < 1e-12);
        assert!(exact.is_good());
        assert!(!report(&json!([-1.0, 1.25]), "intact").is_good());
    }

    #[test]
    fn a_broken_canary_or_a_flipped_label_is_not_good() {
        assert!(!report(&json!([-1.0, 1.0]), "broken").is_good());
        assert!(!report(&json!([0.3, 0.2]), "intact").is_good());
    }

    #[test]
    fn a_missing_figure_is_named() {
        let error = Report::new("s", &json!({}), &json!({}), &json!({}), &json!({})).unwrap_err();
        assert!(error.to_string().contains("logits"));
    }
}
