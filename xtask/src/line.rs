//! The client in QEMU on a line that damages, loses and is cut: it says what it says on a good one.

use crate::boards::{
    Board, CLIENT, CLIENT_ENCLAVE, CLIENT_TZ, Image, MPS2_AN386, MPS2_AN505_TZ, RISCV32_ENCLAVE,
    RISCV64_ENCLAVE,
};
use crate::build::Outcome;
use crate::compiler::{Compiler, target_directory};
use crate::console::Console;
use crate::restarts;
use crate::session::{self, Cast};
use crate::size::RAM;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the stand-in for the server expects to be asked.
const SENTENCE: &str = "a gripping, funny and deeply human film .";
/// One byte in so many is lost or altered, and the line is cut each so many bytes: twice in an upload.
const ACCIDENTS: [&str; 2] = ["2000", "25000"];
/// Reports of the device that do not depend on its randomness or on time.
const SAME: [&str; 9] = [
    "tokens",
    "values_encrypted",
    "upload_bytes",
    "label",
    "logits",
    "probabilities",
    "canary",
    "canary_value",
    "download_bytes",
];

/// Runs the tests. The server is a stand-in, which checks that the upload is whole and encrypts the
/// sentence, and always gives the same answer.
///
/// # Errors
/// If an image or a program cannot be built.
pub(crate) fn outcomes(console: &Console, compiler: &Compiler) -> Result<Vec<Outcome>> {
    let stand_in = session::example(console, "he-firmware", "stand_in")?;
    let bridge = session::bridge(console)?;
    let devices: [(_, &[Image]); 4] = [
        (&MPS2_AN386, &[CLIENT]),
        (&MPS2_AN505_TZ, &CLIENT_TZ),
        (&RISCV32_ENCLAVE, &CLIENT_ENCLAVE),
        (&RISCV64_ENCLAVE, &CLIENT_ENCLAVE),
    ];
    let mut outcomes = Vec::new();
    for (board, images) in devices {
        let build = |&image: &Image| board.build(console, compiler, image);
        let images: Vec<_> = images.iter().map(build).collect::<Result<_>>()?;
        let device = Device { stand_in: &stand_in, bridge: &bridge, board, images };
        let result = device.survives(console).err().map(|error| format!("{error:#}"));
        outcomes.push((format!("{} goes on after accidents of its line", board.name), result));
    }
    Ok(outcomes)
}

struct Device<'a> {
    stand_in: &'a Path,
    bridge: &'a Path,
    board: &'static Board,
    images: Vec<PathBuf>,
}

impl Device<'_> {
    /// Whether the device says the same on both lines, within its memory.
    fn survives(&self, console: &Console) -> Result<()> {
        let good = self.ask(console, &[]).context("on a good line")?;
        let bad = self.ask(console, &ACCIDENTS).context("on a bad line")?;
        for name in SAME {
            let (good, bad) = (good.get(name), bad.get(name));
            ensure!(good.is_some() && good == bad, "{name}: {good:?} on a good line, else {bad:?}");
        }
        let ram = bad.get("ram_bytes").and_then(Value::as_u64).context("no RAM is reported")?;
        ensure!(ram <= RAM, "it takes {ram} of {RAM} bytes");
        Ok(())
    }

    /// What a new device reports.
    fn ask(&self, console: &Console, accidents: &[&str]) -> Result<Map<String, Value>> {
        let flash = target_directory().join("line-flash.bin");
        if flash.exists() {
            fs::remove_file(&flash)?;
        }
        restarts::provide_flash(&flash)?;
        let (mut server, mut authority) =
            (Command::new(self.stand_in), Command::new(self.stand_in));
        server.args(["server", "answer"]);
        authority.arg("authority");
        let (board, bridge, images) = (self.board, self.bridge, self.images.as_slice());
        let mut cast = Cast { server, authority, bridge, accidents, board, images, flash: &flash };
        Ok(session::run(console, &mut cast, SENTENCE)?.0)
    }
}
