//! Two streams and a line between them, without time: a side that waits lets the other one work.

extern crate alloc;
use super::*;
use crate::Serial;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use core::cell::{Cell, RefCell};

/// Changes the byte of a number: its place in all that is sent in either direction.
type Fault = Box<dyn FnMut(usize, u8) -> Option<u8>>;

struct Line {
    queues: [VecDeque<u8>; 2],
    sent: usize,
    fault: Fault,
}

/// An end of the line. The near one lets the far side work when it finds nothing.
struct End {
    line: Rc<RefCell<Line>>,
    reads: usize,
    far: Option<Box<dyn FnMut()>>,
}

impl ErrorType for End {
    type Error = ErrorKind;
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.line.borrow().queues[self.reads].is_empty()
            && let Some(far) = &mut self.far
        {
            far();
        }
        let byte = self.line.borrow_mut().queues[self.reads].pop_front();
        bytes[0] = byte.ok_or(ErrorKind::TimedOut)?;
        Ok(1)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut line = self.line.borrow_mut();
        for &byte in bytes {
            let number = line.sent;
            line.sent += 1;
            if let Some(byte) = (line.fault)(number, byte) {
                line.queues[1 - self.reads].push_back(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

type Side = Stream<Serial<End>>;

/// A near side that opens, and what the far side has read, in a line with this fault.
fn rig(tries: u32, fault: Fault) -> (Side, Rc<RefCell<Vec<u8>>>) {
    let line = Line { queues: [VecDeque::new(), VecDeque::new()], sent: 0, fault };
    let line = Rc::new(RefCell::new(line));
    let end = |reads| End { line: Rc::clone(&line), reads, far: None };
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (mut far, mut near) = (Stream::accept(Serial::new(end(1)), 1), end(0));
    let hears = Rc::clone(&heard);
    near.far = Some(Box::new(move || {
        while far.listen().unwrap() {
            let unread = core::mem::take(&mut far.unread);
            hears.borrow_mut().extend(&far.incoming[unread]);
        }
    }));
    (Stream::open(Serial::new(near), 7, tries), heard)
}

fn message(length: usize) -> Vec<u8> {
    (0..length).map(|i| ((i * i) >> 5).to_le_bytes()[0]).collect()
}

/// Sends all of it, going on after each failure; returns how many there were.
fn send(stream: &mut Side, message: &[u8]) -> usize {
    let (mut rest, mut failures) = (message, 0);
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => {
                assert_eq!(error, Error::Silent);
                failures += 1;
            }
        }
    }
    while stream.flush().is_err() {
        failures += 1;
    }
    failures
}

#[test]
fn a_good_line_carries_everything_once() {
    for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 10_000] {
        let (mut stream, heard) = rig(1, Box::new(|_, byte| Some(byte)));
        assert_eq!(send(&mut stream, &message(length)), 0);
        assert_eq!(*heard.borrow(), message(length));
    }
}

/// The line is dead for 300 bytes from one byte on, which is longer than a chunk and its repetition take
/// tries; the stream fails, and goes on where it stopped.
#[test]
fn after_a_cut_at_any_byte_the_stream_goes_on_and_nothing_is_lost_or_repeated() {
    let message = message(700);
    let mut failed = 0;
    for cut in 0..900 {
        let alive = move |at, byte| (!(cut..cut + 600).contains(&at)).then_some(byte);
        let (mut stream, heard) = rig(2, Box::new(alive));
        failed += send(&mut stream, &message);
        assert_eq!(*heard.borrow(), message, "cut at byte {cut}");
    }
    assert!(failed > 100, "{failed} failures");
}

#[test]
fn losses_damage_and_noise_at_random_change_nothing() {
    for seed in 0..40 {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        // One byte in 100 to 2050 is lost or damaged.
        let rate = 100 + u32::from(seed) * 50;
        let fault = move |_, byte| match rng.next_u32() % rate {
            0 if rng.next_u32() & 1 == 0 => None,
            0 => Some(byte ^ (1 << (rng.next_u32() % 8))),
            _ => Some(byte),
        };
        let (mut stream, heard) = rig(50, Box::new(fault));
        let message = message(1000);
        send(&mut stream, &message);
        assert_eq!(*heard.borrow(), message, "seed {seed}");
    }
}

#[test]
fn a_dead_line_is_an_error_after_so_many_tries_and_no_more() {
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    let count = move |_, _| {
        counter.set(counter.get() + 1);
        None
    };
    let (mut stream, heard) = rig(5, Box::new(count));
    // Greetings: two zeros, a byte for COBS, header, CRC.
    let greetings = 5 * (3 + HEADER + 4);
    assert_eq!(stream.write(&[1]), Err(Error::Silent));
    assert_eq!(sent.get(), greetings);
    assert_eq!(stream.read(&mut [0]), Err(Error::Silent));
    assert_eq!(sent.get(), 2 * greetings);
    assert!(heard.borrow().is_empty());
}

#[test]
fn a_new_stream_is_noticed_by_who_has_an_old_one() {
    let mut old = Stream::accept(Serial::new(idle()), 1);
    let greeting = |session| (session, 0, [0; 0]);
    for (session, number, chunk) in [greeting(1), greeting(1)] {
        assert_eq!(old.take(session, number, &chunk), Ok(()));
    }
    assert_eq!(old.take(1, 1, &[5]), Ok(()));
    assert_eq!(old.take(2, 3, &[6]), Ok(()));
    assert_eq!(old.incoming[old.unread.clone()], [5]);
    assert_eq!(old.take(2, 0, &[]), Err(Error::Restarted));
}

fn idle() -> End {
    let line = Line {
        queues: [VecDeque::new(), VecDeque::new()],
        sent: 0,
        fault: Box::new(|_, byte| Some(byte)),
    };
    End { line: Rc::new(RefCell::new(line)), reads: 0, far: None }
}
