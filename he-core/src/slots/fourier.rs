//! The transform of [`embedding`](crate::encode::Encoder::embedding) in fixed point, in place.
//!
//! A message has `n = N/2` slots: the values of the complex polynomial with coefficients
//! `m_k + i·m_(k+n)` at the roots `exp(iπ(4t + 1)/N)` of `X^n = i`, slot `j` being the one with
//! `4t + 1 = 5^j mod 2N`. The transform has the shape of [`SlotRing`](super::SlotRing): layers between rows
//! of 64 points, a twist, layers within each row. Two layers at a time take three products.
//!
//! A product is rounded to the nearest integer, and backward every two layers divide by four. So as
//! long as values stay below [`SLOT_BOUND`] nothing overflows, and a coefficient is off by 0.4 units in
//! the root of the mean square, whatever the degree. All in constant time.

use core::hint::black_box;

use crate::ntt::bit_reversed;

use super::ring::ROW;

/// The largest absolute value of a slot.
pub const SLOT_BOUND: i32 = (1 << 29) - (1 << 9);

/// A complex number.
type Point = [i32; 2];

/// A root of unity times `2^30`.
type Root = [i32; 2];

/// A row of real or of imaginary parts, words of two's complement.
type Row = [u32; ROW];

/// Parts of a turn that [`CIRCLE`] knows.
const STEPS: usize = 512;

/// Parts of a step that [`ARC`] knows; together they make the `2N`-th roots up to degree 16384.
const PARTS: usize = 64;

/// `exp(2πi·k / 512)`.
static CIRCLE: [Root; STEPS] = powers(7);

/// `exp(2πi·k / 32768)`.
static ARC: [Root; PARTS] = powers(13);

/// From slots, slot `j` at the place that [`places`] gives for it, to coefficients: `m_k` at place `k`
/// of the real and `m_(k+n)` at place `k` of the imaginary parts.
pub(super) fn slots_to_coefficients(re: &mut [u32], im: &mut [u32]) {
    let (re_rows, im_rows) = (re.as_chunks_mut().0, im.as_chunks_mut().0);
    let count = re_rows.len();
    join_rows::<1>(re_rows, im_rows);
    join_rows::<4>(re_rows, im_rows);
    join_rows::<16>(re_rows, im_rows);
    twist(re_rows, im_rows, |[cos, sin]| [cos, -sin]);
    let mut groups = count;
    while groups >= 4 {
        groups /= 4;
        between(re, im, groups, join);
    }
    if groups == 2 {
        let [cos, sin] = CIRCLE[STEPS / 8];
        halves(re, im, |x, y| {
            let difference = sub(x, y).map(|z| z.wrapping_mul(2));
            (add(x, y).map(|z| z.wrapping_add(1) >> 1), times(difference, [cos, -sin]))
        });
    }
}

/// The inverse of [`slots_to_coefficients`]. What comes in as the coefficients of a message with slots
/// below [`SLOT_BOUND`] does not overflow.
pub(super) fn coefficients_to_slots(re: &mut [u32], im: &mut [u32]) {
    let count = re.len() / ROW;
    let mut groups = 1;
    if count.trailing_zeros() % 2 == 1 {
        halves(re, im, |x, y| {
            let y = times(fourfold(y), CIRCLE[STEPS / 8]);
            (add(x, y), sub(x, y))
        });
        groups = 2;
    }
    while groups < count {
        between(re, im, groups, split);
        groups *= 4;
    }
    let (re_rows, im_rows) = (re.as_chunks_mut().0, im.as_chunks_mut().0);
    twist(re_rows, im_rows, |root| root);
    split_rows::<16>(re_rows, im_rows);
    split_rows::<4>(re_rows, im_rows);
    split_rows::<1>(re_rows, im_rows);
}

/// The place of every slot, in the order of slots.
pub(super) fn places(slots: usize) -> impl Iterator<Item = usize> {
    let mask = 4 * slots - 1;
    let mut power = 1;
    (0..slots).map(move |_| {
        let place = bit_reversed(power / 4, slots);
        power = (5 * power) & mask;
        place
    })
}

