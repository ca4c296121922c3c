//! The demonstration: a sentence typed into a microcontroller, classified by a server that can
//! decrypt nothing.
//!
//! Processes, as they would be machines: the key authority, the server, the device (in QEMU), the host's end
//! of its serial line, and this one, which plays the operator at the device's console. Each knows only what
//! its own side would: the server gets evaluation keys, the device its edge secret, the operator text.

mod report;

use crate::boards::{
    Board, CLIENT, CLIENT_ENCLAVE, CLIENT_TZ, Image, MPS2_AN386, MPS2_AN505_TZ, RISCV32_ENCLAVE,
    RISCV64_ENCLAVE,
};
use crate::compiler::{Choice, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{Running, step};
use crate::session::{self, Cast};
use crate::setup;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use core::time::Duration;
use report::Report;
use serde_json::Value;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const KEYS_LIMIT: Duration = Duration::from_secs(900);
const CLEAR_LIMIT: Duration = Duration::from_secs(120);
const REPORT_LIMIT: Duration = Duration::from_secs(20);
const PRESET: &str = "edge-128";
const DEFAULT_SENTENCE: &str = "a gripping, funny and deeply human film .";
/// Longest sentence that the device's console takes, in bytes.
const LONGEST: usize = 1024;

/// What to demonstrate.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The sentence; asked for on a terminal if absent.
    sentence: Option<String>,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The device.
    #[arg(long, value_enum, default_value_t = Device::CortexM4)]
    board: Device,
    /// Make new keys, even if some are there from an earlier run.
    #[arg(long)]
    fresh: bool,
}

impl Arguments {
    /// The default sentence with whatever keys there are.
    pub(crate) fn for_ci() -> Self {
        let (sentence, board) = (Some(DEFAULT_SENTENCE.to_owned()), Device::CortexM4);
        Self { sentence, json: None, board, fresh: false }
    }
}

/// A device that can be demonstrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// A microcontroller with the memory of an nRF52840.
    #[value(name = "mps2-an386")]
    CortexM4,
    /// One with its secrets in a secure world.
    #[value(name = "mps2-an505-tz")]
    TrustZone,
    /// A RISC-V core of 32 bits with its secrets in machine mode.
    #[value(name = "riscv32-enclave")]
    Enclave32,
    /// One of 64 bits.
    #[value(name = "riscv64-enclave")]
    Enclave64,
}

impl Device {
    const fn board(self) -> &'static Board {
        match self {
            Self::CortexM4 => &MPS2_AN386,
            Self::TrustZone => &MPS2_AN505_TZ,
            Self::Enclave32 => &RISCV32_ENCLAVE,
            Self::Enclave64 => &RISCV64_ENCLAVE,
        }
    }

    /// The images. The last one is the client, which logs.
    const fn images(self) -> &'static [Image] {
        match self {
            Self::CortexM4 => &[CLIENT],
            Self::TrustZone => &CLIENT_TZ,
            Self::Enclave32 | Self::Enclave64 => &CLIENT_ENCLAVE,
        }
    }
}

/// Everything that must be there before the processes start.
struct Prepared {
    runner: PathBuf,
    board: &'static Board,
    images: Vec<PathBuf>,
    keys: PathBuf,
    model: PathBuf,
    work: PathBuf,
    bridge: PathBuf,
}

/// Runs the demonstration; false if the answer was refused or differs from the plaintext model's.
///
/// # Errors
/// What could not be built or started, or what a process reported.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let sentence = sentence(arguments.sentence.as_deref())?;
    let prepared = prepare(console, choice, arguments)?;
    let plain = clear_model(console, &prepared, &sentence)?;
    let parameters = parameters(console, &prepared)?;
    let (device, server) = converse(console, &prepared, &sentence)?;
    let report = Report::new(&sentence, &device, &server, &plain, &parameters)?;
    println!("\n{}", report.table());
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(report.is_good())
}

fn sentence(given: Option<&str>) -> Result<String> {
    let text = match given {
        Some(text) => text.to_owned(),
        None if stdin().is_terminal() => {
            eprint!("Sentence [{DEFAULT_SENTENCE}]: ");
            let mut line = String::new();
            stdin().read_line(&mut line).context("reading the sentence")?;
            line
        }
        None => DEFAULT_SENTENCE.to_owned(),
    };
    let text = text.trim();
    ensure!(!text.contains(['\n', '\r']), "the sentence must be one line");
    ensure!(text.len() <= LONGEST, "the sentence has {} bytes, at most {LONGEST}", text.len());
    Ok(if text.is_empty() && given.is_none() { DEFAULT_SENTENCE } else { text }.to_owned())
}

