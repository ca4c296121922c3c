//! Lays the model's client side out for flash: compiled vocabulary, embedding bytes, golden lines.

use core::error::Error;
use he_core::params::EDGE_128;
use he_nn::client::vocabulary;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// How many sentences of `golden.json` become tokenizer tests.
const GOLDEN_SENTENCES: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let model = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../models/edge");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for file in ["vocab.txt", "model.safetensors", "golden.json", "config.json"] {
        println!("cargo::rerun-if-changed={}", model.join(file).display());
    }
    let read = |name: &str| {
        let path = model.join(name);
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let vocabulary = vocabulary::compile(core::str::from_utf8(&read("vocab.txt")?)?)
        .map_err(|error| format!("vocab.txt: {error}"))?;
    fs::write(out.join("vocabulary.bin"), vocabulary)?;

    let tensors = read("model.safetensors")?;
    fs::write(out.join("pieces.bin"), tensor(&tensors, "embedding.tokens")?)?;
    fs::write(out.join("positions.bin"), tensor(&tensors, "embedding.positions")?)?;
    fs::write(out.join("golden.txt"), golden(&read("golden.json")?)?)?;
    fs::write(out.join("scale_bits.in"), scale_bits(&read("config.json")?)?)?;
    Ok(())
}

/// The bytes of one tensor of signed bytes.
fn tensor<'a>(file: &'a [u8], name: &str) -> Result<&'a [u8], Box<dyn Error>> {
    let broken = || format!("model.safetensors: no signed bytes called {name}");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(broken)?;
    let (header, data) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length))?).ok_or_else(broken)?;
    let header: Value = serde_json::from_slice(header)?;
    let entry = &header[name];
    let offset = |i: usize| {
        let offset = entry["data_offsets"][i].as_u64().ok_or_else(broken)?;
        Ok::<_, Box<dyn Error>>(usize::try_from(offset)?)
    };
    if entry["dtype"] != "I8" {
        return Err(broken().into());
    }
    Ok(data.get(offset(0)?..offset(1)?).ok_or_else(broken)?)
}

/// Bits behind the point of an uploaded feature: those of a product less those of a weight.
fn scale_bits(config: &[u8]) -> Result<String, Box<dyn Error>> {
    let config: Value = serde_json::from_slice(config)?;
    let weight = config["weight_frac_bits"].as_u64();
    let bits = weight.and_then(|weight| u64::from(EDGE_128.product_bits).checked_sub(weight));
    Ok(bits.ok_or("config.json: no usable weight_frac_bits")?.to_string())
}

/// `ids separated by spaces`, tab, text; one sentence a line.
fn golden(json: &[u8]) -> Result<String, Box<dyn Error>> {
    let json: Value = serde_json::from_slice(json)?;
    let list = json["sentences"].as_array().or_else(|| json.as_array());
    let mut lines = String::new();
    for sentence in list.ok_or("golden.json: no list of sentences")?.iter().take(GOLDEN_SENTENCES) {
        let text = sentence["text"].as_str().ok_or("golden.json: a sentence without text")?;
        let ids = sentence["ids"].as_array().ok_or("golden.json: a sentence without ids")?;
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        lines += &format!("{}\t{text}\n", ids.join(" "));
    }
    Ok(lines)
}
