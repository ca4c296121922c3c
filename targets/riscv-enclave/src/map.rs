//! Who has which memory, and which serial ports. `memory/*.x` have the same numbers.

use core::ops::Range;

/// The monitor's RAM: secrets are nowhere else.
pub const VAULT_RAM: Range<usize> = 0x8040_0000..0x8044_0000;
/// The application's code and constants.
pub const APPLICATION_FLASH: Range<usize> = 0x8020_0000..0x8040_0000;
/// The application's RAM.
pub const APPLICATION_RAM: Range<usize> = 0x8044_0000..0x8048_0000;

/// The board's own serial port, to the key authority: the monitor's.
pub const AUTHORITY: usize = 0x1000_0000;
/// The serial ports of the card, to the server and to the operator: the application's, and all that it has of devices.
pub const PORTS: Range<usize> = 0x0300_1000..0x0300_1010;
/// The first of them.
pub const SERVER: usize = PORTS.start;
/// The second.
pub const OPERATOR: usize = PORTS.start + 8;
