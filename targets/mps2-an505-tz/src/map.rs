//! Who has which memory, and which peripherals. `memory/*.x` have the same numbers.

use core::ops::Range;

use he_cmsdk::Peripheral;

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

/// The port to the server: the application's.
// SAFETY: `UART0` of the board as the application addresses it; nothing else uses it.
pub static SERVER: Peripheral = unsafe { Peripheral::new(0x4020_0000, 42) };
/// The port to the key authority: the secure world's.
// SAFETY: `UART1` as the secure world addresses it, likewise.
pub static AUTHORITY: Peripheral = unsafe { Peripheral::new(0x5020_1000, 43) };
/// The port to the operator: the application's.
// SAFETY: `UART2` as the application addresses it, likewise.
pub static OPERATOR: Peripheral = unsafe { Peripheral::new(0x4020_2000, 44) };
/// The application's timer for waits that are limited.
// SAFETY: `TIMER1` as the application addresses it, likewise.
pub static TIMER: Peripheral = unsafe { Peripheral::new(0x4000_1000, 4) };
