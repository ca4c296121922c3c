//! What the images take of flash and RAM; the client against the budgets of the device it is laid out
//! for.

use crate::boards::{self, CLIENT, CLIENT_NRF52840, MPS2_AN386, Sizes};
use crate::compiler::Choice;
use crate::console::Console;
use crate::setup;
use anyhow::Result;

/// Flash of the nRF52840, bytes.
const FLASH: u64 = 1 << 20;
/// RAM that the client may take, statics and stack together, bytes.
pub(crate) const RAM: u64 = 64 * 1024;

/// Builds every image and prints its sizes; false if the client is over budget.
///
/// # Errors
/// If an image cannot be built or read.
pub(crate) fn run(console: &Console, choice: Choice) -> Result<bool> {
    let compiler = setup::bare_metal(console, choice)?;
    let mut images = vec![(&MPS2_AN386, CLIENT), (&MPS2_AN386, CLIENT_NRF52840)];
    for board in boards::ALL {
        images.extend(board.tests.iter().copied().flatten().map(|&image| (board, image)));
    }
    let mut rows = Vec::new();
    for (board, image) in images {
        rows.push((image, Sizes::of(&board.build(console, &compiler, image)?)?));
    }
    println!("{:<32}{:>12}{:>12}{:>12}", "bytes", "code", "constants", "static RAM");
    for (image, sizes) in &rows {
        let name = format!("{} {}", image.package, image.binary);
        println!("{name:<32}{:>12}{:>12}{:>12}", sizes.code, sizes.constants, sizes.statics);
    }
    let client = rows.first().map_or_else(Sizes::default, |(_, sizes)| *sizes);
    println!("budgets of the client: {FLASH} bytes of flash, {RAM} bytes of RAM with the stack");
    let is_good = client.flash() <= FLASH && client.statics <= RAM;
    if !is_good {
        println!("OVER BUDGET: the client takes {} and {}", client.flash(), client.statics);
    }
    Ok(is_good)
}
