//! The example of firmware in C: built with the static library `he-core-c`, run in QEMU.

use crate::boards::MPS2_AN386;
use crate::compiler::{Compiler, root};
use crate::console::Console;
use crate::process::step;
use crate::setup::C_COMPILER;
use anyhow::Result;
use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

const LIMIT: Duration = Duration::from_secs(600);
/// Subdirectory of cargo's target directory.
const AREA: &str = "c-library";
const MACHINE: [&str; 4] = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"];
const C: [&str; 7] =
    ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-ffreestanding", "-nostdlib"];

/// Builds the library and the example, and returns how to run the image, which reports as Rust's tests do.
///
/// # Errors
/// The compilers' output.
pub(crate) fn build(console: &Console, compiler: &Compiler) -> Result<Command> {
    Ok(MPS2_AN386.emulate(&[image(console, compiler)?], &[], &[]))
}

/// Builds the library and the example, and returns the image.
///
/// # Errors
/// As [`build`].
pub(crate) fn image(console: &Console, compiler: &Compiler) -> Result<PathBuf> {
    let directory = root().join("targets/he-core-c");
    let mut library = compiler.cargo("rustc", MPS2_AN386.triple, &directory, AREA);
    library.args(["--release", "--locked", "--lib", "--crate-type", "staticlib"]);
    step(console, "build he-core-c for the Cortex-M4F", &mut library, LIMIT)?;
    let library = compiler.image(MPS2_AN386.triple, AREA, "libhe_core_c.a");

    let vectors = root().join("targets/common/vectors");
    let image: PathBuf = library.with_file_name("c-example.elf");
    let mut c = Command::new(C_COMPILER);
    c.current_dir(directory.join("example")).args(C).args(MACHINE);
    c.arg("-I../include").arg(format!("-Wa,-I{}", vectors.display()));
    c.args(["main.c", "start.S", "-T", "link.ld"]).arg(library).arg("-lgcc");
    c.arg("-o").arg(&image);
    step(console, "build the example in C", &mut c, LIMIT)?;
    Ok(image)
}
