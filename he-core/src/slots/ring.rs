//! The transform of [`ntt`](crate::ntt), with tables of half a kilobyte a prime.
//!
//! `X^N + 1` splits over the `N/64` rows of 64 words into factors `X^64 − ζ_g^64`, and `ζ_g X` in place of
//! `X`, with `ζ_g = ψ^(2·rev(g) + 1)`, makes `X^64 − 1` of factor `g`. So the transform is a negacyclic one
//! between rows, a twist of word `j` of row `g` by `ζ_g^j`, and a cyclic one within each row. Both look up
//! the same few roots; the twist is made on the way, one product a word. After Bailey, *FFTs in external
//! or hierarchical memory* (1990).
//!
//! Words are signed and reduced seldom. Forward they grow by `3q/2` a layer until the twist brings them
//! back to `q`. Backward only the first of four words grows, fourfold; it is reduced but the first time.

use crate::modulus::{Factor, Modulus, SignedFactor, SignedModulus, butterflies};
use crate::ntt::bit_reversed;

/// Words of a row.
pub(super) const ROW: usize = 64;

/// The roots of unity of one prime, for flash: `R` factors of eight bytes, `R` being 64 or, above degree
/// 4096, `N/64`.
#[derive(Clone, Copy, Debug)]
pub struct SlotTable<const R: usize> {
    modulus: Modulus,
    degree: usize,
    inverse_psi: u32,
    inverse_roots: [Factor; R],
}

/// One prime with its roots of unity, borrowed from a [`SlotTable`].
#[derive(Clone, Copy, Debug)]
pub struct SlotRing<'a> {
    modulus: SignedModulus,
    degree: usize,
    /// `ψ^−rev(i)`.
    inverse_roots: &'a [Factor],
    minus_one: Factor,
    forward: Twist,
    backward: Twist,
}

/// The factors of words, in Montgomery's form.
#[derive(Clone, Copy, Debug)]
struct Twist {
    first: i32,
    start: i32,
    step: i32,
}

impl<const R: usize> SlotTable<R> {
    /// The table of a prime and a primitive `2N`-th root of unity `psi`.
    ///
    /// `None` if they are not that, the prime has more than [`SlotRing::MAX_BITS`] bits, `N` is not a power
    /// of two from 256 to 16384, or `R` does not fit it.
    #[must_use]
    pub const fn new(degree: usize, prime: u32, psi: u32) -> Option<Self> {
        let Some(modulus) = Modulus::new(prime) else { return None };
        let rows = degree / ROW;
        let is_degree = degree.is_power_of_two() && degree >= 4 * ROW && degree <= 1 << 14;
        if !is_degree || R != if rows > ROW { rows } else { ROW } {
            return None;
        }
        if prime >> SlotRing::MAX_BITS != 0 || modulus.pow_vartime(psi, word(degree)) != prime - 1 {
            return None;
        }
        let inverse_psi = modulus.inverse(psi);
        let root = modulus.pow_vartime(inverse_psi, word(degree / R));
        let mut inverse_roots = [modulus.factor(0); R];
        let mut power = 1;
        let mut i = 0;
        while i < R {
            inverse_roots[bit_reversed(i, R)] = modulus.factor(power);
            power = modulus.mul(power, root);
            i += 1;
        }
        Some(Self { modulus, degree, inverse_psi, inverse_roots })
    }

    /// The ring.
    ///
    /// # Panics
    /// Never: the prime was checked by [`Self::new`].
    #[must_use]
    pub const fn ring(&self) -> SlotRing<'_> {
        let q = self.modulus;
        let modulus = SignedModulus::new(q).expect("checked by `new`");
        let one = q.reduce(1 << 32);
        let share = q.mul(q.mul(one, one), q.inverse(word(self.degree)));
        SlotRing {
            modulus,
            degree: self.degree,
            inverse_roots: &self.inverse_roots,
            minus_one: q.factor(q.value() - 1),
            forward: Twist::new(q, one, q.inverse(self.inverse_psi)),
            backward: Twist::new(q, share, self.inverse_psi),
        }
    }
}

impl Twist {
    /// Row `rev(r)` has `first` times the powers of `psi^(2r + 1)`.
    const fn new(q: Modulus, first: u32, psi: u32) -> Self {
        let start = q.montgomery(psi);
        let step = q.mul(start, psi);
        Self { first: first.cast_signed(), start: start.cast_signed(), step: step.cast_signed() }
    }
}