fn prepare(console: &Console, choice: Choice, arguments: &Arguments) -> Result<Prepared> {
    let board = arguments.board.board();
    let compiler = setup::bare_metal(console, choice)?;
    setup::emulators(console, &[board])?;
    let model = root().join("models/edge");
    ensure!(model.join("config.json").exists(), "the model is missing: {}", model.display());

    let mut build = host_cargo(&root());
    build.args(["build", "--release", "--locked", "--package", "host-runner"]);
    step(console, "build host-runner", &mut build, BUILD_LIMIT)?;
    let runner = target_directory().join("release/host-runner");
    let images = arguments.board.images().iter();
    let images =
        images.map(|&image| board.build(console, &compiler, image)).collect::<Result<_>>()?;

    let work = target_directory().join("demo");
    let keys = work.join("keys");
    if arguments.fresh && keys.exists() {
        fs::remove_dir_all(&keys).with_context(|| format!("removing {}", keys.display()))?;
    }
    let bridge = session::bridge(console)?;
    let prepared = Prepared { runner, board, images, keys, model, work, bridge };
    fs::create_dir_all(&prepared.work)
        .with_context(|| format!("making {}", prepared.work.display()))?;
    provide_keys(console, &prepared)?;
    Ok(prepared)
}

/// Makes keys unless those of an earlier run serve the same plan. They are made beside their place
/// and moved there when they are whole.
fn provide_keys(console: &Console, prepared: &Prepared) -> Result<()> {
    let Prepared { runner, keys, model, work, .. } = prepared;
    let plan = work.join("plan.json");
    let mut command = Command::new(runner);
    command.args(["plan", "--preset", PRESET, "--json"]).arg(&plan).arg("--model").arg(model);
    step(console, "plan", &mut command, CLEAR_LIMIT)?;
    let (plan, made_for) = (fs::read(&plan)?, keys.join("plan.json"));
    if fs::read(&made_for).is_ok_and(|earlier| earlier == plan) {
        return Ok(());
    }
    let partial = keys.with_extension("partial");
    for old in [keys, &partial] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("removing {}", old.display()))?;
        }
    }
    let mut command = Command::new(runner);
    command.args(["keygen", "--preset", PRESET, "--out"]).arg(&partial).arg("--model").arg(model);
    step(console, "key authority: generate keys", &mut command, KEYS_LIMIT)?;
    fs::write(partial.join("plan.json"), plan)?;
    fs::rename(&partial, keys).with_context(|| format!("moving keys to {}", keys.display()))
}

fn clear_model(console: &Console, prepared: &Prepared, sentence: &str) -> Result<Value> {
    let file = prepared.work.join("plain.json");
    let mut command = Command::new(&prepared.runner);
    command.args(["infer", "--clear", "--model"]).arg(&prepared.model);
    command.arg("--json").arg(&file).args(["--", sentence]);
    step(console, "plaintext model, for comparison", &mut command, CLEAR_LIMIT)?;
    read_json(&file)
}

/// The conversation. Returns what the device reported and the server's own report.
fn converse(console: &Console, prepared: &Prepared, sentence: &str) -> Result<(Value, Value)> {
    let Prepared { runner, keys, model, work, .. } = prepared;
    let report = work.join("server.json");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut server = Command::new(runner);
    server.args(["serve", "--once", "--listen", "127.0.0.1:0", "--model"]).arg(model);
    server.arg("--keys").arg(keys.join("server")).arg("--json").arg(&report);
    let mut authority = Command::new(runner);
    authority.args(["provision", "--listen", "127.0.0.1:0", "--keys"]).arg(keys.join("device"));
    let mut cast = Cast {
        server,
        authority,
        bridge: &prepared.bridge,
        accidents: &[],
        board: prepared.board,
        images: &prepared.images,
        // With the keys: a device with other keys is another device.
        flash: &keys.join("device-flash.bin"),
    };
    let (reports, server) = session::run(console, &mut cast, sentence)?;
    wait_for_report(server, &report)?;
    Ok((Value::Object(reports), read_json(&report)?))
}

fn parameters(console: &Console, prepared: &Prepared) -> Result<Value> {
    let file = prepared.work.join("parameters.json");
    let mut command = Command::new(&prepared.runner);
    command.args(["params", "--preset", PRESET, "--json"]).arg(&file);
    step(console, "parameters", &mut command, CLEAR_LIMIT)?;
    read_json(&file)
}

fn read_json(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))
}

/// Lets the server write its report and end, which it does after one sentence.
fn wait_for_report(mut server: Running, file: &Path) -> Result<()> {
    let deadline = Instant::now() + REPORT_LIMIT;
    while Instant::now() < deadline {
        if server.0.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    if file.exists() { Ok(()) } else { bail!("the server wrote no report") }
}
