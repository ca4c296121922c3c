//! The registers of an instruction set, and residues in all their lanes.

use core::fmt::Debug;

use he_core::modulus::{Factor, Modulus};

/// A witness that this CPU has an instruction set, and what the set does with registers of
/// [`Self::WIDTH`] words.
///
/// Every method is inlined into the [`Task`] that [`Self::run`] runs.
pub(crate) trait Lanes: Copy + Debug + Sync + 'static {
    /// A name for logs and reports.
    const NAME: &'static str;
    /// Words of a register.
    const WIDTH: usize;
    /// How many registers there are.
    const REGISTERS: usize;
    /// What a register holds: `[u32; WIDTH]`.
    type Words: Copy;
    type Register: Copy;
    /// A register made ready for [`Self::product`].
    type Halves: Copy;
    /// As many words of 64 bits, in whatever order suits the set.
    type Wide: Copy;
    /// One sum for each word: `[f64; WIDTH]`.
    type Sums;

    /// Runs a task compiled for this instruction set.
    fn run(self, task: impl Task<Self>);
    /// Runs a task that is made of [`Self::add_dot`], with the one instruction for it where there is one.
    fn run_dots(self, task: impl Task<Self>) {
        self.run(task);
    }

    /// Whole registers, and the words that are left.
    fn split(words: &[u32]) -> (&[Self::Words], &[u32]);
    fn split_mut(words: &mut [u32]) -> (&mut [Self::Words], &mut [u32]);
    fn split_sums(sums: &mut [f64]) -> (&mut [Self::Sums], &mut [f64]);

    fn load(self, words: &Self::Words) -> Self::Register;
    fn store(self, words: &mut Self::Words, x: Self::Register);
    fn splat(self, x: u32) -> Self::Register;
    /// `a + b`, modulo `2^32`.
    fn wrapping_add(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// `a − b`, modulo `2^32`.
    fn wrapping_sub(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// `a · b`, modulo `2^32`.
    fn wrapping_mul(self, a: Self::Register, b: Self::Register) -> Self::Register;
    fn min(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// Each word of `sums` plus the product of the signed lower halves of `a` and `b` and that of the
    /// upper ones, modulo `2^32`.
    fn add_dot(self, sums: Self::Register, a: Self::Register, b: Self::Register) -> Self::Register;

    fn halves(self, x: Self::Register) -> Self::Halves;
    fn product(self, a: Self::Halves, b: Self::Halves) -> Self::Wide;
    /// The products of the low words of `a`.
    fn product_of_low(self, a: Self::Wide, b: Self::Halves) -> Self::Wide;
    /// `a + b`, modulo `2^64`.
    fn add_wide(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn low(self, x: Self::Wide) -> Self::Register;
    fn high(self, x: Self::Wide) -> Self::Register;

    /// Adds the double-precision product of each word, below `2^31`, and `factor` to its sum.
    fn add_multiples(self, sums: &mut Self::Sums, x: Self::Register, factor: f64);

    /// Exchanges what one bit of a lane's number and the choice of register say: the lanes of `x`
    /// that have bit `BIT`, a power of two below the width, for those of `y` that lack it.
    fn exchange<const BIT: usize>(
        self,
        x: Self::Register,
        y: Self::Register,
    ) -> (Self::Register, Self::Register);
    /// The lanes of `x` and `y` by turns.
    fn zip(self, x: Self::Register, y: Self::Register) -> (Self::Register, Self::Register);
    /// The even lanes of both, then the odd ones: undoes [`Self::zip`].
    fn unzip(self, x: Self::Register, y: Self::Register) -> (Self::Register, Self::Register);
    /// `WIDTH / RUN` factors, each in `RUN` lanes, a power of two below the width.
    ///
    /// # Panics
    /// If there are more or fewer.
    fn factors<const RUN: usize>(self, factors: &[Factor]) -> Factors<Self>;
}

/// What a set runs in its own instructions.
///
/// It is a trait because all must be inlined, on pain of a call for every instruction, and a
/// closure only may be.
pub(crate) trait Task<L> {
    /// Runs it; to be marked `#[inline(always)]`, with all that it calls.
    fn run(self, lanes: L);
}

/// A [`Factor`] for each lane.
#[derive(Clone, Copy)]
pub(crate) struct Factors<L: Lanes> {
    pub(crate) value: L::Register,
    pub(crate) quotient: L::Halves,
}

/// Whether a [`Factor`] lies in memory as its value, then its quotient, and nothing else.
pub(crate) const VALUE_COMES_FIRST: bool = {
    let factor = Modulus::new(17).unwrap().factor(5);
    // SAFETY: both are two words without padding; any bits are words.
    let words: [u32; 2] = unsafe { core::mem::transmute(factor) };
    words[0] == factor.value() && words[1] == factor.quotient()
};

impl<L: Lanes> Factors<L> {
    /// One factor in all lanes.
    #[inline(always)]
    pub(crate) fn splat(lanes: L, f: Factor) -> Self {
        let quotient = lanes.halves(lanes.splat(f.quotient()));
        Self { value: lanes.splat(f.value()), quotient }
    }

    /// `a · self` in `[0, 2q)`, for any words `a`: Shoup's multiplication without its last step.
    #[inline(always)]
    pub(crate) fn mul_lazy(self, lanes: L, a: L::Register, q: L::Register) -> L::Register {
        let quotient = lanes.high(lanes.product(lanes.halves(a), self.quotient));
        let multiple = lanes.wrapping_mul(quotient, q);
        lanes.wrapping_sub(lanes.wrapping_mul(a, self.value), multiple)
    }

    /// `a · self` in `[0, q)`, for any words `a`.
    #[inline(always)]
    pub(crate) fn mul(self, lanes: L, a: L::Register, q: L::Register) -> L::Register {
        reduce_once(lanes, self.mul_lazy(lanes, a, q), q)
    }
}

/// `x mod q` for `x < 2q`: if `x < q` then `x − q` wraps to a huge word.
#[inline(always)]
pub(crate) fn reduce_once<L: Lanes>(lanes: L, x: L::Register, q: L::Register) -> L::Register {
    lanes.min(x, lanes.wrapping_sub(x, q))
}

/// `a + b` in `[0, q)`.
#[inline(always)]
pub(crate) fn add<L: Lanes>(
    lanes: L,
    a: L::Register,
    b: L::Register,
    q: L::Register,
) -> L::Register {
    reduce_once(lanes, lanes.wrapping_add(a, b), q)
}

/// `a − b` in `[0, q)`: if `a − b` wraps then adding `q` makes it the smaller.
#[inline(always)]
pub(crate) fn sub<L: Lanes>(
    lanes: L,
    a: L::Register,
    b: L::Register,
    q: L::Register,
) -> L::Register {
    let difference = lanes.wrapping_sub(a, b);
    lanes.min(difference, lanes.wrapping_add(difference, q))
}

/// How words of 64 bits are reduced: `2^32 h + l` is `h` times the residue of `2^32`, plus `l`.
#[derive(Clone, Copy)]
pub(crate) struct Reducer<L: Lanes> {
    pub(crate) q: L::Register,
    /// `2^32 mod q`.
    high: Factors<L>,
    /// The quotient of the factor one.
    low: L::Halves,
}

impl<L: Lanes> Reducer<L> {
    #[inline(always)]
    pub(crate) fn new(lanes: L, q: Modulus) -> Self {
        let high = Factors::splat(lanes, q.factor(q.reduce(1 << 32)));
        let low = lanes.halves(lanes.splat(q.factor(1).quotient()));
        Self { q: lanes.splat(q.value()), high, low }
    }

    /// `x mod q`.
    #[inline(always)]
    pub(crate) fn reduce(self, lanes: L, x: L::Wide) -> L::Register {
        let high = self.high.mul(lanes, lanes.high(x), self.q);
        let quotient = lanes.high(lanes.product_of_low(x, self.low));
        let low = lanes.wrapping_sub(lanes.low(x), lanes.wrapping_mul(quotient, self.q));
        add(lanes, high, reduce_once(lanes, low, self.q), self.q)
    }
}

/// How sums of products with weights in Montgomery's form are reduced, at half the price: a multiple of
/// `q` makes the lower word vanish, and the upper one is the sum divided by `2^32`.
#[derive(Clone, Copy)]
pub(crate) struct Montgomery<L: Lanes> {
    pub(crate) q: L::Register,
    twice_q: L::Register,
    halves_of_q: L::Halves,
    /// `q^−1`, modulo `2^32`.
    inverse: L::Halves,
}

impl<L: Lanes> Montgomery<L> {
    #[inline(always)]
    pub(crate) fn new(lanes: L, q: Modulus) -> Self {
        let value = q.value();
        // `value` is its own inverse modulo 8; each step doubles the bits.
        let step = |x: u32| x.wrapping_mul(2u32.wrapping_sub(value.wrapping_mul(x)));
        let inverse = step(step(step(step(value))));
        Self {
            q: lanes.splat(value),
            twice_q: lanes.splat(2 * value),
            halves_of_q: lanes.halves(lanes.splat(value)),
            inverse: lanes.halves(lanes.splat(inverse)),
        }
    }

    /// `x / 2^32 mod q`, for `x < 2^34 · q`.
    #[inline(always)]
    pub(crate) fn reduce(self, lanes: L, x: L::Wide) -> L::Register {
        let multiple =
            lanes.product_of_low(lanes.product_of_low(x, self.inverse), self.halves_of_q);
        let high = reduce_once(lanes, reduce_once(lanes, lanes.high(x), self.twice_q), self.q);
        sub(lanes, high, lanes.high(multiple), self.q)
    }
}
