//! Packets over a serial port: `COBS`, so that a zero byte ends each frame and nothing else is zero.

use embedded_io::{Error as _, ErrorKind, Read, Write};

use crate::packet::{LONGEST, Packets, ROOM, open, seal};

/// A frame: a packet with its CRC, one byte for COBS and the zero.
const FRAME: usize = ROOM + 2;
/// Bytes that may come without a packet in them before nothing has come.
const PATIENCE: usize = 4 * FRAME;

/// A serial port. Its `read` must fail with [`ErrorKind::TimedOut`] when nothing comes for a while.
#[derive(Debug)]
pub struct Serial<S> {
    port: S,
    frame: [u8; FRAME],
    used: usize,
}

impl<S> Serial<S> {
    /// A port with nothing read yet.
    pub const fn new(port: S) -> Self {
        Self { port, frame: [0; FRAME], used: 0 }
    }
}

impl<S: Read + Write> Packets for Serial<S> {
    type Error = ErrorKind;

    /// A zero goes ahead, so that a frame that was cut does not swallow this one.
    fn send(&mut self, packet: &[u8]) -> Result<(), ErrorKind> {
        let (bytes, length) = seal(packet);
        let mut frame = [0; FRAME + 1];
        let encoded = cobs::try_encode(&bytes[..length], &mut frame[1..]);
        let end = encoded.map_err(|_| ErrorKind::InvalidInput)? + 2;
        self.port.write_all(&frame[..end]).map_err(|error| error.kind())?;
        self.port.flush().map_err(|error| error.kind())
    }

    fn receive(&mut self, packet: &mut [u8; LONGEST]) -> Result<Option<usize>, ErrorKind> {
        for _ in 0..PATIENCE {
            let mut byte = [0];
            match self.port.read(&mut byte).map_err(|error| error.kind()) {
                Ok(0) => return Err(ErrorKind::BrokenPipe),
                Ok(_) => {}
                Err(ErrorKind::TimedOut) => return Ok(None),
                Err(kind) => return Err(kind),
            }
            if byte != [0] {
                // What does not fit is dropped at its end.
                if let Some(place) = self.frame.get_mut(self.used) {
                    *place = byte[0];
                }
                self.used = (self.used + 1).min(FRAME + 1);
                continue;
            }
            let used = core::mem::take(&mut self.used);
            let Some(frame) = self.frame.get_mut(..used) else { continue };
            let decoded = cobs::decode_in_place(frame).ok();
            let found = decoded.and_then(|length| open(frame.get(..length)?, packet));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    /// What is written can be read; then nothing comes.
    #[derive(Default)]
    struct Loop(VecDeque<u8>);

    impl embedded_io::ErrorType for Loop {
        type Error = ErrorKind;
    }

    impl Read for Loop {
        fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
            bytes[0] = self.0.pop_front().ok_or(ErrorKind::TimedOut)?;
            Ok(1)
        }
    }

    impl Write for Loop {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
            self.0.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), ErrorKind> {
            Ok(())
        }
    }

    fn frame(packet: &[u8]) -> Vec<u8> {
        let mut serial = Serial::new(Loop::default());
        serial.send(packet).unwrap();
        serial.port.0.into()
    }

    /// All packets in these bytes.
    fn packets(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut serial = Serial::new(Loop(bytes.iter().copied().collect()));
        let mut found = Vec::new();
        while !serial.port.0.is_empty() {
            let mut packet = [0; LONGEST];
            if let Some(length) = serial.receive(&mut packet).unwrap() {
                found.push(packet[..length].to_vec());
            }
        }
        found
    }

    fn packet(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * i) >> 3).to_le_bytes()[0]).collect()
    }

    #[test]
    fn packets_of_every_length_come_back_and_hold_no_zero_on_the_line() {
        for length in 1..=LONGEST {
            let packet = packet(length);
            let frame = frame(&packet);
            assert_eq!(frame.iter().filter(|&&byte| byte == 0).count(), 2);
            assert_eq!(packets(&frame), [packet]);
        }
    }

    #[test]
    fn a_frame_with_any_bit_flipped_or_any_byte_missing_is_dropped_and_the_next_one_is_not() {
        let (first, second) = (packet(200), packet(30));
        let (one, two) = (frame(&first), frame(&second));
        for at in 1..one.len() - 1 {
            for change in 0..9 {
                let mut bytes = one.clone();
                if change < 8 {
                    bytes[at] ^= 1 << change;
                } else {
                    bytes.remove(at);
                }
                bytes.extend(&two);
                assert_eq!(packets(&bytes), [second.as_slice()], "byte {at}, change {change}");
            }
        }
    }

    #[test]
    fn a_frame_cut_at_any_byte_does_not_swallow_the_next_one() {
        let (one, two) = (frame(&packet(200)), frame(&packet(30)));
        for at in 0..one.len() - 1 {
            let mut bytes = one[..at].to_vec();
            bytes.extend(&two);
            assert_eq!(packets(&bytes), [packet(30)], "cut at {at}");
        }
    }

    #[test]
    fn noise_without_end_is_nothing_and_not_a_wait_without_end() {
        let mut serial = Serial::new(Loop([7; 100_000].into_iter().collect()));
        assert_eq!(serial.receive(&mut [0; LONGEST]), Ok(None));
        assert!(serial.port.0.len() > 90_000);
    }
}
