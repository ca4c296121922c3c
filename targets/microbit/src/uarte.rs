//! A UARTE in RAM, driven by a timer's interrupt as the real one is by its clock.
//!
//! What it does is what Product Specification v1.7, section 6.34, says of what the driver uses: tasks,
//! events, DMA, the interrupt. It is our reading of that text, not the makers'.

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use cortex_m::peripheral::NVIC;
use nrf_pac::{Interrupt, uarte::Uarte};

const START_RECEIVE: usize = 0x000;
const STOP_RECEIVE: usize = 0x004;
const START_SEND: usize = 0x008;
const RECEIVED: usize = 0x110;
const SENT: usize = 0x120;
const STOPPED: usize = 0x144;
const ERRORS: usize = 0x480;
const ENABLE: usize = 0x500;
const RECEIVE_TO: usize = 0x534;
const RECEIVE_COUNT: usize = 0x538;
const SEND_FROM: usize = 0x544;
const SEND_COUNT: usize = 0x548;
const BYTES: usize = 0x580;
/// Value of [`ENABLE`].
const ON: u32 = 8;
/// Where DMA reaches: the micro:bit's RAM, 16 KB.
const RAM: core::ops::Range<u32> = 0x2000_0000..0x2000_4000;
const QUEUE: usize = 256;

static REGISTERS: [AtomicU32; BYTES / 4] = [const { AtomicU32::new(0) }; BYTES / 4];
static LINE_IN: Queue = Queue::new();
static LINE_OUT: Queue = Queue::new();
/// Whether bytes that come in are taken, and to where.
static RECEIVING: AtomicU32 = AtomicU32::new(0);
/// Steps until the next byte comes in.
static PAUSE: AtomicU32 = AtomicU32::new(0);
static FAULTS: AtomicU32 = AtomicU32::new(0);

/// Bytes on their way.
struct Queue {
    bytes: [AtomicU8; QUEUE],
    put: AtomicUsize,
    taken: AtomicUsize,
}

impl Queue {
    const fn new() -> Self {
        let (put, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { bytes: [const { AtomicU8::new(0) }; QUEUE], put, taken }
    }

    fn put(&self, byte: u8) {
        let at = self.put.load(Ordering::Relaxed);
        self.bytes[at % QUEUE].store(byte, Ordering::Relaxed);
        self.put.store(at + 1, Ordering::Relaxed);
    }

    fn take(&self) -> Option<u8> {
        let at = self.taken.load(Ordering::Relaxed);
        if at == self.put.load(Ordering::Relaxed) {
            return None;
        }
        self.taken.store(at + 1, Ordering::Relaxed);
        Some(self.bytes[at % QUEUE].load(Ordering::Relaxed))
    }
}

/// Its registers.
#[must_use]
pub fn registers() -> Uarte {
    // SAFETY: as many words as the peripheral has registers, which may be written at any time.
    unsafe { Uarte::from_ptr(REGISTERS.as_ptr().cast_mut().cast()) }
}

/// Somebody sends `bytes` to the chip, after `pause` steps.
pub fn say(bytes: &[u8], pause: u32) {
    bytes.iter().for_each(|&byte| LINE_IN.put(byte));
    PAUSE.store(pause, Ordering::Relaxed);
}

/// Takes what the chip has sent, as much as fits; returns how much.
pub fn heard(bytes: &mut [u8]) -> usize {
    let heard = core::iter::from_fn(|| LINE_OUT.take());
    bytes.iter_mut().zip(heard).map(|(to, byte)| *to = byte).count()
}

/// Puts errors on the line, as `ERRORSRC` has them.
pub fn spoil(errors: u32) {
    set(ERRORS, errors);
}

/// How often DMA was sent to where it does not reach.
#[must_use]
pub fn faults() -> u32 {
    FAULTS.load(Ordering::Relaxed)
}

fn get(register: usize) -> u32 {
    REGISTERS[register / 4].load(Ordering::Relaxed)
}

fn set(register: usize, value: u32) {
    REGISTERS[register / 4].store(value, Ordering::Relaxed);
}

fn take(task: usize) -> bool {
    let is_asked = get(task) != 0;
    set(task, 0);
    is_asked
}

fn tell(event: usize) {
    set(event, 1);
    NVIC::pend(Interrupt::UARTE0);
}

/// An address that DMA reaches, or nothing.
fn reach(address: u32, count: u32) -> Option<usize> {
    if RAM.contains(&address) && address + count <= RAM.end {
        return usize::try_from(address).ok();
    }
    FAULTS.store(faults() + 1, Ordering::Relaxed);
    None
}

/// Some time passes. To be called by the interrupt of a timer.
pub fn step() {
    if get(ENABLE) != ON {
        return;
    }
    if take(START_RECEIVE) {
        RECEIVING.store(get(RECEIVE_TO), Ordering::Relaxed);
    }
    if take(STOP_RECEIVE) {
        RECEIVING.store(0, Ordering::Relaxed);
        set(STOPPED, 1);
    }
    if take(START_SEND) {
        send();
    }
    receive();
}

fn send() {
    let (from, count) = (get(SEND_FROM), get(SEND_COUNT));
    let addresses = reach(from, count).map_or(0..0, |from| from..from + count as usize);
    for address in addresses {
        // SAFETY: within RAM (`reach`), in a buffer that the driver has lent.
        LINE_OUT.put(unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() });
    }
    tell(SENT);
}

/// The driver asks for one byte at a time; more would be our reading only.
fn receive() {
    let pause = PAUSE.load(Ordering::Relaxed);
    PAUSE.store(pause.saturating_sub(1), Ordering::Relaxed);
    let to = RECEIVING.load(Ordering::Relaxed);
    if to == 0 || pause > 0 {
        return;
    }
    let (Some(to), 1) = (reach(to, 1), get(RECEIVE_COUNT)) else { return };
    let Some(byte) = LINE_IN.take() else { return };
    // SAFETY: within RAM (`reach`), in a buffer that the driver has lent.
    unsafe { ptr::with_exposed_provenance_mut::<u8>(to).write_volatile(byte) };
    RECEIVING.store(0, Ordering::Relaxed);
    tell(RECEIVED);
}
