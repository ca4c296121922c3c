//! Secrets marked as undefined memory, so that valgrind reports every branch and every address that
//! depends on one.
//!
//! Memcheck follows each undefined bit through arithmetic and reports conditional jumps and addresses
//! made from one, in the program as it was compiled; after Langley, *ctgrind* (2010). It does not report
//! instructions that take longer for some operands, such as divisions: those are looked for in
//! disassembled code. On other processors than `x86_64`, and outside of valgrind, marks do nothing.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as client;

#[cfg(not(target_arch = "x86_64"))]
mod other;
#[cfg(not(target_arch = "x86_64"))]
use other as client;

use client::request;

const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
/// The requests that only Memcheck knows begin with its letters.
const MEMCHECK: usize = 0x4d43_0000;
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;

/// Whether valgrind is there to follow secrets.
#[must_use]
pub fn is_watched() -> bool {
    request([RUNNING_ON_VALGRIND, 0, 0]) != 0
}

/// Marks a value as secret, in place; what is computed from it is secret too.
pub fn secret<T: ?Sized>(value: &T) {
    mark(MAKE_MEM_UNDEFINED, value);
}

/// Marks a value as public, such as a ciphertext that is about to be sent.
pub fn public<T: ?Sized>(value: &T) {
    mark(MAKE_MEM_DEFINED, value);
}

/// How often something that depends on a secret decided a jump or an address, so far.
#[must_use]
pub fn complaints() -> usize {
    request([COUNT_ERRORS, 0, 0])
}

fn mark<T: ?Sized>(what: usize, value: &T) {
    request([what, (&raw const *value).addr(), size_of_val(value)]);
}