impl SlotRing<'_> {
    /// The widest prime: six layers forward fit a signed word if words are reduced between them.
    pub const MAX_BITS: u32 = 28;

    /// The prime.
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus.modulus()
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.degree
    }

    /// The arithmetic underneath.
    pub(super) const fn signed(&self) -> &SignedModulus {
        &self.modulus
    }

    /// Coefficients in `(−q, q)` to evaluations, as signed words that are to be reduced.
    pub(super) fn forward(&self, limb: &mut [u32]) {
        assert_eq!(limb.len(), self.degree);
        let rows = self.degree / ROW;
        let mut groups = 1;
        if rows.trailing_zeros() % 2 == 1 {
            self.split_in_two(limb);
            groups = 2;
        }
        while groups < rows {
            self.reduce_if_wide(limb);
            self.split_in_four(limb, groups);
            groups *= 4;
        }
        self.twist(limb, self.forward);
        let (rows, _) = limb.as_chunks_mut::<ROW>();
        self.split_rows_first(rows);
        self.reduce_if_wide(rows.as_flattened_mut());
        self.split_rows::<4>(rows);
        self.reduce_if_wide(rows.as_flattened_mut());
        self.split_rows::<1>(rows);
    }

    /// From signed words in `(−q, q)`, `2^32` times the inverse transform, as signed words up to `8q` that
    /// are to be reduced.
    pub(super) fn inverse(&self, limb: &mut [u32]) {
        assert_eq!(limb.len(), self.degree);
        let (rows, _) = limb.as_chunks_mut::<ROW>();
        self.join_rows::<1>(rows, butterflies);
        self.reduce_if_wide(rows.as_flattened_mut());
        self.join_rows::<4>(rows, |words, roots| self.join(words, roots));
        self.reduce_if_wide(rows.as_flattened_mut());
        self.join_rows_last(rows);
        self.twist(limb, self.backward);
        let mut groups = self.degree / ROW / 4;
        self.join_four(limb, groups, butterflies);
        self.reduce_if_wide(limb);
        while groups >= 4 {
            groups /= 4;
            self.join_four(limb, groups, |words, roots| self.join(words, roots));
            self.reduce_if_wide(limb);
        }
        if groups == 2 {
            self.join_two(limb);
        }
    }

    /// Brings words back to `(−q, q)` where a prime leaves too few bits for two passes.
    fn reduce_if_wide(&self, limb: &mut [u32]) {
        if self.modulus().value() >> 27 != 0 {
            for x in limb {
                *x = self.modulus.shrink(x.cast_signed()).cast_unsigned();
            }
        }
    }

    /// Multiplies word `j` of every row by power `j` of the row's factor.
    fn twist(&self, limb: &mut [u32], twist: Twist) {
        let (rows, _) = limb.as_chunks_mut::<ROW>();
        let count = rows.len();
        let mut base = twist.start;
        for r in 0..count {
            let mut power = twist.first;
            for x in &mut rows[bit_reversed(r, count)] {
                *x = self.modulus.multiply_signed(x.cast_signed(), power).cast_unsigned();
                power = self.modulus.multiply_signed(power, base);
            }
            base = self.modulus.multiply_signed(base, twist.step);
        }
    }

    /// The first layer forward.
    fn split_in_two(&self, limb: &mut [u32]) {
        let root = self.modulus.root(self.inverse_roots[1]);
        let (left, right) = limb.split_at_mut(self.degree / 2);
        for (a, b) in left.iter_mut().zip(right) {
            let (x, t) = (a.cast_signed(), root.multiply(b.cast_signed()));
            (*a, *b) = ((x - t).cast_unsigned(), (x + t).cast_unsigned());
        }
    }

    /// The last layer backward.
    fn join_two(&self, limb: &mut [u32]) {
        let root = self.modulus.root(self.inverse_roots[1]);
        let (left, right) = limb.split_at_mut(self.degree / 2);
        for (a, b) in left.iter_mut().zip(right) {
            let (x, y) = (a.cast_signed(), b.cast_signed());
            (*a, *b) = ((x + y).cast_unsigned(), root.multiply(x - y).cast_unsigned());
        }
    }

    /// Two layers forward between rows, the first on `groups` groups.
    fn split_in_four(&self, limb: &mut [u32], groups: usize) {
        for (group, block) in limb.chunks_exact_mut(self.degree / groups).enumerate() {
            let roots = self.forward_roots(groups + group);
            across(block, |words| split(words, roots));
        }
    }

    /// Two layers backward between rows, the second on `groups` groups.
    fn join_four(
        &self,
        limb: &mut [u32],
        groups: usize,
        f: impl Fn([u32; 4], [SignedFactor; 3]) -> [u32; 4],
    ) {
        for (group, block) in limb.chunks_exact_mut(self.degree / groups).enumerate() {
            let roots = self.backward_roots(groups + group);
            across(block, |words| f(words, roots));
        }
    }

    /// The first two layers forward within every row: all roots are one but the last.
    fn split_rows_first(&self, rows: &mut [[u32; ROW]]) {
        let root = self.negated_root(1);
        within::<16>(rows, 0, |words| {
            let [x0, x1, x2, x3] = words.map(u32::cast_signed);
            let t = root.multiply(x1 - x3);
            let ([a0, a1], right) = ([x0 + x2, x1 + x3], x0 - x2);
            [a0 + a1, a0 - a1, right - t, right + t].map(i32::cast_unsigned)
        });
    }

    /// Two layers forward within every row, between words `H` apart in the end.
    fn split_rows<const H: usize>(&self, rows: &mut [[u32; ROW]]) {
        for group in 0..ROW / (4 * H) {
            let roots = self.forward_roots(group);
            within::<H>(rows, group, |words| split(words, roots));
        }
    }

    /// Two layers backward within every row, between words `H` apart at first.
    fn join_rows<const H: usize>(
        &self,
        rows: &mut [[u32; ROW]],
        f: impl Fn([u32; 4], [SignedFactor; 3]) -> [u32; 4],
    ) {
        for group in 0..ROW / (4 * H) {
            let roots = self.backward_roots(group);
            within::<H>(rows, group, |words| f(words, roots));
        }
    }

    /// The last two layers backward within every row.
    fn join_rows_last(&self, rows: &mut [[u32; ROW]]) {
        let root = self.root(1);
        within::<16>(rows, 0, |words| {
            let [x0, x1, x2, x3] = words.map(u32::cast_signed);
            let (s0, s1, d0) = (x0 + x1, x2 + x3, x0 - x1);
            let d1 = root.multiply(x2 - x3);
            [s0 + s1, d0 + d1, s0 - s1, d0 - d1].map(i32::cast_unsigned)
        });
    }

    /// The roots of two layers forward, negated, those of the second layer last. Group `i` of the `g` of
    /// a layer has `ψ^rev(i)` in a cyclic transform and `ψ^rev(g + i)` in a negacyclic one.
    #[inline(always)]
    fn forward_roots(&self, first: usize) -> [SignedFactor; 3] {
        let [left, right] = [2 * first, 2 * first + 1];
        [self.negated_root(first), self.negated_root(left), self.negated_root(right)]
    }

    /// The roots of two layers backward, those of the first layer first.
    #[inline(always)]
    fn backward_roots(&self, second: usize) -> [SignedFactor; 3] {
        [2 * second, 2 * second + 1, second].map(|i| self.root(i))
    }

    /// `−ψ^rev(i)`, which is `ψ^−rev(3g − 1 − i)` for `g ≤ i < 2g`.
    #[inline(always)]
    fn negated_root(&self, i: usize) -> SignedFactor {
        let factor = match i.checked_ilog2() {
            Some(log) => &self.inverse_roots[(3 << log) - 1 - i],
            None => &self.minus_one,
        };
        self.modulus.root(*factor)
    }

    /// `ψ^−rev(i)`.
    #[inline(always)]
    fn root(&self, i: usize) -> SignedFactor {
        self.modulus.root(self.inverse_roots[i])
    }

    /// [`butterflies`] whose words up to `b ≥ q` in absolute value become words up to `3q`, if `4b` fits.
    #[inline]
    fn join(&self, words: [u32; 4], roots: [SignedFactor; 3]) -> [u32; 4] {
        let [sum, rest @ ..] = butterflies(words, roots);
        let [second, third, fourth] = rest;
        [self.modulus.shrink(sum.cast_signed()).cast_unsigned(), second, third, fourth]
    }
}

