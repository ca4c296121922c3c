//! The secure world: the application as a coroutine, its faults, and the erasure of everything.

use core::ops::Range;
use core::panic::PanicInfo;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::cmse::{AccessType, TestTarget};
use he_isolation::memory::{Access, Memory};
use he_isolation::vault::Application;

use crate::map::APPLICATION_FLASH;
use crate::protection;

unsafe extern "C" {
    static __stack_bottom: u8;
    static __stack_top: u8;
    static __ram_start: u8;
    fn tz_resume(context: *mut Context, stack_bottom: usize);
    fn tz_erase() -> !;
}

/// Where the non-secure world's vector table is looked for.
const NON_SECURE_VECTORS: *mut u32 = core::ptr::without_provenance_mut(0xE002_ED08);
/// What faults there were; a one written clears it.
const FAULT_STATUS: [*mut u32; 3] = [
    core::ptr::without_provenance_mut(0xE000_ED28),
    core::ptr::without_provenance_mut(0xE000_ED2C),
    core::ptr::without_provenance_mut(0xE000_EDE4),
];

static FAULTS: AtomicU32 = AtomicU32::new(0);
static IS_SKIPPING: AtomicBool = AtomicBool::new(false);

/// What becomes of an application that does what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// Everything is erased.
    Erase,
    /// The instruction is skipped, or the jump returns. For tests.
    Skip,
}

/// The processor as the application left it, and the secure stack pointer. Known to `gate.s`.
#[derive(Debug, Default)]
#[repr(C)]
struct Context {
    saved: [u32; 8],
    counter: usize,
    /// The operation, and the status on the way back.
    first: u32,
    second: usize,
    stack: usize,
}

/// The application in the non-secure world.
#[derive(Debug)]
pub struct NonSecure {
    context: Context,
}

/// The lowest address of the secure world's stack.
#[must_use]
pub fn stack_bottom() -> usize {
    (&raw const __stack_bottom).addr()
}

/// All RAM of the secure world's image.
#[must_use]
pub fn ram() -> Range<usize> {
    (&raw const __ram_start).addr()..(&raw const __stack_top).addr()
}

impl NonSecure {
    /// Sets protection up, and gets the application ready to start. `None` but for the first time.
    #[must_use]
    pub fn new(on_fault: OnFault) -> Option<Self> {
        let mut peripherals = Peripherals::take()?;
        protection::set_up(&mut peripherals.SAU);
        IS_SKIPPING.store(on_fault == OnFault::Skip, Ordering::Relaxed);
        let vectors = with_exposed_provenance::<u32>(APPLICATION_FLASH.start);
        // SAFETY: the application's image begins with its stack pointer and its entry; both are used in
        // its world only.
        let (stack, entry) = unsafe { (vectors.read_volatile(), vectors.add(1).read_volatile()) };
        #[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits here")]
        let table = APPLICATION_FLASH.start as u32;
        // SAFETY: both are of the non-secure world, which does not run yet.
        unsafe {
            NON_SECURE_VECTORS.write_volatile(table);
            core::arch::asm!("msr msp_ns, {}", in(reg) stack);
        }
        // An even address makes the branch one to the non-secure world.
        let context = Context { counter: entry as usize & !1, ..Context::default() };
        Some(Self { context })
    }
}

// SAFETY: the test is what the attribution units say, which is as `protection` set them up; the ranges
// that are the application's there are RAM or registers, and no image of this world lies in them.
unsafe impl Memory for NonSecure {
    fn allows(&self, first: usize, last: usize, access: Access) -> bool {
        let start = with_exposed_provenance_mut(first);
        let Some(size) = (last - first).checked_add(1) else { return false };
        let target = TestTarget::check_range(start, size, AccessType::NonSecure);
        target.is_some_and(|target| match access {
            Access::Read => target.ns_readable(),
            Access::Write => target.ns_read_and_writable(),
        })
    }
}

impl Application for NonSecure {
    fn resume(&mut self, status: u32) -> Option<(u32, usize)> {
        self.context.first = status;
        // SAFETY: the stack below this frame is dead, from its bottom upwards; the context is what the
        // application left, or its start, and its address is even.
        unsafe { tz_resume(&raw mut self.context, stack_bottom()) };
        Some((self.context.first, self.context.second))
    }

    fn observed(&self) -> (u32, u32) {
        (FAULTS.load(Ordering::Relaxed), 0)
    }
}

/// A fault of the application's, with what the processor stacked: r0 to r3, r12, lr, the return address
/// and the flags.
#[unsafe(no_mangle)]
extern "C" fn tz_fault(frame: *mut [u32; 8]) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let is_theirs = |start: usize, size: usize| {
        let start = with_exposed_provenance_mut(start);
        let target = TestTarget::check_range(start, size, AccessType::NonSecure);
        target.is_some_and(TestTarget::ns_read_and_writable)
    };
    if !IS_SKIPPING.load(Ordering::Relaxed) || !is_theirs(frame.expose_provenance(), 32) {
        erase();
    }
    // SAFETY: it was just checked that the frame is the application's memory, which waits.
    let frame = unsafe { &mut *frame };
    let counter = frame[6] as usize;
    frame[6] = if is_theirs(counter, 2) && APPLICATION_FLASH.contains(&counter) {
        // SAFETY: as for the frame.
        let half = unsafe { with_exposed_provenance::<u16>(counter).read() };
        // DDI 0553, A5.1: the first half of a wide instruction.
        frame[6] + if half >> 11 >= 0b11101 { 4 } else { 2 }
    } else {
        frame[5] & !1
    };
    for status in FAULT_STATUS {
        // SAFETY: clears what the fault left, in registers of the processor's.
        unsafe { status.write_volatile(u32::MAX) };
    }
}

/// Erases all of the secure world's memory, this stack included, and every register. The image's
/// `after_erasure` says what comes then.
pub fn erase() -> ! {
    // SAFETY: nothing of Rust's goes on after it: `after_erasure` begins on memory as after a reset.
    unsafe { tz_erase() }
}

/// What a panic of the secure world's does: nothing that could show a secret.
pub fn panic(_: &PanicInfo<'_>) -> ! {
    erase()
}