/// Multiplies point `j` of row `rev(r)` by the power `(4r + 1 − R)·j` of `exp(iπ/N)`, or by the
/// conjugate.
#[inline]
fn twist(re: &mut [Row], im: &mut [Row], conjugated: impl Fn(Root) -> Root) {
    let count = re.len();
    // In parts of steps, of which a turn has 32768; exp(iπ/N) is a turn by 1/4n.
    let unit = STEPS * PARTS / (4 * ROW * count);
    for r in 0..count {
        let row = bit_reversed(r, count);
        let step = (4 * r + 1).wrapping_sub(count).wrapping_mul(unit);
        let mut at = 0_usize;
        for (re, im) in re[row].iter_mut().zip(&mut im[row]) {
            let coarse = times(fourfold(load(*re, *im)), conjugated(CIRCLE[at / PARTS % STEPS]));
            store(re, im, times(fourfold(coarse), conjugated(ARC[at % PARTS])));
            at = at.wrapping_add(step);
        }
    }
}

/// The root `r` of the first of two layers of which the coarser has `groups` groups, with its square and
/// its cube.
#[inline]
fn roots(groups: usize, group: usize) -> [Root; 3] {
    let angle = (4 * bit_reversed(group, groups) + 1) * (STEPS / 16) / groups;
    // Roots whose words compilers know, or have just loaded, are extended to 64 bits outside of the
    // loops, where a product is one instruction no longer.
    let zero = black_box(0);
    [angle, 2 * angle, 3 * angle].map(|k| CIRCLE[k % STEPS].map(|x| x ^ zero))
}

fn join_rows<const H: usize>(re: &mut [Row], im: &mut [Row]) {
    for group in 0..ROW / (4 * H) {
        let roots = roots(ROW / (4 * H), group);
        within::<H>(re, im, group, |points| join(points, roots));
    }
}

fn split_rows<const H: usize>(re: &mut [Row], im: &mut [Row]) {
    for group in 0..ROW / (4 * H) {
        let roots = roots(ROW / (4 * H), group);
        within::<H>(re, im, group, |points| split(points, roots));
    }
}

/// Two layers backward, divided by four.
#[inline]
fn join([x0, x1, x2, x3]: [Point; 4], [first, square, cube]: [Root; 3]) -> [Point; 4] {
    let (s0, s1, d0, d1) = (add(x0, x1), add(x2, x3), sub(x0, x1), sub(x2, x3));
    let turned = [d1[1].wrapping_neg(), d1[0]];
    let conjugate = |[cos, sin]: Root| [cos, -sin];
    [
        add(s0, s1).map(|x| x.wrapping_add(2) >> 2),
        times(sub(d0, turned), conjugate(first)),
        times(sub(s0, s1), conjugate(square)),
        times(add(d0, turned), conjugate(cube)),
    ]
}

/// Two layers forward.
#[inline]
fn split([y0, y1, y2, y3]: [Point; 4], [first, square, cube]: [Root; 3]) -> [Point; 4] {
    let b1 = times(fourfold(y1), first);
    let (b2, b3) = (times(fourfold(y2), square), times(fourfold(y3), cube));
    let (s0, s1, d0, d1) = (add(y0, b2), add(b1, b3), sub(y0, b2), sub(b1, b3));
    let turned = [d1[1].wrapping_neg(), d1[0]];
    [add(s0, s1), sub(s0, s1), add(d0, turned), sub(d0, turned)]
}

/// Replaces the points at the same place of the two halves.
#[inline]
fn halves(re: &mut [u32], im: &mut [u32], f: impl Fn(Point, Point) -> (Point, Point)) {
    let ((a, b), (c, d)) = (re.split_at_mut(re.len() / 2), im.split_at_mut(im.len() / 2));
    for ((a, b), (c, d)) in a.iter_mut().zip(b).zip(c.iter_mut().zip(d)) {
        let (x, y) = f(load(*a, *c), load(*b, *d));
        store(a, c, x);
        store(b, d, y);
    }
}

