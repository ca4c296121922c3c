//! `cargo xtask authority`: has a secure world in QEMU make secrets and keys, and puts them where
//! `host-runner` looks for them.
//!
//! This program plays the host that is not trusted with secrets: it hands over an order, takes what is
//! public, and checks the report that vouches for it. What the device is given goes from the
//! machine's second serial port straight into a file of the owner's.

mod check;
mod records;

use crate::boards::{Board, Image, MICROVM_X86_64, VIRT_AARCH64_SECURE};
use crate::compiler::{Choice, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{describe, step};
use crate::setup;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use core::time::Duration;
use records::Received;
use serde::Serialize;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const PLAN_LIMIT: Duration = Duration::from_secs(120);

/// Which keys, made where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The machine that makes them.
    #[arg(long, value_enum, default_value = "virt-aarch64-secure")]
    target: Target,
    /// The folder of the keys; made anew.
    #[arg(long)]
    out: PathBuf,
    /// The parameter set.
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The folder of the model that the keys are for.
    #[arg(long, default_value = "models/edge")]
    model: PathBuf,
    /// Write what was made, and what it took, to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// INSECURE: the image for tests makes them, from a seed that everyone knows.
    #[arg(long)]
    insecure_known_seed: bool,
    /// Count instructions, which takes longer.
    #[arg(long)]
    counted: bool,
}

/// A machine with a key authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// 64-bit Arm with a secure world.
    #[value(name = "virt-aarch64-secure")]
    Aarch64,
    /// A guest of its own on `x86_64`.
    #[value(name = "microvm-x86_64")]
    X86,
}

impl Target {
    fn board(self) -> &'static Board {
        match self {
            Self::Aarch64 => &VIRT_AARCH64_SECURE,
            Self::X86 => &MICROVM_X86_64,
        }
    }

    /// The images, the one that has the secrets first.
    fn images(self, is_insecure: bool) -> Vec<Image> {
        let package = self.board().name;
        let image = |binary| Image { package, binary };
        match (self, is_insecure) {
            (Self::Aarch64, false) => vec![image("secure"), image("authority")],
            (Self::Aarch64, true) => vec![image("secure_tests"), image("authority")],
            (Self::X86, false) => vec![image("authority")],
            (Self::X86, true) => vec![image("authority_tests")],
        }
    }

    /// The emulator, with records on its standard output and the device's link in a file.
    fn emulate(self, images: &[PathBuf], order: &Path, device: &Path) -> Command {
        let board = self.board();
        let mut command = Command::new(board.emulator.program);
        command.args(board.machine).args(["-display", "none", "-monitor", "none"]);
        let (order, device) = (order.display(), device.display());
        match self {
            Self::Aarch64 => {
                let semihosting = format!("enable=on,target=native,arg=authority,arg={order}");
                command.args(["-serial", "none", "-serial"]).arg(format!("file:{device}"));
                command.arg("-semihosting-config").arg(semihosting);
            }
            Self::X86 => {
                command.args(["-serial", "none", "-initrd"]).arg(order.to_string());
                command.args(["-chardev", "stdio,id=records,signal=off"]);
                command.arg("-chardev").arg(format!("file,id=device,path={device}"));
                command.args(["-device", "isa-serial,chardev=device,iobase=0x2f8,irq=3"]);
            }
        }
        let mut images = images.iter();
        if let Some(first) = images.next() {
            command.arg("-kernel").arg(first);
        }
        for image in images {
            command.arg("-device").arg(format!("loader,file={}", image.display()));
        }
        command
    }

    /// The emulator's status when all is well.
    fn good_status(self) -> i32 {
        match self {
            Self::Aarch64 => 0,
            Self::X86 => 33,
        }
    }
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    target: &'static str,
    preset: String,
    files: usize,
    bytes: u64,
    seconds: f64,
    /// What the images measured; with `--counted`, a nanosecond is an instruction.
    figures: Value,
    report: check::Report,
}

