//! What commands report as JSON. The names are those that scripts and the demo read.

use he_core::params::Params;
use serde::Serialize;

use crate::evidence::Evidence;

/// One step of a forward pass.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// What it computes.
    pub name: String,
    /// Wall-clock time.
    pub seconds: f64,
    /// Rescalings left after it; absent where the values are rows at the bottom of the chain.
    pub level: Option<usize>,
    /// The most memory that the process had had by its end.
    pub peak_bytes: Option<u64>,
}

/// The server's part of one inference.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// Wall-clock time from the whole upload to the answer.
    pub seconds: f64,
    /// The most memory that the process has ever had, if the system says.
    pub peak_bytes: Option<u64>,
    /// Its steps, in order.
    pub stages: Vec<Stage>,
}

/// Evaluation keys.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KeysReport {
    /// How many switching keys there are.
    pub count: usize,
    /// Their size on disk and on the wire.
    pub wire_bytes: u64,
    /// Their size in the server's memory.
    pub resident_bytes: u64,
}

/// The parameter set.
#[derive(Clone, Debug, Serialize)]
pub struct ParametersReport {
    /// Its name.
    pub preset: String,
    /// log2 of the big ring's degree.
    pub log_n: u32,
    /// log2 of the largest key's modulus.
    pub log_qp: f64,
    /// The least number of bits over all kinds of keys; absent for an insecure set.
    pub security_bits: Option<f64>,
}

impl ParametersReport {
    /// The set `params`, called `preset`.
    #[must_use]
    pub fn new(preset: &str, params: &Params) -> Self {
        Self {
            preset: preset.to_owned(),
            log_n: params.log_degree(),
            log_qp: params.log_qp(),
            security_bits: Evidence::new(preset).ok().map(|evidence| evidence.bits()),
        }
    }
}

/// What `serve --json` writes for each inference.
#[derive(Clone, Debug, Serialize)]
pub struct ServeReport {
    /// Times and memory.
    #[serde(flatten)]
    pub server: ServerReport,
    /// The keys in use.
    pub keys: KeysReport,
    /// The parameters in use.
    pub parameters: ParametersReport,
    /// The upload as it travelled.
    pub upload_bytes: usize,
    /// The answer as it travelled.
    pub download_bytes: usize,
}

/// What the plaintext model says of one sentence.
#[derive(Clone, Debug, Serialize)]
pub struct ClearReport {
    /// The text.
    pub sentence: String,
    /// The name of the class, or the number that an adapter answers with.
    pub label: String,
    /// The classes' scores.
    pub logits: Vec<f64>,
    /// The scores as probabilities; absent where they are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<f64>,
}

/// What a client gets for one sentence.
#[derive(Clone, Debug, Serialize)]
pub struct InferReport {
    /// The text.
    pub sentence: String,
    /// The name of the class, or the number that an adapter answers with.
    pub label: String,
    /// The decrypted scores.
    pub logits: Vec<f64>,
    /// The decrypted scores as probabilities; absent where they are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<f64>,
    /// The plaintext model's scores.
    pub plain_logits: Vec<f64>,
    /// `−log2` of the largest difference between the two.
    pub error_bits: f64,
    /// `intact`: a report is made of accepted answers only.
    pub canary: &'static str,
    /// The canary as it was decrypted; 1 apart from noise.
    pub canary_value: f64,
    /// Bytes sent.
    pub upload_bytes: usize,
    /// Bytes received, progress included.
    pub download_bytes: usize,
    /// Wall-clock time from the first byte sent to the decrypted answer.
    pub seconds: f64,
}
