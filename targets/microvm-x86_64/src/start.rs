//! From the first instruction, in 32 bits, to Rust in 64.
//!
//! The boot protocol is Xen's PVH (`docs/misc/pvh.pandoc` of Xen): a note in the image names an entry
//! point, which is reached in protected mode without paging, with the address of a start-up record in
//! `ebx`. The lowest gigabyte is then mapped to itself in blocks of 2 MB: the first is the host's, to
//! read; the second the program's, to read and run; all others are data, never run. The fourth gigabyte, where
//! devices are, is one block more (Intel SDM, volume 3A, table 4-16).

use core::arch::naked_asm;
use core::cell::UnsafeCell;

/// Three levels of page tables, one after another, from the highest.
#[repr(C, align(4096))]
struct Tables(UnsafeCell<[[u64; 512]; 3]>);

// SAFETY: written by the first instructions only, before there is anything to share them with.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(UnsafeCell::new([[0; 512]; 3]));

/// Nothing, code of 64 bits, data; marked as used already, so that the processor need not write it.
static SEGMENTS: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// The note with the entry point; loaders take notes to be aligned to four bytes.
#[repr(C, packed(4))]
struct Note {
    name_bytes: u32,
    entry_bytes: u32,
    kind: u32,
    name: [u8; 4],
    entry: unsafe extern "C" fn() -> !,
}

/// `XEN_ELFNOTE_PHYS32_ENTRY`.
#[used]
#[unsafe(link_section = ".note.pvh")]
static NOTE: Note = Note { name_bytes: 4, entry_bytes: 8, kind: 18, name: *b"Xen\0", entry: start };

/// Where the machine starts.
///
/// # Safety
/// To be started by a loader that follows the protocol.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn start() -> ! {
    naked_asm!(
        ".code32",
        "cli",
        "movl $__stack, %esp",
        "movl %ebx, %edi",
        // Each level's first entry is the next level; writable as far as they are concerned.
        "movl ${tables} + 0x1000, %eax",
        "orl $3, %eax",
        "movl %eax, {tables}",
        "movl ${tables} + 0x2000, %eax",
        "orl $3, %eax",
        "movl %eax, {tables} + 0x1000",
        // 512 blocks: present, writable, large; no execution.
        "movl ${tables} + 0x2000, %ecx",
        "movl $0x83, %eax",
        "2:",
        "movl %eax, (%ecx)",
        "movl $0x80000000, 4(%ecx)",
        "addl $8, %ecx",
        "addl $0x200000, %eax",
        "cmpl $0x40000083, %eax",
        "jne 2b",
        // Devices: present, writable, not cached, large; no execution.
        "movl $0xc0000093, {tables} + 0x1018",
        "movl $0x80000000, {tables} + 0x101c",
        // The host's block and the program's are not written; the program's is run.
        "movl ${tables} + 0x2000, %ecx",
        "andl $0xfffffffd, (%ecx)",
        "andl $0xfffffffd, 8(%ecx)",
        "movl $0, 12(%ecx)",
        "movl $0x20, %eax",
        "movl %eax, %cr4",
        "movl ${tables}, %eax",
        "movl %eax, %cr3",
        // Long mode and no-execute, in EFER; then paging, and write protection for us too.
        "movl $0xc0000080, %ecx",
        "rdmsr",
        "orl $0x900, %eax",
        "wrmsr",
        "movl %cr0, %eax",
        "orl $0x80010001, %eax",
        "movl %eax, %cr0",
        "subl $8, %esp",
        "movw $23, (%esp)",
        "movl ${segments}, 2(%esp)",
        "lgdtl (%esp)",
        "ljmpl $8, $3f",
        ".code64",
        "3:",
        "movw $16, %ax",
        "movw %ax, %ds",
        "movw %ax, %es",
        "movw %ax, %ss",
        "movq $__stack, %rsp",
        "movl %edi, %edi",
        "call guest_main",
        "4:",
        "hlt",
        "jmp 4b",
        tables = sym TABLES,
        segments = sym SEGMENTS,
        options(att_syntax),
    )
}