/// Two butterflies across, then two on neighbours, with negated roots: words grow by `3q`.
#[inline]
fn split(words: [u32; 4], roots: [SignedFactor; 3]) -> [u32; 4] {
    let [x0, x1, x2, x3] = words.map(u32::cast_signed);
    let (t2, t3) = (roots[0].multiply(x2), roots[0].multiply(x3));
    let (t1, t3) = (roots[1].multiply(x1 - t3), roots[2].multiply(x1 + t3));
    let (left, right) = (x0 - t2, x0 + t2);
    [left - t1, left + t1, right - t3, right + t3].map(i32::cast_unsigned)
}

/// Replaces the words at the same place of the four quarters of a block.
#[inline]
fn across(block: &mut [u32], f: impl Fn([u32; 4]) -> [u32; 4]) {
    let half = block.len() / 2;
    let (left, right) = block.split_at_mut(half);
    let ((x0, x1), (x2, x3)) = (left.split_at_mut(half / 2), right.split_at_mut(half / 2));
    for ((x0, x1), (x2, x3)) in x0.iter_mut().zip(x1).zip(x2.iter_mut().zip(x3)) {
        [*x0, *x1, *x2, *x3] = f([*x0, *x1, *x2, *x3]);
    }
}

/// The same for the quarters, of `H` words, of part `group` of every row.
#[inline]
fn within<const H: usize>(rows: &mut [[u32; ROW]], group: usize, f: impl Fn([u32; 4]) -> [u32; 4]) {
    for row in rows {
        let (quarters, _) = row.as_chunks_mut::<H>();
        let [x0, x1, x2, x3] = &mut quarters.as_chunks_mut::<4>().0[group];
        for i in 0..H {
            [x0[i], x1[i], x2[i], x3[i]] = f([x0[i], x1[i], x2[i], x3[i]]);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "degrees are at most 2^14")]
const fn word(x: usize) -> u32 {
    x as u32
}
