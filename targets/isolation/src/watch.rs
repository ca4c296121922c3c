//! A vault under observation, for tests: it looks through memory when the application asks.

use core::fmt::Arguments;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::memory::{Access, Memory};
use crate::scan::{self, Form};
use crate::tape;
use crate::vault::Application;

/// Asks for the number of windows of form `SCAN + form` in all RAM.
pub const SCAN: u32 = 0x100;
/// Asks for the same of the packed secret when it was last read from the authority.
pub const SEEN: u32 = 0x200;
/// Makes the vault panic.
pub const PANIC: u32 = 0x300;

/// Asks for the bytes of the deepest stack that the vault has had.
pub const DEPTH: u32 = 0x500;
/// Chooses the secret that the authority gives next: number `TAPE + number`.
pub const TAPE: u32 = 0x400;

static PACKED_SEEN: AtomicU32 = AtomicU32::new(0);

/// An application that can ask for more, and the vault's dead stack as it finds it.
#[derive(Debug)]
pub struct Watched<A> {
    application: A,
    places: &'static Places,
    dirty: u32,
    deepest: u32,
}

/// Where a board's memory is. Ends are multiples of four.
#[derive(Debug)]
pub struct Places {
    /// All RAM, on both sides of the wall.
    pub ram: fn() -> [Range<usize>; 2],
    /// The lowest address of the vault's stack.
    pub stack: fn() -> usize,
}

impl Places {
    /// Windows of a form in all RAM.
    #[must_use]
    pub fn count(&self, form: Form) -> u32 {
        // SAFETY: a board states where there is RAM, and the vault may read all of it.
        (self.ram)().into_iter().map(|range| unsafe { scan::count(range, form) }).sum()
    }

    /// Bytes of the vault's stack from the first word that is not zero.
    fn depth(&self) -> u32 {
        let (bottom, [Range { end: top, .. }, _]) = ((self.stack)(), (self.ram)());
        // SAFETY: a board states where the vault's stack is.
        let used = (bottom..top).step_by(4).find(|&at| unsafe { scan::not_zero(at..at + 4) } != 0);
        used.and_then(|used| u32::try_from(top - used).ok()).unwrap_or(0)
    }

    /// To be called when the packed secret must be somewhere.
    pub fn see_packed(&self) {
        PACKED_SEEN.store(self.count(Form::Packed), Ordering::Relaxed);
    }
}

/// The name of the test of what is left when the vault has ended itself.
pub const AFTER_ERASURE: &str = "after_a_panic_no_memory_has_the_secret";

/// What the vault does after it ended itself, when its memory is erased: looks for the secret, and reports the last
/// test as [`suite`](crate::suite) announced it. Returns whether it holds.
#[must_use]
pub fn after_erasure(print: fn(Arguments<'_>), places: &Places) -> bool {
    let left: u32 = Form::ALL.into_iter().map(|form| places.count(form)).sum();
    let is_good = left == 0;
    print(format_args!(
        "{{\"test\": \"{AFTER_ERASURE}\", \"ok\": {is_good}, \
         \"what\": \"{left} windows of the secret are left\", \"file\": \"watch.rs\", \"line\": 0, \
         \"figures\": {{}}}}"
    ));
    is_good
}

impl<A> Watched<A> {
    /// The application, watched.
    pub const fn new(application: A, places: &'static Places) -> Self {
        Self { application, places, dirty: 0, deepest: 0 }
    }
}

// SAFETY: the same memory as the application's.
unsafe impl<A: Memory> Memory for Watched<A> {
    fn allows(&self, first: usize, last: usize, access: Access) -> bool {
        self.application.allows(first, last, access)
    }
}

/// Bytes below a local variable that belong to its function and those it was called from.
const MARGIN: usize = 512;

impl<A: Application> Application for Watched<A> {
    #[expect(clippy::panic, reason = "that is what is tested")]
    fn resume(&mut self, mut status: u32) -> Option<(u32, usize)> {
        loop {
            self.deepest = self.deepest.max(self.places.depth());
            let call = self.application.resume(status)?;
            let mark = 0u32;
            let top = (core::ptr::from_ref(&mark).addr() - MARGIN) & !3;
            // SAFETY: the dead part of the vault's stack, as the board states it.
            self.dirty = unsafe { scan::not_zero((self.places.stack)()..top) };
            status = match call.0 {
                PANIC => panic!("as the application asked"),
                DEPTH => self.deepest,
                SEEN => PACKED_SEEN.load(Ordering::Relaxed),
                number if number & !0xFF == TAPE => {
                    tape::choose(number.to_le_bytes()[0]);
                    0
                }
                number => match Form::ALL.into_iter().find(|&form| SCAN + form as u32 == number) {
                    Some(form) => self.places.count(form),
                    None => return Some(call),
                },
            };
        }
    }

    fn observed(&self) -> (u32, u32) {
        (self.application.observed().0, self.dirty)
    }
}
