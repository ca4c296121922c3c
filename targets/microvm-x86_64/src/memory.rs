//! What lies where, what the host left, and how it all ends.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::naked_asm;

use key_authority::Error;
use key_authority::window::Window;
use sha2::{Digest, Sha256};

use crate::heap::HEAP;

unsafe extern "C" {
    static __program_start: u8;
    static __program_end: u8;
    static __stack_bottom: u8;
    static __stack: u8;
    static __heap_end: u8;
}

/// Where the host's start-up record may be, and what it points to below the program.
const LOW: Window = Window { start: 0x1000, end: 2 << 20 };

/// Where the host may leave an order: above everything that is the guest's.
pub const SHARED: Window = Window { start: 32 << 20, end: 128 << 20 };

/// First word of a start-up record.
const MAGIC: u32 = 0x336e_c578;

/// Gives the heap what lies above the stack. Once, first.
pub fn take_heap() {
    let start = (&raw const __stack).addr();
    let end = (&raw const __heap_end).addr();
    // SAFETY: the linker script puts nothing there; called once.
    unsafe { HEAP.init(start, end - start) }
}

/// A copy of the order that the host left: the first module of the start-up record at `record`. The
/// record is the host's, so nothing in it is believed that is not checked.
///
/// # Errors
/// If there is no such module, or it is not where one may be, or it is longer than `longest`.
pub fn order(record: u64, longest: usize) -> Result<Vec<u8>, Error> {
    const NONE: Error = Error::Order("the host left none");
    let head: [u32; 6] = read(record)?;
    let [magic, _, _, modules, low, high] = head;
    if magic != MAGIC || modules == 0 {
        return Err(NONE);
    }
    let [start, length]: [u64; 2] = read(u64::from(high) << 32 | u64::from(low))?;
    if !SHARED.has(start, length, longest as u64) {
        return Err(Error::Order("it is not where orders may be"));
    }
    let mut order = vec![0; usize::try_from(length).map_err(|_| NONE)?];
    // SAFETY: mapped memory that is not the guest's own, as the window says; the copy is new.
    unsafe { core::ptr::copy_nonoverlapping(place(start)?, order.as_mut_ptr(), order.len()) };
    Ok(order)
}

/// The command line that the host gave with the start-up record; nothing if it is not one.
#[must_use]
pub fn command_line(record: u64) -> String {
    const LONGEST: u64 = 256;
    let bytes = || {
        let [_, _, low, high]: [u32; 4] = read(record + 16)?;
        let line = u64::from(high) << 32 | u64::from(low);
        let bytes = (line..line.saturating_add(LONGEST)).map(read_byte);
        bytes.take_while(|byte| *byte != Ok(0)).collect::<Result<Vec<_>, _>>()
    };
    bytes().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn read_byte(address: u64) -> Result<u8, Error> {
    let word: u32 = read(address & !3)?;
    Ok(word.to_le_bytes()[usize::try_from(address & 3).unwrap_or(0)])
}

/// A copy of what lies at an address of the host's block.
fn read<T: Copy>(address: u64) -> Result<T, Error> {
    let length = size_of::<T>() as u64;
    if !LOW.has(address, length, length) || !address.is_multiple_of(4) {
        return Err(Error::Order("the start-up record is not where one may be"));
    }
    // SAFETY: mapped memory, words for which every value is one.
    Ok(unsafe { place::<T>(address)?.read_unaligned() })
}

fn place<T>(address: u64) -> Result<*const T, Error> {
    let address = usize::try_from(address).map_err(|_| Error::Order("an address too large"))?;
    Ok(core::ptr::with_exposed_provenance(address))
}

/// SHA-256 of code and constants, as they lie in memory.
#[must_use]
pub fn measurement() -> [u8; 32] {
    let start = &raw const __program_start;
    let length = (&raw const __program_end).addr() - start.addr();
    // SAFETY: the program is mapped, and nobody can write it.
    Sha256::digest(unsafe { core::slice::from_raw_parts(start, length) }).into()
}

/// Most bytes of memory that were in use at once: statics, the deepest stack, and the fullest heap.
#[must_use]
pub fn high_water() -> usize {
    let (bottom, top) = ((&raw const __stack_bottom).addr(), (&raw const __stack).addr());
    let unused = (bottom..top).step_by(8).take_while(|&at| {
        // SAFETY: mapped memory of the stack; what was never written is zero.
        unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() == 0 }
    });
    let stack = top - bottom - 8 * unused.count();
    bottom - (4 << 20) + stack + HEAP.peak()
}

/// How often the bytes of `pattern`, given with its bits flipped, are somewhere in the guest's memory
/// at multiples of eight, this call's own registers and stack aside. For tests.
#[must_use]
pub fn count(pattern: [u64; 2]) -> usize {
    let end = (&raw const __heap_end).addr();
    let read = |at: usize| {
        // SAFETY: mapped memory of the guest.
        unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() }
    };
    let places = (4 << 20..end - 8).step_by(8);
    places.filter(|&at| !read(at) == pattern[0] && !read(at + 8) == pattern[1]).count()
}

/// Fills all of the guest's data with zeros (statics, stack, heap) and ends the machine: by the device
/// `isa-debug-exit` with this status, or by waiting for ever where there is none. The status that the
/// emulator ends with is twice this one plus one.
#[unsafe(naked)]
pub extern "C" fn erase_and_exit(status: u32) -> ! {
    naked_asm!(
        "cli",
        "movl %edi, %r8d",
        // The stack goes too: nothing from here on uses it.
        "movq $0x400000, %rdi",
        "movq $__heap_end, %rcx",
        "subq %rdi, %rcx",
        // The three page tables stay, or nothing would run.
        "movq %cr3, %rax",
        "2:",
        "movq %rdi, %rdx",
        "andq $-0x1000, %rdx",
        "subq %rax, %rdx",
        "cmpq $0x3000, %rdx",
        "jb 3f",
        "movq $0, (%rdi)",
        "3:",
        "addq $8, %rdi",
        "subq $8, %rcx",
        "jnz 2b",
        "movl %r8d, %eax",
        "movl $0xf4, %edx",
        "outl %eax, %dx",
        "4:",
        "hlt",
        "jmp 4b",
        options(att_syntax),
    )
}
