//! Puts firmware on a chip through a debug probe, by the program `probe-rs`.
//!
//! An nRF52840 gets the client. Other chips get the firmware of `targets/example-firmware`, laid out for
//! them: it needs nothing of a board but its processor, its memory and the probe, through which it
//! speaks (semihosting). No chip was ever at hand: that images fit, and that `probe-rs` knows the chips and
//! the flags, is what has been tested.

use crate::boards::{self, CLIENT_NRF52840, EXAMPLE, Image};
use crate::build::Outcome;
use crate::compiler::{Choice, Compiler};
use crate::console::Console;
use crate::process::{describe, output_of, run_with, step};
use crate::setup;
use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use core::ops::Range;
use core::time::Duration;
use object::{Object, ObjectSegment, SegmentFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Subdirectory of cargo's target directory.
const AREA: &str = "firmware";
const BUILD_LIMIT: Duration = Duration::from_secs(600);
const RUN_LIMIT: Duration = Duration::from_secs(60);
const PROBE_LIMIT: Duration = Duration::from_secs(300);
const PROBE_RS: &str = "probe-rs";
const INSTALL: &str = "probe-rs is not installed; `cargo install probe-rs-tools --locked` builds it, \
                       https://probe.rs/docs/getting-started/installation has it ready-made";

/// A chip and what is put on it.
#[derive(Debug, Clone, Copy)]
struct Chip {
    /// What `--target` calls it.
    name: &'static str,
    /// What `probe-rs` calls it.
    probe: &'static str,
    triple: &'static str,
    firmware: Firmware,
}

/// A program, and how it is run.
#[derive(Debug, Clone, Copy)]
enum Firmware {
    /// The client, which stays on the chip and is left alone there.
    Client,
    /// The example with the memory map of this folder, which tells the probe when it is done.
    Example(&'static str),
}

const M4: &str = "thumbv7em-none-eabihf";
const M33: &str = "thumbv8m.main-none-eabihf";

const CHIPS: [Chip; 5] = [
    Chip::new("nrf52840", "nRF52840_xxAA", M4, Firmware::Client),
    Chip::new("nrf52840-example", "nRF52840_xxAA", M4, Firmware::Example("nrf52840")),
    Chip::new("nrf5340", "nRF5340_xxAA", M33, Firmware::Example("nrf5340")),
    Chip::new("stm32h743", "STM32H743ZITx", M4, Firmware::Example("stm32h743")),
    Chip::new("stm32u585", "STM32U585AIIx", M33, Firmware::Example("stm32u585")),
];

/// Boards in QEMU that run it too.
const EMULATED: [&str; 2] = ["mps2-an386", "riscv32-virt"];

/// What to flash.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The chip.
    #[arg(long, value_parser = chip())]
    target: Chip,
    /// The probe, if there are several: `VENDOR:PRODUCT[:SERIAL]`, as `probe-rs list` shows it.
    #[arg(long)]
    probe: Option<String>,
    /// Build, check that it fits, and show what would be run.
    #[arg(long)]
    dry_run: bool,
}

fn chip() -> impl TypedValueParser<Value = Chip> {
    PossibleValuesParser::new(CHIPS.map(|chip| chip.name))
        .try_map(|name| CHIPS.into_iter().find(|chip| chip.name == name).ok_or("no such chip"))
}

/// Builds, and flashes unless it is a dry run; false if the firmware found its own result wrong.
///
/// # Errors
/// If the image cannot be built or does not fit, or `probe-rs` is missing or fails.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let compiler = setup::bare_metal(console, choice)?;
    let (commands, plan) = arguments.target.plan(console, &compiler, arguments.probe.as_deref())?;
    println!("{plan}");
    if arguments.dry_run {
        return Ok(true);
    }
    if output_of(Command::new(PROBE_RS).arg("--version")).is_none() {
        bail!(INSTALL);
    }
    for mut command in commands {
        if !run_with(&mut command, PROBE_LIMIT, |line| println!("{}", line.text()))?.success {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tests: the example on two boards in QEMU, and for each chip a dry run, whose commands `probe-rs` must know
/// where it is installed.
///
/// # Errors
/// None: a test that cannot run has failed.
pub(crate) fn outcomes(console: &Console, compiler: &Compiler) -> Vec<Outcome> {
    let emulated = boards::ALL.iter().filter(|board| EMULATED.contains(&board.name));
    let emulated = emulated.map(|board| {
        let run = || {
            let image = board.build(console, compiler, EXAMPLE)?;
            let finished = run_with(&mut board.emulate(&[image], &[], &[]), RUN_LIMIT, |_| ())?;
            ensure!(finished.success, "{}\n{}", finished.status, finished.tail(10));
            Ok(())
        };
        (format!("the example firmware runs on {}", board.name), run())
    });
    let dry = CHIPS.map(|chip| {
        let run = || {
            let (commands, _) = chip.plan(console, compiler, Some("1366:1015"))?;
            known(console, &commands)
        };
        (format!("dry run for {}", chip.name), run())
    });
    let told = |(name, result): (_, Result<()>)| (name, result.err().map(|e| format!("{e:#}")));
    emulated.chain(dry).map(told).collect()
}

/// Whether `probe-rs` understands these commands and knows their chip, all that can be told without a probe.
/// Says so where it is not installed.
fn known(console: &Console, commands: &[Command]) -> Result<()> {
    if output_of(Command::new(PROBE_RS).arg("--version")).is_none() {
        console.say("probe-rs is not installed: the commands of `flash` are not compared with it");
        return Ok(());
    }
    for command in commands {
        let arguments: Vec<_> = command.get_args().map(|part| part.to_string_lossy()).collect();
        let verb = arguments.first().context("a command without a verb")?;
        let help = output_of(Command::new(PROBE_RS).args([verb, "--help"]))
            .with_context(|| format!("probe-rs has no `{verb}`"))?;
        for flag in arguments.iter().filter(|part| part.starts_with("--")) {
            let is_known = help.split([' ', ',', '\n']).any(|word| word == flag);
            ensure!(is_known, "probe-rs {verb} has no {flag}");
        }
        let chip = arguments.iter().skip_while(|part| *part != "--chip").nth(1);
        let chip = chip.context("a command without a chip")?;
        output_of(Command::new(PROBE_RS).args(["chip", "info", chip]))
            .with_context(|| format!("probe-rs knows no chip {chip}"))?;
    }
    Ok(())
}

impl Chip {
    const fn new(
        name: &'static str,
        probe: &'static str,
        triple: &'static str,
        firmware: Firmware,
    ) -> Self {
        Self { name, probe, triple, firmware }
    }

    /// The commands that flash the firmware, and a description of what they do.
    fn plan(
        self,
        console: &Console,
        compiler: &Compiler,
        probe: Option<&str>,
    ) -> Result<(Vec<Command>, String)> {
        let map = self.firmware.map();
        let map = fs::read_to_string(&map).with_context(|| format!("reading {}", map.display()))?;
        let image = self.build(console, compiler)?;
        let mut plan = format!("chip    {}\n", self.probe);
        for (region, bytes) in contents(&image)? {
            let range = region_of(&map, region)?;
            let room = range.end - range.start;
            ensure!(bytes <= room, "{}: {bytes} bytes in {room} of {region}", self.name);
            plan += &format!(
                "{:<8}{:#010x}..{:#010x}, {bytes} of {room} bytes\n",
                region.to_lowercase(),
                range.start,
                range.end
            );
        }
        let commands: Vec<_> = self
            .firmware
            .verbs()
            .iter()
            .map(|verb| {
                let mut command = Command::new(PROBE_RS);
                command.args(*verb).args(["--chip", self.probe]);
                command.args(probe.map(|probe| ["--probe", probe]).iter().flatten());
                if verb[0] != "reset" {
                    command.arg(&image);
                }
                command
            })
            .collect();
        let shown: Vec<_> =
            commands.iter().map(|command| format!("command {}", describe(command))).collect();
        Ok((commands, plan + &shown.join("\n")))
    }

    fn build(self, console: &Console, compiler: &Compiler) -> Result<PathBuf> {
        let Image { package, binary } = self.firmware.image();
        let label = format!("build {package} for {}", self.name);
        let mut command =
            compiler.cargo("build", self.triple, &self.firmware.image().directory(), AREA);
        command.args(["--release", "--locked", "--bin", binary]);
        if let Firmware::Example(chip) = self.firmware {
            command.env("HE_CHIP", chip);
        }
        step(console, &label, &mut command, BUILD_LIMIT)?;
        let built = compiler.image(self.triple, AREA, binary);
        let kept = built.with_file_name(format!("{package}-{}.elf", self.name));
        fs::copy(&built, &kept).with_context(|| format!("copying {}", built.display()))?;
        Ok(kept)
    }
}

impl Firmware {
    const fn image(self) -> Image {
        match self {
            Self::Client => CLIENT_NRF52840,
            Self::Example(_) => EXAMPLE,
        }
    }

    /// Where its memory map is.
    fn map(self) -> PathBuf {
        let directory = self.image().directory();
        match self {
            Self::Client => directory.join("memory.x"),
            Self::Example(chip) => directory.join("memory").join(chip).join("memory.x"),
        }
    }

    /// The steps of `probe-rs`. What the client keeps in other pages of the flash is not erased.
    const fn verbs(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Client => &[&["download", "--verify"], &["reset"]],
            Self::Example(_) => &[&["run"]],
        }
    }
}

/// Bytes of an image in flash (all that the file brings) and in RAM (variables, without the stack).
fn contents(image: &Path) -> Result<[(&'static str, u64); 2]> {
    let bytes = fs::read(image).with_context(|| format!("reading {}", image.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{}", image.display()))?;
    let (mut flash, mut ram) = (0, 0);
    for segment in file.segments() {
        flash += segment.file_range().1;
        if let SegmentFlags::Elf { p_flags, .. } = segment.flags()
            && p_flags & object::elf::PF_W != 0
        {
            ram += segment.size();
        }
    }
    Ok([("FLASH", flash), ("RAM", ram)])
}

/// The addresses of a region of a linker script, whose line is `NAME : ORIGIN = 0x…, LENGTH = …K`.
fn region_of(script: &str, region: &str) -> Result<Range<u64>> {
    let line = script.lines().find_map(|line| line.trim().strip_prefix(region));
    let parse = |line: &str| {
        let (_, line) = line.split_once("ORIGIN = 0x")?;
        let (origin, length) = line.split_once(", LENGTH = ")?;
        let origin = u64::from_str_radix(origin, 16).ok()?;
        let length = length.trim();
        let (number, unit) = length.split_at_checked(length.len().checked_sub(1)?)?;
        let shift = match unit {
            "K" => 10,
            "M" => 20,
            _ => return None,
        };
        Some(origin..origin + (number.parse::<u64>().ok()? << shift))
    };
    line.and_then(parse).with_context(|| format!("no {region} in the memory map"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chip_has_a_map_with_flash_and_ram() {
        for chip in CHIPS {
            let map = fs::read_to_string(chip.firmware.map()).unwrap();
            let (flash, ram) = (region_of(&map, "FLASH").unwrap(), region_of(&map, "RAM").unwrap());
            assert!(flash.end <= ram.start, "{}", chip.name);
        }
    }

    #[test]
    fn regions_are_read_as_the_linker_reads_them() {
        let map = "MEMORY\n{\n  FLASH : ORIGIN = 0x08000000, LENGTH = 2M\n}";
        assert_eq!(region_of(map, "FLASH").unwrap(), 0x0800_0000..0x0820_0000);
        assert!(region_of(map, "RAM").is_err());
        assert!(region_of("RAM : ORIGIN = 0x0, LENGTH = 7", "RAM").is_err());
    }
}
