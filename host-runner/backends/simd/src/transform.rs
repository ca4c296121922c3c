//! The transforms, one layer after another.
//!
//! A layer of the forward transform splits its nodes in two, node `i` into `2i` and `2i + 1` after
//! butterflies with root `i`. So a node knows its roots, and subtrees that fit the cache are
//! finished one after another. The inverse runs the same tree from its leaves.
//!
//! A loop does one layer and no more. Its rounds are so short that the CPU runs several at once,
//! and that is worth more than the loads and stores of a loop that does two or three.
//!
//! The last layers of the forward transform pair words that one register holds. Each exchanges a
//! bit of the lanes' numbers with the choice between two registers, from the highest bit down, so
//! that in the end one register of a pair has the words of even places and the other the odd ones.

use he_core::{modulus::Factor, ntt::NttTable};

use crate::lanes::{self, Factors, Lanes, Task, reduce_once};
use crate::pointwise::ScaleAssign;

/// Words that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 1 << 12;

/// Factors that fit the first cache.
///
/// Bit reversal keeps sums of numbers without a common bit, so
/// `ψ^rev(i + j) = ψ^rev(i) · ψ^rev(j)` for `j` below this and `i` a multiple of it. A larger
/// transform takes the many factors of its last layers apart in this way (`FAR`): it multiplies
/// once more, and a sixteenth of its factors have to come from memory.
const NEAR: usize = 1 << 12;

/// Coefficients to evaluations; at least two registers.
pub(crate) fn forward<L: Lanes>(lanes: L, table: &NttTable<'_>, limb: &mut [L::Words]) {
    let (q, roots) = (table.modulus().value(), table.roots());
    let tree = Node { q, roots, number: 1, words: limb };
    match roots.len() > NEAR {
        true => tree.split::<true>(lanes),
        false => tree.split::<false>(lanes),
    }
}

/// Evaluations to coefficients; at least two registers.
pub(crate) fn inverse<L: Lanes>(lanes: L, table: &NttTable<'_>, limb: &mut [L::Words]) {
    let (q, roots) = (table.modulus().value(), table.inverse_roots());
    let tree = Node { q, roots, number: 1, words: &mut *limb };
    match roots.len() > NEAR {
        true => tree.join::<true>(lanes),
        false => tree.join::<false>(lanes),
    }
    lanes.run(ScaleAssign { q: table.modulus(), acc: limb, f: table.inverse_degree() });
}

/// A node of the tree, and the words of its subtree.
struct Node<'a, L: Lanes> {
    q: u32,
    roots: &'a [Factor],
    number: usize,
    words: &'a mut [L::Words],
}

/// All layers below a node, forward.
struct Split<'a, L: Lanes, const FAR: bool>(Node<'a, L>);

/// The layer of a node, forward.
struct SplitOnce<'a, L: Lanes>(Node<'a, L>);

/// All layers below a node, backwards.
struct Join<'a, L: Lanes, const FAR: bool>(Node<'a, L>);

/// The layer of a node, backwards.
struct JoinOnce<'a, L: Lanes>(Node<'a, L>);

impl<L: Lanes, const FAR: bool> Task<L> for Split<'_, L, FAR> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let mut node = self.0;
        let mut size = node.words.len();
        while size > 1 {
            node.forward_layer(lanes, size);
            size /= 2;
        }
        if L::WIDTH > 8 {
            node.forward_within::<8, FAR>(lanes);
        }
        if L::WIDTH > 4 {
            node.forward_within::<4, FAR>(lanes);
        }
        node.forward_within::<2, FAR>(lanes);
        node.forward_within::<1, FAR>(lanes);
    }
}

impl<L: Lanes> Task<L> for SplitOnce<'_, L> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        self.0.forward_layer(lanes, self.0.words.len());
    }
}

impl<L: Lanes, const FAR: bool> Task<L> for Join<'_, L, FAR> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let mut node = self.0;
        node.inverse_within::<1, FAR>(lanes);
        node.inverse_within::<2, FAR>(lanes);
        if L::WIDTH > 4 {
            node.inverse_within::<4, FAR>(lanes);
        }
        if L::WIDTH > 8 {
            node.inverse_within::<8, FAR>(lanes);
        }
        let mut size = 2;
        while size <= node.words.len() {
            node.inverse_layer(lanes, size);
            size *= 2;
        }
    }
}

impl<L: Lanes> Task<L> for JoinOnce<'_, L> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        self.0.inverse_layer(lanes, self.0.words.len());
    }
}

impl<'a, L: Lanes> Node<'a, L> {
    /// All layers from here down, forward.
    fn split<const FAR: bool>(self, lanes: L) {
        if self.words.len() * L::WIDTH <= CLOSE {
            return lanes.run(Split::<L, FAR>(self));
        }
        let Self { q, roots, number, words } = self;
        lanes.run(SplitOnce(Node { q, roots, number, words: &mut *words }));
        let (left, right) = words.split_at_mut(words.len() / 2);
        Node { q, roots, number: 2 * number, words: left }.split::<FAR>(lanes);
        Node { q, roots, number: 2 * number + 1, words: right }.split::<FAR>(lanes);
    }

