//! Where things are. The linker scripts in `memory/` have the same numbers.

use key_authority::window::Window;

/// Memory of the normal world: 128 MB from the start of RAM. What the secure image was loaded from is
/// part of it and holds no secret.
pub const NORMAL: Window = Window { start: 0x4000_0000, end: 0x4800_0000 };

/// All secure memory: only transactions of the secure world reach it.
pub const SECURE: Window = Window { start: 0x0e00_0000, end: 0x0f00_0000 };

/// Code and constants of monitor and authority.
pub const PROGRAM: Window = Window { start: 0x0e00_0000, end: 0x0e20_0000 };

/// The monitor's statics and stack.
pub const MONITOR: Window = Window { start: 0x0e20_0000, end: 0x0e40_0000 };

/// The authority's statics, stack and heap.
pub const AUTHORITY: Window = Window { start: 0x0e40_0000, end: 0x0f00_0000 };

/// Where an application of the normal world starts.
pub const NORMAL_START: u64 = 0x4200_0000;

/// The second serial port, which only the secure world reaches: the device's link. A PL011.
pub const SECURE_UART: u64 = 0x0904_0000;

/// Bytes that a block of the translation tables' second level maps.
pub const BLOCK: u64 = 2 << 20;
