//! The card with the application's serial ports, in the board's first PCI slot (PCI Local Bus Specification 3.0,
//! section 6).

use core::ptr::with_exposed_provenance_mut;

use crate::map::PORTS;

/// The configuration of what is in the first slot.
pub(crate) const CONFIGURATION: usize = 0x3000_0000 + (1 << 15);
/// Where the board's input and output space begins, that addresses of ports are counted from.
const SPACE: usize = 0x0300_0000;
/// Where the map has the ports there.
const PLACE: u32 = 0x1000;
const _: () = assert!(SPACE + PLACE as usize == PORTS.start);
/// QEMU's card with two 16550 (docs/specs/pci-serial).
const TWO_PORTS: u32 = 0x0003_1B36;
/// Words of the configuration: who it is, what it may do, its first address.
const IDENTITY: usize = 0;
const COMMAND: usize = 4;
const ADDRESS: usize = 0x10;
/// It answers in that space, and does nothing by itself: it cannot write memory.
const ANSWER: u32 = 1;

/// Puts the ports where the map has them; false if there is no such card. To be called by the monitor, first.
#[must_use]
pub fn open() -> bool {
    let word = |offset| with_exposed_provenance_mut::<u32>(CONFIGURATION + offset);
    // SAFETY: the configuration space of the board, which answers with ones where there is no card; the addresses are
    // free.
    unsafe {
        if word(IDENTITY).read_volatile() != TWO_PORTS {
            return false;
        }
        word(ADDRESS).write_volatile(PLACE);
        word(COMMAND).write_volatile(ANSWER);
    }
    true
}