    /// All layers up to here, backwards.
    fn join<const FAR: bool>(self, lanes: L) {
        if self.words.len() * L::WIDTH <= CLOSE {
            return lanes.run(Join::<L, FAR>(self));
        }
        let Self { q, roots, number, words } = self;
        let (left, right) = words.split_at_mut(words.len() / 2);
        Node { q, roots, number: 2 * number, words: left }.join::<FAR>(lanes);
        Node { q, roots, number: 2 * number + 1, words: right }.join::<FAR>(lanes);
        lanes.run(JoinOnce(Node { q, roots, number, words }));
    }

    /// The layer of nodes of `size` registers, forward.
    #[inline(always)]
    fn forward_layer(&mut self, lanes: L, size: usize) {
        let (q, roots) =
            (lanes.splat(self.q), self.roots[self.words.len() / size * self.number..].iter());
        for (&f, words) in roots.zip(self.words.chunks_exact_mut(size)) {
            let (left, right) = words.split_at_mut(size / 2);
            let f = Factors::splat(lanes, f);
            for (a, b) in left.iter_mut().zip(right) {
                let (x, y) = forward_butterfly(lanes, lanes.load(a), lanes.load(b), f, q);
                lanes.store(a, x);
                lanes.store(b, y);
            }
        }
    }

    /// The layer of nodes of `size` registers, backwards.
    #[inline(always)]
    fn inverse_layer(&mut self, lanes: L, size: usize) {
        let (q, roots) =
            (lanes.splat(self.q), self.roots[self.words.len() / size * self.number..].iter());
        for (&f, words) in roots.zip(self.words.chunks_exact_mut(size)) {
            let (left, right) = words.split_at_mut(size / 2);
            let f = Factors::splat(lanes, f);
            for (a, b) in left.iter_mut().zip(right) {
                let (sum, difference) = inverse_butterfly(lanes, lanes.load(a), lanes.load(b), q);
                lanes.store(a, sum);
                lanes.store(b, f.mul(lanes, difference, q));
            }
        }
    }

    /// The layer that pairs words at a distance of `BIT`, forward.
    #[inline(always)]
    fn forward_within<const BIT: usize, const FAR: bool>(&mut self, lanes: L) {
        let (q, (common, factors)) = (lanes.splat(self.q), self.factors::<BIT, FAR>(lanes));
        for ([a, b], f) in self.words.as_chunks_mut().0.iter_mut().zip(factors) {
            let (x, y) = lanes.exchange::<BIT>(lanes.load(a), lanes.load(b));
            let y = if FAR { common.mul_lazy(lanes, y, q) } else { y };
            let (mut x, mut y) = forward_butterfly(lanes, x, y, lanes.factors::<BIT>(f), q);
            if BIT == 1 {
                (x, y) = lanes.zip(reduce_once(lanes, x, q), reduce_once(lanes, y, q));
            }
            lanes.store(a, x);
            lanes.store(b, y);
        }
    }

    /// The layer that pairs words at a distance of `BIT`, backwards.
    #[inline(always)]
    fn inverse_within<const BIT: usize, const FAR: bool>(&mut self, lanes: L) {
        let (q, (common, factors)) = (lanes.splat(self.q), self.factors::<BIT, FAR>(lanes));
        for ([a, b], f) in self.words.as_chunks_mut().0.iter_mut().zip(factors) {
            let (mut x, mut y) = (lanes.load(a), lanes.load(b));
            if BIT == 1 {
                (x, y) = lanes.unzip(x, y);
            }
            let (x, y) = inverse_butterfly(lanes, x, y, q);
            let y = if FAR { common.mul_lazy(lanes, y, q) } else { y };
            let (x, y) = lanes.exchange::<BIT>(x, lanes.factors::<BIT>(f).mul(lanes, y, q));
            lanes.store(a, x);
            lanes.store(b, y);
        }
    }

    /// The factors of the layer that pairs words at a distance of `BIT`: one that all have in
    /// common if they are `FAR`, and for each pair of registers the near ones that it is
    /// multiplied by.
    #[inline(always)]
    fn factors<const BIT: usize, const FAR: bool>(
        &self,
        lanes: L,
    ) -> (Factors<L>, impl Iterator<Item = &'a [Factor]> + use<'a, L, BIT, FAR>) {
        let each = L::WIDTH / BIT;
        let count = self.words.len() * each / 2;
        let place = self.number * count;
        debug_assert!(!FAR || place % NEAR + count <= NEAR);
        let common = if FAR { place - place % NEAR } else { 0 };
        let factors = self.roots[place - common..][..count].chunks_exact(each);
        (Factors::splat(lanes, self.roots[common]), factors)
    }
}

/// `(a + b·f, a − b·f)`, all below `2q`: wider residues would not fit a word.
#[inline(always)]
fn forward_butterfly<L: Lanes>(
    lanes: L,
    a: L::Register,
    b: L::Register,
    f: Factors<L>,
    q: L::Register,
) -> (L::Register, L::Register) {
    let (a, b) = (reduce_once(lanes, a, q), f.mul(lanes, b, q));
    (lanes.wrapping_add(a, b), lanes.wrapping_sub(lanes.wrapping_add(a, q), b))
}

/// `(a + b, a − b)`, the sum below `q` and the difference, still to be multiplied, below `2q`.
#[inline(always)]
fn inverse_butterfly<L: Lanes>(
    lanes: L,
    a: L::Register,
    b: L::Register,
    q: L::Register,
) -> (L::Register, L::Register) {
    (lanes::add(lanes, a, b, q), lanes.wrapping_sub(lanes.wrapping_add(a, q), b))
}
