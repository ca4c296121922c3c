//! Accesses that the page tables refuse.

use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use he_firmware::check;
use he_firmware::harness::{Bench, Failure};
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

use crate::guest::BAD;
use crate::memory::erase_and_exit;
use crate::start;

/// Where to go on after the next fault; nowhere if it is zero.
static RESUME: AtomicU64 = AtomicU64::new(0);
/// The error code of the last fault.
static CODE: AtomicU64 = AtomicU64::new(0);

/// Bits of an error code: the page is there, it was a write, it was a fetch.
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;

struct Handlers(UnsafeCell<InterruptDescriptorTable>);

// SAFETY: written once, by the only processor, before it is loaded.
unsafe impl Sync for Handlers {}

static HANDLERS: Handlers = Handlers(UnsafeCell::new(InterruptDescriptorTable::new()));

/// Catches page faults; all other exceptions end the machine.
pub fn catch_faults() {
    let address = VirtAddr::new((page_fault as *const ()).addr() as u64);
    // SAFETY: nothing else refers to the table; the handler returns as the processor expects.
    unsafe {
        let handlers = &mut *HANDLERS.0.get();
        handlers.page_fault.set_handler_addr(address);
        handlers.load_unsafe();
    }
}

/// Goes on where it was told to, or ends the machine.
#[unsafe(naked)]
unsafe extern "C" fn page_fault() -> ! {
    naked_asm!(
        "push rax",
        "mov rax, [rsp + 8]",
        "mov [{code}], rax",
        "xor eax, eax",
        "xchg rax, [{resume}]",
        "test rax, rax",
        "jz 2f",
        "mov [rsp + 16], rax",
        "pop rax",
        "add rsp, 8",
        "iretq",
        "2:",
        "mov edi, {bad}",
        "jmp {end}",
        code = sym CODE,
        resume = sym RESUME,
        bad = const BAD,
        end = sym erase_and_exit,
    )
}

/// The error code that writing a byte gives; `None` if it works.
///
/// # Safety
/// The byte is not used by anything else.
unsafe fn write(place: *mut u8) -> Option<u64> {
    // SAFETY: the contract; after a fault the handler goes on at the label.
    unsafe {
        asm!(
            "lea {resume}, [rip + 2f]",
            "mov [{place}], {resume}",
            "mov byte ptr [{byte}], 0",
            "2:",
            resume = out(reg) _,
            place = in(reg) RESUME.as_ptr(),
            byte = in(reg) place,
        );
    }
    code()
}

/// The error code that running what is at an address gives; `None` if it returns.
///
/// # Safety
/// What is there, if it can be run, returns at once.
unsafe fn run(place: *const u8) -> Option<u64> {
    // SAFETY: the contract; after a fault in the first instruction, the return address of the call
    // is taken off the stack.
    unsafe {
        asm!(
            "lea {resume}, [rip + 2f]",
            "mov [{place}], {resume}",
            "call {code}",
            "jmp 3f",
            "2:",
            "add rsp, 8",
            "3:",
            resume = out(reg) _,
            place = in(reg) RESUME.as_ptr(),
            code = in(reg) place,
        );
    }
    code()
}

fn code() -> Option<u64> {
    (RESUME.swap(0, Ordering::SeqCst) == 0).then(|| CODE.load(Ordering::SeqCst))
}

pub(super) fn write_program<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut byte = 1;
    // SAFETY: a byte of this function's.
    check!(unsafe { write(&raw mut byte) }.is_none(), "own memory can be written");
    let program = start::start as *const () as *mut u8;
    // SAFETY: the first instruction of the machine, which is not run again.
    let refused = unsafe { write(program) };
    check!(refused.is_some_and(|code| code & (PRESENT | WRITE) == PRESENT | WRITE));
    Ok(())
}

pub(super) fn run_data<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    /// `ret`.
    const RETURN: u8 = 0xc3;
    #[unsafe(naked)]
    extern "C" fn nothing() {
        naked_asm!("ret")
    }
    // SAFETY: a function that returns at once.
    check!(unsafe { run((nothing as *const ()).cast()) }.is_none(), "code can be run");
    let data = [RETURN; 16];
    // SAFETY: returns at once.
    let refused = unsafe { run(data.as_ptr()) };
    check!(refused.is_some_and(|code| code & (PRESENT | FETCH) == PRESENT | FETCH));
    Ok(())
}
