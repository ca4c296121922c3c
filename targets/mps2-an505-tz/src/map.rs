//! Who has which memory. `memory/*.x` have the same numbers.

use core::ops::Range;

/// The secure world's RAM: secrets are nowhere else.
pub const VAULT_RAM: Range<usize> = 0x3800_0000..0x3804_0000;
/// The way through the wall, at the start of the region where secure gateways may be.
pub const GATEWAY: Range<usize> = 0x101F_0000..0x1020_0000;
/// The application's code and constants.
pub const APPLICATION_FLASH: Range<usize> = 0x0020_0000..0x0040_0000;
/// The application's RAM, of which its image takes the first 256 KB.
pub const APPLICATION_RAM: Range<usize> = 0x2820_0000..0x2840_0000;
/// Peripherals as the application addresses them.
pub const PERIPHERALS: Range<usize> = 0x4000_0000..0x5000_0000;
