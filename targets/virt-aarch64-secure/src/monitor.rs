//! EL3: starts both worlds, checks the arguments of calls, and carries them across.
//!
//! A switch saves and restores every register that both worlds use, vector registers included, so
//! nothing of one world is left in a register for the other to see. A wipe is the monitor's: it fills
//! all of the authority's memory with zeros and starts the authority anew, whatever it was doing.

mod context;
mod start;

use core::arch::asm;

use crate::calls::{self, Status};
use crate::layout::{AUTHORITY, MONITOR, NORMAL, NORMAL_START, PROGRAM};
use crate::tables::{Access, Level, Tables};

pub use context::Context;
pub use start::load;

/// What an image adds to the table of calls; the product adds nothing.
pub trait Extra: Sync {
    /// Answers a call from the normal world that the table does not have.
    fn call(&self, call: u64, arguments: [u64; 2]) -> Answer;
}

/// What becomes of a call that the table does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It does not exist.
    NotSupported,
    /// It is answered with this number.
    Value(u64),
    /// The authority is to see it.
    Forward,
}

/// Where the authority is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// All zeros; it starts with the next call.
    Fresh,
    /// It waits for a call.
    Waiting,
    /// It panicked, and was wiped.
    Dead,
}

struct Monitor {
    normal: Context,
    authority: Context,
    state: State,
    tables: Tables,
}

#[unsafe(link_section = ".bss.monitor")]
static mut MONITOR_STATE: core::mem::MaybeUninit<Monitor> = core::mem::MaybeUninit::uninit();

/// Bits of the secure configuration register: lower levels run in 64 bits, and the secure world
/// executes no memory of the normal world.
const CONFIGURATION: u64 = 1 << 10 | 1 << 9 | 0b11 << 4;
const NON_SECURE: u64 = 1;

/// The first instructions in Rust: sets the processor up and returns the normal world's registers.
extern "C" fn boot() -> *mut Context {
    let place = &raw mut MONITOR_STATE;
    // SAFETY: the only code that runs, on the only processor; nothing was borrowed yet.
    let monitor = unsafe {
        (*place).write(Monitor {
            normal: Context::new(NORMAL_START),
            authority: Context::new(start::authority_start()),
            state: State::Fresh,
            tables: Tables::empty(),
        })
    };
    monitor.tables.map(Level::El3, PROGRAM, Access::Program);
    monitor.tables.map(Level::El3, MONITOR, Access::Data);
    monitor.tables.map(Level::El3, AUTHORITY, Access::Data);
    start::enable_translation(monitor.tables.root());
    monitor.wipe(State::Fresh);
    select(NON_SECURE);
    &raw mut monitor.normal
}

/// Handles what a lower level did to get here; returns the registers of the world to go on with.
///
/// To be called by the image's `monitor_trap`, which is what the vectors call.
pub fn trap(extra: &dyn Extra) -> *mut Context {
    let place = &raw mut MONITOR_STATE;
    // SAFETY: `boot` wrote it; only EL3 has it, which one processor enters once at a time.
    let monitor = unsafe { (*place).assume_init_mut() };
    let (syndrome, configuration): (u64, u64);
    // SAFETY: reads two registers.
    unsafe {
        asm!("mrs {}, esr_el3", "mrs {}, scr_el3", out(reg) syndrome, out(reg) configuration,
            options(nomem, nostack));
    }
    const SMC: u64 = 0x17;
    match (syndrome >> 26, configuration & NON_SECURE) {
        (SMC, NON_SECURE) => monitor.called(extra),
        (SMC, _) => monitor.returned(),
        // Nothing else is routed here; what comes is not to be gone on with.
        _ => start::halt(),
    }
}

impl Monitor {
    fn called(&mut self, extra: &dyn Extra) -> *mut Context {
        let [call, start, length] = [self.normal.x[0], self.normal.x[1], self.normal.x[2]];
        let longest = match call {
            calls::BEGIN => key_authority::order::LONGEST as u64,
            calls::NEXT => calls::LONGEST_BUFFER,
            _ => 0,
        };
        match call {
            calls::SMCCC_VERSION => self.answer(0x1_0002),
            calls::WIPE => {
                self.wipe(State::Fresh);
                self.answer(Status::Done.word())
            }
            calls::BEGIN | calls::NEXT if !NORMAL.has(start, length, longest) => {
                self.answer(Status::Range.word())
            }
            calls::STATUS | calls::BEGIN | calls::NEXT | calls::PROVISION => self.forward(),
            _ => match extra.call(call, [start, length]) {
                Answer::NotSupported => self.answer(Status::NotSupported.word()),
                Answer::Value(value) => self.answer(value),
                Answer::Forward => self.forward(),
            },
        }
    }

    fn returned(&mut self) -> *mut Context {
        if self.authority.x[0] == calls::RETURN {
            let results = [1, 2, 3, 4].map(|i| self.authority.x[i]);
            self.normal.x[..4].copy_from_slice(&results);
        } else {
            self.wipe(State::Dead);
            self.normal.x[..4].copy_from_slice(&[Status::Dead.word(), 0, 0, 0]);
        }
        select(NON_SECURE);
        &raw mut self.normal
    }

    /// Back to the normal world at once.
    fn answer(&mut self, value: u64) -> *mut Context {
        self.normal.x[..4].copy_from_slice(&[value, 0, 0, 0]);
        &raw mut self.normal
    }

    /// On to the authority, with the number and the arguments of the call.
    fn forward(&mut self) -> *mut Context {
        if self.state == State::Dead {
            return self.answer(Status::Dead.word());
        }
        self.state = State::Waiting;
        let arguments = [self.normal.x[0], self.normal.x[1], self.normal.x[2]];
        self.authority.x[..3].copy_from_slice(&arguments);
        select(0);
        &raw mut self.authority
    }

    fn wipe(&mut self, state: State) {
        let place = core::ptr::with_exposed_provenance_mut::<u64>(address(AUTHORITY.start));
        let words = address(AUTHORITY.end - AUTHORITY.start) / 8;
        for i in 0..words {
            // SAFETY: the authority's memory, which only it and the monitor use, and it is stopped.
            unsafe { place.add(i).write_volatile(0) };
        }
        self.authority = Context::new(start::authority_start());
        self.state = state;
    }
}

/// Chooses the world that the next exception return goes to.
fn select(world: u64) {
    // SAFETY: changes what lower levels see; EL3's own memory stays as it is.
    unsafe { asm!("msr scr_el3, {}", "isb", in(reg) CONFIGURATION | world) };
}

/// How often the eight bytes of `pattern` are somewhere in the memory of monitor and authority, at
/// multiples of eight. For tests.
#[must_use]
pub fn count_in_secure_ram(pattern: [u64; 2]) -> u64 {
    let places = (MONITOR.start..AUTHORITY.end - 8).step_by(8);
    let read = |at: u64| {
        let place = core::ptr::with_exposed_provenance::<u64>(address(at));
        // SAFETY: mapped memory of the secure world, which is stopped.
        unsafe { place.read_volatile() }
    };
    let found = places.filter(|&at| !read(at) == pattern[0] && !read(at + 8) == pattern[1]);
    found.count() as u64
}

/// An address of this machine of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "as wide as a pointer")]
const fn address(at: u64) -> usize {
    at as usize
}