/// Two layers between rows: replaces the points at the same place of the four quarters of each group.
#[inline]
fn between(
    re: &mut [u32],
    im: &mut [u32],
    groups: usize,
    f: impl Fn([Point; 4], [Root; 3]) -> [Point; 4],
) {
    let size = re.len() / groups;
    for (group, (re, im)) in re.chunks_exact_mut(size).zip(im.chunks_exact_mut(size)).enumerate() {
        let roots = roots(groups, group);
        let [re, im] = [re, im].map(|part| {
            let (left, right) = part.split_at_mut(size / 2);
            let ((a, b), (c, d)) = (left.split_at_mut(size / 4), right.split_at_mut(size / 4));
            a.iter_mut().zip(b).zip(c.iter_mut().zip(d))
        });
        for (((r0, r1), (r2, r3)), ((i0, i1), (i2, i3))) in re.zip(im) {
            let [x0, x1, x2, x3] =
                f([load(*r0, *i0), load(*r1, *i1), load(*r2, *i2), load(*r3, *i3)], roots);
            store(r0, i0, x0);
            store(r1, i1, x1);
            store(r2, i2, x2);
            store(r3, i3, x3);
        }
    }
}

/// The same for the quarters, of `H` points, of part `group` of every row.
#[inline]
fn within<const H: usize>(
    re: &mut [Row],
    im: &mut [Row],
    group: usize,
    f: impl Fn([Point; 4]) -> [Point; 4],
) {
    for (re, im) in re.iter_mut().zip(im) {
        let (re, im) = (&mut re[4 * H * group..][..4 * H], &mut im[4 * H * group..][..4 * H]);
        for i in 0..H {
            let points = f([0, H, 2 * H, 3 * H].map(|at| load(re[at + i], im[at + i])));
            for (at, point) in [0, H, 2 * H, 3 * H].into_iter().zip(points) {
                store(&mut re[at + i], &mut im[at + i], point);
            }
        }
    }
}

#[inline]
const fn load(re: u32, im: u32) -> Point {
    [re.cast_signed(), im.cast_signed()]
}

#[inline]
const fn store(re: &mut u32, im: &mut u32, point: Point) {
    (*re, *im) = (point[0].cast_unsigned(), point[1].cast_unsigned());
}

/// Four times a point, which makes up for the fixed point of a root.
#[inline]
fn fourfold(point: Point) -> Point {
    point.map(|x| x.wrapping_mul(4))
}

#[inline]
fn add([a, b]: Point, [c, d]: Point) -> Point {
    [a.wrapping_add(c), b.wrapping_add(d)]
}

#[inline]
fn sub([a, b]: Point, [c, d]: Point) -> Point {
    [a.wrapping_sub(c), b.wrapping_sub(d)]
}

/// A quarter of a point times a root.
#[inline]
fn times([re, im]: Point, [cos, sin]: Root) -> Point {
    [high(re, cos).wrapping_add(high(im, -sin)), high(im, cos).wrapping_add(high(re, sin))]
}

/// `a · b / 2^32`, rounded to the nearest integer.
#[inline]
const fn high(a: i32, b: i32) -> i32 {
    narrow((a as i64 * b as i64 + (1 << 31)) >> 32)
}

#[expect(clippy::cast_possible_truncation, reason = "all that is shifted down fits")]
const fn narrow(x: i64) -> i32 {
    x as i32
}

/// The first powers of `exp(2πi / 2^(halvings + 2))`, computed with 62 bits behind the point.
const fn powers<const K: usize>(halvings: u32) -> [Root; K] {
    const ONE: i128 = 1 << 62;
    // A quarter turn, halved: cos² = (1 + cos)/2 and sin = sin/(2·cos).
    let (mut cos, mut sin) = (0, ONE);
    let mut i = 0;
    while i < halvings {
        cos = ((ONE + cos) << 61).isqrt();
        sin = (sin << 61) / cos;
        i += 1;
    }
    let mut roots = [[0; 2]; K];
    let (mut x, mut y) = (ONE, 0);
    let mut k = 0;
    while k < K {
        roots[k] = [nearest(x), nearest(y)];
        (x, y) = ((x * cos - y * sin) >> 62, (x * sin + y * cos) >> 62);
        k += 1;
    }
    roots
}

/// From 62 bits behind the point to 30.
#[expect(clippy::cast_possible_truncation, reason = "at most one")]
const fn nearest(x: i128) -> i32 {
    ((x + (1 << 31)) >> 32) as i32
}
