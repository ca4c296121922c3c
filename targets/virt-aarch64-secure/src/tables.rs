//! Translation tables: two levels, blocks of 2 MB, addresses as they are.
//!
//! Arm ARM (DDI 0487), D8.3: a block is writable or executable, never both, and what is not listed
//! is not mapped.

use key_authority::window::Window;

use crate::layout::BLOCK;

const ENTRIES: usize = 512;
const GIGABYTE: u64 = 1 << 30;

const TABLE: u64 = 0b11;
const VALID_BLOCK: u64 = 0b01;
/// Index of the attributes in the memory attribute register.
const DEVICE: u64 = 1 << 2;
const NON_SECURE: u64 = 1 << 5;
/// Access by EL0 where there is one; at EL3 the bit is to be set.
const EL3_ACCESS: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const PRIVILEGED_NO_EXECUTE: u64 = 1 << 53;
const NO_EXECUTE: u64 = 1 << 54;

/// Attribute 0: normal memory, write-back. Attribute 1: device, nGnRE.
pub(crate) const ATTRIBUTES: u64 = 0x04ff;

/// What may be done with a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// Read and run.
    Program,
    /// Read and write.
    Data,
    /// Read and write, registers of devices.
    Device,
}

/// Who the tables are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    /// The monitor.
    El3,
    /// The authority.
    El1,
}

/// Tables for the lowest 4 GB.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Tables {
    first: [u64; ENTRIES],
    second: [u64; ENTRIES],
}

impl Tables {
    /// Nothing is mapped.
    pub(crate) const fn empty() -> Self {
        Self { first: [0; ENTRIES], second: [0; ENTRIES] }
    }

    /// The address of the tables, for the register that holds it.
    pub(crate) fn root(&mut self) -> u64 {
        let address = |table: &[u64; ENTRIES]| table.as_ptr().addr() as u64;
        self.first[0] = address(&self.second) | TABLE;
        address(&self.first)
    }

    /// Maps the blocks of a window of the lowest gigabyte, all in secure memory.
    pub(crate) fn map(&mut self, level: Level, window: Window, access: Access) {
        let access = match (level, access) {
            (Level::El3, Access::Program) => READ_ONLY,
            (Level::El1, Access::Program) => READ_ONLY | NO_EXECUTE,
            (_, Access::Data) => PRIVILEGED_NO_EXECUTE | NO_EXECUTE,
            (_, Access::Device) => PRIVILEGED_NO_EXECUTE | NO_EXECUTE | DEVICE,
        };
        let el3 = if level == Level::El3 { EL3_ACCESS } else { 0 };
        let attributes = access | el3 | ACCESSED | INNER_SHAREABLE | VALID_BLOCK;
        let blocks = (window.start..window.end).step_by(2 << 20);
        for (entry, address) in self.second[index(window.start)..].iter_mut().zip(blocks) {
            *entry = address | attributes;
        }
    }

    /// Maps the second gigabyte as memory of the normal world, for reading and writing.
    pub(crate) fn map_normal(&mut self) {
        let never = PRIVILEGED_NO_EXECUTE | NO_EXECUTE;
        self.first[1] = GIGABYTE | NON_SECURE | never | ACCESSED | INNER_SHAREABLE | VALID_BLOCK;
    }
}

/// The entry of the second level for an address.
const fn index(address: u64) -> usize {
    (address % GIGABYTE / BLOCK) as usize
}
