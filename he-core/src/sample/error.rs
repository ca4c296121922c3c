//! Errors from the centred binomial distribution, in constant time.
//!
//! A sample is the number of ones among 42 random bits, less 21: the difference of two sums of 21
//! bits, with variance 10.5 (σ = 3.24). Words of the keystream are counted as bit planes: bit `j` of
//! 42 words makes sample `j`, so a full adder of five operations serves 32 samples.

use super::{Keystream, Purpose, SecretSeed};
use zeroize::Zeroize;

/// Random bits of one sample.
const BITS: usize = 42;

/// Samples made together: the bits of a word.
const LANES: usize = 32;

/// The largest absolute value of an error.
pub const ERROR_BOUND: i8 = 21;

/// The variance of an error.
pub const ERROR_VARIANCE: f64 = 10.5;

/// Fills `out` with the errors of the object `index`.
///
/// Errors come in blocks of 32, and a last block that is not full is cut short, so a prefix of the
/// stream does not depend on how long `out` is.
pub fn errors(seed: &SecretSeed, index: u32, out: &mut [i8]) {
    let mut source = Words::new(Keystream::secret(seed, Purpose::Error, index, 0));
    let mut blocks = out.chunks_exact_mut(LANES);
    for block in &mut blocks {
        let mut lanes = sample(&mut source);
        write(&lanes, block);
        lanes.zeroize();
    }
    let rest = blocks.into_remainder();
    if !rest.is_empty() {
        let mut lanes = sample(&mut source);
        let mut block = [0; LANES];
        write(&lanes, &mut block);
        rest.copy_from_slice(&block[..rest.len()]);
        lanes.zeroize();
        block.zeroize();
    }
}

/// Hands the errors of [`errors`] to `f` one by one, each with an item of `places`, until those end: for
/// devices that have no room for all of them.
pub fn errors_each<T>(
    seed: &SecretSeed,
    index: u32,
    places: impl IntoIterator<Item = T>,
    mut f: impl FnMut(T, i8),
) {
    let mut source = Words::new(Keystream::secret(seed, Purpose::Error, index, 0));
    let mut places = places.into_iter();
    let mut block = [0; LANES];
    loop {
        let mut lanes = sample(&mut source);
        write(&lanes, &mut block);
        lanes.zeroize();
        let mut used = 0;
        for (&error, place) in block.iter().zip(&mut places) {
            f(place, error);
            used += 1;
        }
        if used < LANES {
            break;
        }
    }
    block.zeroize();
}

/// The keystream one word at a time.
struct Words {
    keystream: Keystream,
    words: [u32; 16],
    next: usize,
}

impl Words {
    const fn new(keystream: Keystream) -> Self {
        Self { keystream, words: [0; 16], next: 16 }
    }

    #[inline]
    fn next(&mut self) -> u32 {
        if self.next == 16 {
            self.words = self.keystream.next_words();
            self.next = 0;
        }
        self.next += 1;
        self.words[self.next - 1]
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// The sum and the carry of three bit planes.
#[inline]
const fn full_adder(a: u32, b: u32, c: u32) -> (u32, u32) {
    let half = a ^ b;
    (half ^ c, (a & b) | (half & c))
}

/// Thirty-two samples as the six bit planes of a number in `[0, 42]`.
fn sample(source: &mut Words) -> [u32; 6] {
    // `planes[k]` holds weight 2^k. Seven bits at a time become three planes that are added in.
    let mut planes = [0; 6];
    for _ in 0..BITS / 7 {
        let (s0, c0) = full_adder(source.next(), source.next(), source.next());
        let (s1, c1) = full_adder(source.next(), source.next(), source.next());
        let (s2, c2) = full_adder(s0, s1, source.next());
        let (twos, fours) = full_adder(c0, c1, c2);
        let mut carry;
        (planes[0], carry) = (planes[0] ^ s2, planes[0] & s2);
        (planes[1], carry) = full_adder(planes[1], twos, carry);
        (planes[2], carry) = full_adder(planes[2], fours, carry);
        for plane in &mut planes[3..] {
            (*plane, carry) = (*plane ^ carry, *plane & carry);
        }
    }
    planes
}

/// Turns planes into bytes, four at a time: byte `i` of word `j` is the sample `j + 8i`.
#[inline]
fn write(planes: &[u32; 6], out: &mut [i8]) {
    const ONES: u32 = 0x0101_0101;
    const TOPS: u32 = 0x8080_8080;
    let (words, _) = out.as_chunks_mut::<4>();
    for (shift, word) in words.iter_mut().enumerate() {
        let mut bytes = 0;
        for (bit, plane) in planes.iter().enumerate() {
            bytes |= ((plane >> shift) & ONES) << bit;
        }
        // Less 21 in each byte; the top bits keep borrows from crossing.
        let centred = ((bytes | TOPS) - 21 * ONES) ^ TOPS;
        *word = centred.to_le_bytes().map(u8::cast_signed);
    }
}
