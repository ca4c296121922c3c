//! Who has which memory. `memory/*.x` have the same numbers.

use core::ops::Range;

/// The monitor's RAM: secrets are nowhere else.
pub const VAULT_RAM: Range<usize> = 0x8040_0000..0x8044_0000;
/// The application's code and constants.
pub const APPLICATION_FLASH: Range<usize> = 0x8020_0000..0x8040_0000;
/// The application's RAM.
pub const APPLICATION_RAM: Range<usize> = 0x8044_0000..0x8048_0000;
