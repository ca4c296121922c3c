//! What the firmware takes of flash and RAM, against the budgets of the device it is laid out for.

use crate::boards::MPS2_AN386;
use crate::compiler::Choice;
use crate::console::Console;
use crate::demo::CLIENT;
use crate::setup;
use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionKind};
use std::fs;
use std::path::Path;

/// Flash of the nRF52840, bytes.
const FLASH: u64 = 1 << 20;
/// RAM that the client may take, statics and stack together, bytes.
const RAM: u64 = 64 * 1024;

/// Bytes of an image by where they lie.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    flash: u64,
    statics: u64,
}

/// Builds the client image and prints its sizes; false if one is over budget.
///
/// # Errors
/// If the image cannot be built or read.
pub(crate) fn run(console: &Console, choice: Choice) -> Result<bool> {
    let compiler = setup::bare_metal(console, choice)?;
    let sizes = of_image(&MPS2_AN386.build(console, &compiler, CLIENT)?)?;
    println!("{:<36}{:>12}{:>12}", MPS2_AN386.name, "bytes", "budget");
    let rows = [
        ("code, constants and model in flash", sizes.flash, FLASH),
        ("static RAM (stack excluded)", sizes.statics, RAM),
    ];
    for (name, bytes, budget) in rows {
        let verdict = if bytes > budget { "  OVER BUDGET" } else { "" };
        println!("{name:<36}{bytes:>12}{budget:>12}{verdict}");
    }
    Ok(rows.iter().all(|(_, bytes, budget)| bytes <= budget))
}

fn of_image(path: &Path) -> Result<Sizes> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let image = object::File::parse(&*bytes).with_context(|| format!("{}", path.display()))?;
    let mut sizes = Sizes::default();
    for section in image.sections() {
        let size = section.size();
        match section.kind() {
            SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => {
                sizes.flash += size;
            }
            SectionKind::Data => {
                sizes.flash += size;
                sizes.statics += size;
            }
            SectionKind::UninitializedData => sizes.statics += size,
            _ => {}
        }
    }
    Ok(sizes)
}