/// Makes keys; false if what came is not what was ordered.
///
/// # Errors
/// What could not be built or started, or what the machine said instead of keys.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let Arguments { target, out, .. } = arguments;
    for folder in ["server", "device", "owner"] {
        ensure!(!out.join(folder).exists(), "{} has keys already", out.display());
    }
    let compiler = setup::bare_metal(console, choice)?;
    setup::emulators(console, &[target.board()])?;
    let images = target.images(arguments.insecure_known_seed);
    let build = |&image: &Image| target.board().build(console, &compiler, image);
    let images = images.iter().map(build).collect::<Result<Vec<_>>>()?;
    let partial = prepare(console, arguments)?;

    let started = Instant::now();
    let received = emulate(console, arguments, &images, &partial)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = check::report(&partial, &images[0], &received.files)?;
    println!("{report}");
    let made = Made {
        target: target.board().name,
        preset: arguments.preset.clone(),
        files: received.files.len(),
        bytes: received.bytes,
        seconds,
        figures: received.figures,
        report,
    };
    for folder in ["server", "device", "owner"] {
        fs::rename(partial.join(folder), out.join(folder))
            .with_context(|| format!("placing {folder} in {}", out.display()))?;
    }
    fs::remove_dir_all(&partial).ok();
    println!("{} files, {} bytes in {seconds:.0} s", made.files, made.bytes);
    println!("{}", made.figures);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&made)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(true)
}

/// The folder where keys are until they are whole, with the order in it.
fn prepare(console: &Console, arguments: &Arguments) -> Result<PathBuf> {
    let mut build = host_cargo(&root());
    build.args(["build", "--release", "--locked", "--package", "host-runner"]);
    step(console, "build host-runner", &mut build, BUILD_LIMIT)?;
    let partial = arguments.out.join(".partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    for folder in ["server", "device", "owner"] {
        fs::create_dir_all(partial.join(folder))
            .with_context(|| format!("making {}", partial.display()))?;
    }
    let mut order = Command::new(target_directory().join("release/host-runner"));
    order.args(["order", "--preset", &arguments.preset, "--model"]).arg(&arguments.model);
    order.arg("--out").arg(&partial);
    step(console, "order", &mut order, PLAN_LIMIT)?;
    fs::rename(partial.join("manifest.json"), partial.join("server/manifest.json"))?;
    // The device's secrets are for their owner's eyes, from the first byte on.
    let device = partial.join("device/edge.secret");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&device)?;
    partial.canonicalize().context("the folder of the keys")
}

/// A file that a process writes, read until the process has ended.
struct Growing<'a> {
    file: File,
    writer: &'a mut Child,
}

impl Read for Growing<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let is_whole = self.writer.try_wait()?.is_some();
            match self.file.read(bytes)? {
                0 if !is_whole => thread::sleep(Duration::from_millis(20)),
                count => return Ok(count),
            }
        }
    }
}

/// Runs the machine until it has sent everything.
fn emulate(
    console: &Console,
    arguments: &Arguments,
    images: &[PathBuf],
    partial: &Path,
) -> Result<Received> {
    let (order, device) = (partial.join("order.bin"), partial.join("device/edge.secret"));
    let mut command = arguments.target.emulate(images, &order, &device);
    if arguments.counted {
        command.args(["-icount", "shift=0"]);
    }
    // A file, as an emulated console drops what a pipe does not take at once.
    let records = partial.join("records.bin");
    let output = File::create_new(&records);
    let output = output.with_context(|| format!("making {}", records.display()))?;
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::inherit());
    let step = console.step(&format!("keys by {}", arguments.target.board().name));
    let mut child = command.spawn().with_context(|| format!("starting {}", describe(&command)))?;
    let allowed = check::allowed(partial)?;
    let input = Growing { file: File::open(&records)?, writer: &mut child };
    let received = records::receive(input, partial, &allowed, &step);
    if received.is_err() {
        child.kill().ok();
    }
    let status = child.wait()?;
    let received = match received {
        Ok(received) if status.code() == Some(arguments.target.good_status()) => received,
        Ok(_) => {
            step.fail();
            bail!("all keys came, but then: {status}");
        }
        Err(error) => {
            step.fail();
            return Err(error);
        }
    };
    step.pass();
    Ok(received)
}
