//! Secure EL1: the key authority, one call after another.
//!
//! Its memory starts as zeros, whether the machine or a wipe started it. While keys are being sent it
//! sits in the middle of making one; when the buffer of a call is full it returns from that call, and
//! the next one resumes it there.

mod noise;
mod start;
mod uart;

use core::arch::asm;
use core::panic::PanicInfo;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::params::Params;
use key_authority::Error;
use key_authority::attest::SoftwareRoot;
use key_authority::file::File;
use key_authority::order::{LONGEST, Order};
use key_authority::session::{Outlet, Session};
use zeroize::{Zeroize, Zeroizing};

use crate::calls::{self, Status};
use crate::layout::{NORMAL, SECURE_UART};

pub use noise::seed_of_processor;
pub use start::start;

/// What an image decides: where seeds come from and which parameters there are.
pub trait World {
    /// 32 bytes of full entropy.
    ///
    /// # Errors
    /// [`Error::Entropy`].
    fn seed(&self) -> Result<[u8; 32], Error>;

    /// The parameter set with a digest, if keys are made for it.
    fn params(&self, digest: u64) -> Option<Params>;

    /// Hears of calls that the table does not have.
    fn extra(&self, call: u64);
}

/// A call of the normal world. The monitor has checked it, and so does the authority.
#[derive(Clone, Copy, Debug)]
struct Request {
    call: u64,
    start: u64,
    length: u64,
}

/// The results of a call.
type Results = [u64; 4];

const fn refuse(status: Status) -> Results {
    [status.word(), 0, 0, 0]
}

/// Returns from a call; comes back with the next one.
fn answer(results: Results) -> Request {
    let [status, second, third, fourth] = results;
    let (call, start, length);
    // SAFETY: the monitor keeps all registers but those that are named; memory that the call may
    // change is that of the normal world, which no reference of Rust's is to.
    unsafe {
        asm!(
            "smc #0",
            inlateout("x0") calls::RETURN => call,
            inlateout("x1") status => start,
            inlateout("x2") second => length,
            in("x3") third,
            in("x4") fourth,
        );
    }
    Request { call, start, length }
}

/// Serves calls for ever. To be called by the image's `authority_main` with what it is given.
pub fn serve(world: &impl World, [call, start, length]: [u64; 3]) -> ! {
    start::enable_translation();
    start::give_heap();
    let mut request = Request { call, start, length };
    loop {
        if request.call == calls::BEGIN {
            request = match begin(world, request) {
                Ok(mut session) => serve_session(world, &mut session),
                Err(error) => answer(refuse(error.into())),
            };
        } else {
            request = answer(idle(world, request.call));
        }
    }
}

/// The results of a call that needs no session.
fn idle(world: &impl World, call: u64) -> Results {
    if call == calls::STATUS {
        return [Status::Done.word(), calls::VERSION, start::high_water(), 0];
    }
    world.extra(call);
    refuse(Status::State)
}

/// The secrets of an order.
fn begin(world: &impl World, request: Request) -> Result<Session<ChaCha20Rng>, Error> {
    if !NORMAL.has(request.start, request.length, LONGEST as u64) {
        return Err(Error::Order("not a range of the normal world"));
    }
    // A copy first: the normal world may write its memory at any time.
    let mut order = Zeroizing::new(alloc::vec![0; address(request.length)]);
    let place = core::ptr::with_exposed_provenance::<u8>(address(request.start));
    // SAFETY: the range is mapped memory of the normal world; the copy is new.
    unsafe { core::ptr::copy_nonoverlapping(place, order.as_mut_ptr(), order.len()) };
    let order = Order::parse(&order, |digest| world.params(digest))?;
    let mut seed = world.seed()?;
    let rng = ChaCha20Rng::from_seed(seed);
    seed.zeroize();
    Session::new(order, rng)
}

/// Serves the calls of one session, until nothing is left of it; returns the call that comes then.
fn serve_session(world: &impl World, session: &mut Session<ChaCha20Rng>) -> Request {
    let mut results = [Status::Done.word(), session.order().public_bytes(), 0, 0];
    let mut is_published = false;
    loop {
        let request = answer(results);
        results = match request.call {
            calls::PROVISION => match session.provision(uart::send) {
                Ok(()) => [Status::Done.word(), 0, 0, 0],
                Err(error) => refuse(error.into()),
            },
            calls::NEXT if !is_published => {
                is_published = true;
                let mut chunks = Chunks::new(world, request);
                match session.publish(&mut chunks, &SoftwareRoot, start::measurement()) {
                    Ok(()) => chunks.results(calls::DONE),
                    Err(error) => refuse(error.into()),
                }
            }
            call => idle(world, call),
        };
    }
}

/// The buffer of a call, and how much of it is filled.
struct Chunks<'a, W> {
    world: &'a W,
    start: usize,
    length: usize,
    filled: usize,
    file: File,
    starts: u64,
}

impl<'a, W: World> Chunks<'a, W> {
    fn new(world: &'a W, request: Request) -> Self {
        let mut chunks =
            Self { world, start: 0, length: 0, filled: 0, file: File::Transport, starts: 0 };
        if !chunks.take(request) {
            chunks.wait(refuse(Status::Range));
        }
        chunks
    }

    /// Takes the buffer of a request.
    fn take(&mut self, request: Request) -> bool {
        if !NORMAL.has(request.start, request.length, calls::LONGEST_BUFFER) {
            return false;
        }
        (self.start, self.length) = (address(request.start), address(request.length));
        (self.filled, self.starts) = (0, 0);
        true
    }

    fn results(&self, flags: u64) -> Results {
        [Status::Done.word(), self.filled as u64, calls::pack(self.file), self.starts | flags]
    }

    /// Returns from calls until one has a buffer.
    fn wait(&mut self, mut results: Results) {
        loop {
            let request = answer(results);
            results = match request.call {
                calls::NEXT if self.take(request) => return,
                calls::NEXT => refuse(Status::Range),
                call => idle(self.world, call),
            };
        }
    }
}

impl<W: World> Outlet for Chunks<'_, W> {
    fn begin(&mut self, file: File, _: u64) -> Result<(), Error> {
        if self.filled > 0 {
            self.wait(self.results(0));
        }
        (self.file, self.starts) = (file, calls::STARTS);
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.filled == self.length {
                self.wait(self.results(0));
            }
            let count = bytes.len().min(self.length - self.filled);
            let (now, later) = bytes.split_at(count);
            let place = self.start + self.filled;
            let place = core::ptr::with_exposed_provenance_mut::<u8>(place);
            // SAFETY: the range is mapped memory of the normal world, as `take` checked, and
            // `filled + count <= length`.
            unsafe { core::ptr::copy_nonoverlapping(now.as_ptr(), place, count) };
            self.filled += count;
            bytes = later;
        }
        Ok(())
    }
}

/// Ends the authority: the monitor wipes it. For the image's panic handler.
pub fn panicked(_: &PanicInfo<'_>) -> ! {
    start::give_up()
}

/// An address of this machine of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "as wide as a pointer")]
const fn address(at: u64) -> usize {
    at as usize
}
