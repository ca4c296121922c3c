//! No instruction whose time depends on its operands in what a Cortex-M4F runs on secrets: divisions, and
//! arithmetic by functions, which branch.

use super::lines_of;
use crate::boards::MPS2_AN386;
use crate::build::Outcome;
use crate::c_example;
use crate::compiler::Choice;
use crate::console::Console;
use crate::setup;
use anyhow::{Context, Result, bail};
use std::path::Path;

const DISASSEMBLER: &str = "arm-none-eabi-objdump";
/// Whose functions are looked at, by parts of their names.
const OURS: [&str; 6] = [
    "he_core::",
    "he_core_c::",
    "he_nn::client::embedding",
    "he_nn::client::input",
    "poly1305",
    "chacha20",
];
/// Functions of the library for C begin with this, and are in no module.
const C_PREFIX: &str = "he_";
/// Divisions of public numbers: part of the function's name, how many at most, and of what.
const EXCEPTIONS: [(&str, usize, &str); 6] = [
    ("EdgeRing::new", 1, "a power of two by the prime"),
    ("EdgeRing::inverse", 1, "a power of two by the prime"),
    ("he_core_c::open", 1, "the same, inlined"),
    ("Input<_>::empty", 1, "the length of a table by its width"),
    ("Input<_>::new", 2, "the same, inlined"),
    ("he_core::slots::", 8, "the degree by a number of rows or groups"),
];

/// A finding: the function, and the instruction.
type Finding<'a> = (&'a str, &'a str);

/// One outcome for each image.
///
/// # Errors
/// If an image cannot be built or taken apart.
pub(super) fn outcomes(console: &Console, choice: Choice) -> Result<Vec<Outcome>> {
    let compiler = setup::bare_metal(console, choice)?;
    setup::c_compiler(console)?;
    let example = c_example::image(console, &compiler)?;
    let tests = MPS2_AN386.tests.first().and_then(|images| images.first());
    let tests = MPS2_AN386.build(console, &compiler, *tests.context("a board without tests")?)?;
    [("the library for C", example), ("the tests of a board", tests)]
        .iter()
        .map(|(name, image)| {
            Ok((format!("no division on the Cortex-M4F, {name}"), problem(image)?))
        })
        .collect()
}

fn problem(image: &Path) -> Result<Option<String>> {
    let lines = lines_of(DISASSEMBLER, &["-d", "-C", "--no-show-raw-insn"], image)?;
    let (examined, findings) = findings(&lines);
    if examined == 0 {
        bail!("{}: none of our functions is in it", image.display());
    }
    let excess = in_excess(&findings);
    Ok((!excess.is_empty()).then(|| excess.join("\n")))
}

/// How many of our functions there are, and what was found in them.
fn findings(lines: &[String]) -> (usize, Vec<Finding<'_>>) {
    let (mut function, mut examined, mut findings) = (None, 0, Vec::new());
    for line in lines {
        if let Some(name) = opened(line) {
            function = is_ours(name).then_some(name);
            examined += usize::from(function.is_some());
        } else if let (Some(function), Some((_, instruction))) = (function, line.split_once(":\t"))
            && is_variable(instruction)
        {
            findings.push((function, instruction));
        }
    }
    (examined, findings)
}

/// The function that a line opens.
fn opened(line: &str) -> Option<&str> {
    line.strip_suffix(">:")?.split_once(" <").map(|(_, name)| name)
}

fn is_ours(name: &str) -> bool {
    let is_for_c = name.starts_with(C_PREFIX) && !name.contains("::");
    is_for_c || OURS.iter().any(|part| name.contains(part))
}

/// Whether an instruction, `mnemonic TAB operands`, takes longer for some operands, or calls arithmetic.
fn is_variable(instruction: &str) -> bool {
    let (mnemonic, operands) = instruction.split_once('\t').unwrap_or((instruction, ""));
    let divides = ["udiv", "sdiv", "vdiv", "vsqrt"].iter().any(|name| mnemonic.starts_with(name));
    let called = operands.split_once('<').map_or("", |(_, name)| name);
    let is_arithmetic = called.starts_with("__") && !called.starts_with("__aeabi_mem")
        || called.contains("compiler_builtins::") && !called.contains("::mem::");
    divides || mnemonic.starts_with('b') && is_arithmetic
}

/// Findings that are not excepted.
fn in_excess(findings: &[Finding<'_>]) -> Vec<String> {
    let mut allowed = EXCEPTIONS.map(|(function, count, _)| (function, count));
    let excess = findings.iter().filter(|(function, _)| {
        let exception =
            allowed.iter_mut().find(|(part, left)| *left > 0 && function.contains(part));
        exception.map(|(_, left)| *left -= 1).is_none()
    });
    excess.map(|(function, instruction)| format!("{function}: {instruction}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "00000010 <he_core::edge::EdgeKey::encrypt>:
      10:\tmul\tr0, r1\n      12:\tudiv\tr1, r2, r3
      14:\tbl\t80 <__aeabi_memclr4>\n      16:\tbl\t90 <__aeabi_dmul>
00000020 <he_core::edge::arithmetic::EdgeRing::inverse>:\n      22:\tudiv\tr1, r2, r3
00000030 <main>:\n      32:\tudiv\tr1, r2, r3
00000040 <he_upload>:\n      42:\tbl\tc0 <compiler_builtins::mem::memcpy>
      44:\tsdiv\tr1, r2, r3";

    #[test]
    fn divisions_and_calls_are_found_in_our_functions_but_not_where_they_are_excepted() {
        let lines: Vec<String> = LISTING.lines().map(str::to_owned).collect();
        let (examined, found) = findings(&lines);
        assert_eq!((examined, found.len()), (3, 4));
        let excess = in_excess(&found);
        assert_eq!(excess.len(), 3, "{excess:?}");
        assert!(excess[1].contains("__aeabi_dmul") && excess[2].contains("he_upload"));
    }

    #[test]
    fn an_exception_counts_once() {
        let twice = [("EdgeRing::new", "udiv"), ("EdgeRing::new", "udiv")];
        assert_eq!(in_excess(&twice).len(), 1);
    }
}
