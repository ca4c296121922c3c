//! Puts firmware on a chip through a debug probe, by the program `probe-rs`.
//!
//! What is flashed is the firmware of `targets/example-firmware`, laid out for the chip: it needs nothing of a
//! board but its processor, its memory and the probe, through which it speaks (semihosting). No chip was
//! ever at hand: that images fit and that the commands are these is what has been tested.

use crate::boards::{self, EXAMPLE as FIRMWARE};
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
const INSTALL: &str = "probe-rs is not installed; `cargo install probe-rs-tools --locked` builds it, \
                       https://probe.rs/docs/getting-started/installation has it ready-made";

/// A chip, with its memory map in `targets/example-firmware/memory`.
#[derive(Debug, Clone, Copy)]
struct Chip {
    /// What `--target` calls it, and the folder of its map.
    name: &'static str,
    /// What `probe-rs` calls it.
    probe: &'static str,
    triple: &'static str,
}

const CHIPS: [Chip; 4] = [
    Chip { name: "nrf52840", probe: "nRF52840_xxAA", triple: "thumbv7em-none-eabihf" },
    Chip { name: "nrf5340", probe: "nRF5340_xxAA", triple: "thumbv8m.main-none-eabihf" },
    Chip { name: "stm32h743", probe: "STM32H743ZITx", triple: "thumbv7em-none-eabihf" },
    Chip { name: "stm32u585", probe: "STM32U585AIIx", triple: "thumbv8m.main-none-eabihf" },
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
    let (mut command, plan) =
        arguments.target.plan(console, &compiler, arguments.probe.as_deref())?;
    println!("{plan}");
    if arguments.dry_run {
        return Ok(true);
    }
    if output_of(Command::new(command.get_program()).arg("--version")).is_none() {
        bail!(INSTALL);
    }
    let finished = run_with(&mut command, PROBE_LIMIT, |line| println!("{}", line.text()))?;
    Ok(finished.success)
}

/// Tests: the firmware on two boards in QEMU, and a dry run for each chip.
///
/// # Errors
/// None: a test that cannot run has failed.
pub(crate) fn outcomes(console: &Console, compiler: &Compiler) -> Vec<Outcome> {
    let emulated = boards::ALL.iter().filter(|board| EMULATED.contains(&board.name));
    let emulated = emulated.map(|board| {
        let run = || {
            let image = board.build(console, compiler, FIRMWARE)?;
            let finished = run_with(&mut board.emulate(&[image], &[], &[]), RUN_LIMIT, |_| ())?;
            ensure!(finished.success, "{}\n{}", finished.status, finished.tail(10));
            Ok(())
        };
        (format!("the example firmware runs on {}", board.name), run())
    });
    let dry = CHIPS.map(|chip| {
        (format!("dry run for {}", chip.name), chip.plan(console, compiler, None).map(|_| ()))
    });
    let told = |(name, result): (_, Result<()>)| (name, result.err().map(|e| format!("{e:#}")));
    emulated.chain(dry).map(told).collect()
}

impl Chip {
    /// The command that flashes the firmware, and a description of what it does.
    fn plan(
        self,
        console: &Console,
        compiler: &Compiler,
        probe: Option<&str>,
    ) -> Result<(Command, String)> {
        let map = FIRMWARE.directory().join("memory").join(self.name).join("memory.x");
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
        let mut command = Command::new("probe-rs");
        command.args(["run", "--chip", self.probe]);
        command.args(probe.map(|probe| ["--probe", probe]).iter().flatten()).arg(image);
        plan += &format!("command {}", describe(&command));
        Ok((command, plan))
    }

    fn build(self, console: &Console, compiler: &Compiler) -> Result<PathBuf> {
        let label = format!("build the example firmware for {}", self.name);
        let mut command = compiler.cargo("build", self.triple, &FIRMWARE.directory(), AREA);
        command.args(["--release", "--locked"]).env("HE_CHIP", self.name);
        step(console, &label, &mut command, BUILD_LIMIT)?;
        let built = compiler.image(self.triple, AREA, FIRMWARE.binary);
        let kept = built.with_file_name(format!("{}-{}.elf", FIRMWARE.package, self.name));
        fs::copy(&built, &kept).with_context(|| format!("copying {}", built.display()))?;
        Ok(kept)
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
            let map = FIRMWARE.directory().join("memory").join(chip.name).join("memory.x");
            let map = fs::read_to_string(map).unwrap();
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
