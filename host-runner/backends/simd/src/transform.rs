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
//!
//! Between layers words are below twice a limit: the prime, or twice the prime if that fits, which
//! saves two reductions a butterfly. After Harvey, *Faster arithmetic for number-theoretic
//! transforms* (2014), section 3.

use he_core::{
    modulus::{Factor, Modulus},
    ntt::{NttTable, bit_reversed},
};

use crate::lanes::{Factors, Lanes, Task, reduce_once};

/// Words that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 1 << 12;

/// Factors that are near: those of all primes that a chain of this degree can have fit a cache.
///
/// The subtree of node `i` evaluates a polynomial where `X` to the width of a register is
/// `γ_i^width` times a power of `ψ` that does not depend on `i`, for `γ_i = ψ^rev(i)` with as many
/// bits as `i` has. A larger transform (`FAR`) multiplies the word in lane `k` by `γ_i^k`, so that
/// all subtrees of [`CLOSE`] words go on with the same factors, and the many of the last layers
/// need not come from memory.
const NEAR: usize = 1 << 14;

/// Primes below this many bits leave room for four times the prime in a word.
const LAZY_BITS: u32 = 30;

/// Coefficients to evaluations; at least two registers.
pub(crate) fn forward<L: Lanes>(lanes: L, table: &NttTable<'_>, words: &mut [L::Words]) {
    let (q, roots) = (table.modulus(), table.roots());
    let is_far = roots.len() > NEAR;
    match (q.value() >> LAZY_BITS == 0, is_far) {
        (true, true) => Node::<L, true, true>::root(q, roots, words).split(lanes),
        (true, false) => Node::<L, true, false>::root(q, roots, words).split(lanes),
        (false, true) => Node::<L, false, true>::root(q, roots, words).split(lanes),
        (false, false) => Node::<L, false, false>::root(q, roots, words).split(lanes),
    }
}

/// Evaluations to coefficients; at least two registers.
pub(crate) fn inverse<L: Lanes>(lanes: L, table: &NttTable<'_>, words: &mut [L::Words]) {
    let (q, roots) = (table.modulus(), table.inverse_roots());
    let (is_far, scale) = (roots.len() > NEAR, table.inverse_degree());
    match (q.value() >> LAZY_BITS == 0, is_far) {
        (true, true) => Node::<L, true, true>::root(q, roots, words).join_all(lanes, scale),
        (true, false) => Node::<L, true, false>::root(q, roots, words).join_all(lanes, scale),
        (false, true) => Node::<L, false, true>::root(q, roots, words).join_all(lanes, scale),
        (false, false) => Node::<L, false, false>::root(q, roots, words).join_all(lanes, scale),
    }
}

/// A node of the tree, and the words of its subtree.
struct Node<'a, L: Lanes, const LAZY: bool, const FAR: bool> {
    q: Modulus,
    roots: &'a [Factor],
    number: usize,
    words: &'a mut [L::Words],
}

/// All layers below a node, forward.
struct Split<'a, L: Lanes, const LAZY: bool, const FAR: bool>(Node<'a, L, LAZY, FAR>);

/// The layer of a node, forward.
struct SplitOnce<'a, L: Lanes, const LAZY: bool, const FAR: bool>(Node<'a, L, LAZY, FAR>);

/// All layers below a node, backwards, and its own if it is not the root.
struct Join<'a, L: Lanes, const LAZY: bool, const FAR: bool>(Node<'a, L, LAZY, FAR>);

/// The layer of a node that is not the root, backwards.
struct JoinOnce<'a, L: Lanes, const LAZY: bool, const FAR: bool>(Node<'a, L, LAZY, FAR>);

/// The layer of the root, backwards, and the multiplication of everything by a factor.
struct JoinLast<'a, L: Lanes, const LAZY: bool, const FAR: bool>(Node<'a, L, LAZY, FAR>, Factor);

impl<L: Lanes, const LAZY: bool, const FAR: bool> Task<L> for Split<'_, L, LAZY, FAR> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let mut node = self.0;
        let mut size = node.words.len();
        while size > 1 {
            node.forward_layer(lanes, size);
            size /= 2;
        }
        if L::WIDTH > 8 {
            node.forward_within::<8>(lanes);
        }
        if L::WIDTH > 4 {
            node.forward_within::<4>(lanes);
        }
        node.forward_within::<2>(lanes);
        node.forward_within::<1>(lanes);
    }
}

impl<L: Lanes, const LAZY: bool, const FAR: bool> Task<L> for SplitOnce<'_, L, LAZY, FAR> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        self.0.forward_layer(lanes, self.0.words.len());
    }
}

impl<L: Lanes, const LAZY: bool, const FAR: bool> Task<L> for Join<'_, L, LAZY, FAR> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let mut node = self.0;
        node.inverse_within::<1>(lanes);
        node.inverse_within::<2>(lanes);
        if L::WIDTH > 4 {
            node.inverse_within::<4>(lanes);
        }
        if L::WIDTH > 8 {
            node.inverse_within::<8>(lanes);
        }
        let top = if node.number == 1 { node.words.len() / 2 } else { node.words.len() };
        let mut size = 2;
        while size <= top {
            node.inverse_layer(lanes, size);
            size *= 2;
        }
    }
}

impl<L: Lanes, const LAZY: bool, const FAR: bool> Task<L> for JoinOnce<'_, L, LAZY, FAR> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        self.0.inverse_layer(lanes, self.0.words.len());
    }
}

impl<L: Lanes, const LAZY: bool, const FAR: bool> Task<L> for JoinLast<'_, L, LAZY, FAR> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self(node, scale) = self;
        let residues = node.residues(lanes);
        let difference = node.q.factor(node.q.mul_factor(scale.value(), node.roots[1]));
        let (scale, difference) = (Factors::splat(lanes, scale), Factors::splat(lanes, difference));
        let (left, right) = node.words.split_at_mut(node.words.len() / 2);
        for (a, b) in left.iter_mut().zip(right) {
            let (x, y) = (lanes.load(a), lanes.load(b));
            let sum = residues.times(lanes, lanes.wrapping_add(x, y), scale);
            let rest = residues.times(lanes, residues.sub(lanes, x, y), difference);
            lanes.store(a, residues.finish(lanes, sum));
            lanes.store(b, residues.finish(lanes, rest));
        }
    }
}

impl<'a, L: Lanes, const LAZY: bool, const FAR: bool> Node<'a, L, LAZY, FAR> {
    fn root(q: Modulus, roots: &'a [Factor], words: &'a mut [L::Words]) -> Self {
        Self { q, roots, number: 1, words }
    }

    /// The same words, for a while.
    fn reborrow(&mut self) -> Node<'_, L, LAZY, FAR> {
        Node { q: self.q, roots: self.roots, number: self.number, words: self.words }
    }

    fn is_close(&self) -> bool {
        self.words.len() * L::WIDTH <= CLOSE
    }

    fn children(self) -> [Self; 2] {
        let Self { q, roots, number, words } = self;
        let (left, right) = words.split_at_mut(words.len() / 2);
        [(2 * number, left), (2 * number + 1, right)].map(|(number, words)| Node {
            q,
            roots,
            number,
            words,
        })
    }

    /// All layers from here down, forward.
    fn split(mut self, lanes: L) {
        if self.is_close() {
            return lanes.run(Split(self));
        }
        lanes.run(SplitOnce(self.reborrow()));
        self.children().into_iter().for_each(|child| child.split(lanes));
    }

    /// All layers up to here, backwards, without that of the root.
    fn join(mut self, lanes: L) {
        if self.is_close() {
            return lanes.run(Join(self));
        }
        self.reborrow().children().into_iter().for_each(|child| child.join(lanes));
        if self.number > 1 {
            lanes.run(JoinOnce(self));
        }
    }

    /// All layers of the root, backwards, and the multiplication by a factor.
    fn join_all(mut self, lanes: L, scale: Factor) {
        self.reborrow().join(lanes);
        lanes.run(JoinLast(self, scale));
    }

    /// The layer of nodes of `size` registers, forward.
    #[inline(always)]
    fn forward_layer(&mut self, lanes: L, size: usize) {
        let residues = self.residues(lanes);
        let roots = self.roots[self.words.len() / size * self.number..].iter();
        for (&f, words) in roots.zip(self.words.chunks_exact_mut(size)) {
            let (left, right) = words.split_at_mut(size / 2);
            let f = Factors::splat(lanes, f);
            for (a, b) in left.iter_mut().zip(right) {
                let x = residues.reduce(lanes, lanes.load(a));
                let (x, y) = residues.forward(lanes, x, lanes.load(b), f);
                lanes.store(a, x);
                lanes.store(b, y);
            }
        }
    }

    /// The layer of nodes of `size` registers, backwards.
    #[inline(always)]
    fn inverse_layer(&mut self, lanes: L, size: usize) {
        let residues = self.residues(lanes);
        let roots = self.roots[self.words.len() / size * self.number..].iter();
        for (&f, words) in roots.zip(self.words.chunks_exact_mut(size)) {
            let (left, right) = words.split_at_mut(size / 2);
            let f = Factors::splat(lanes, f);
            for (a, b) in left.iter_mut().zip(right) {
                let (x, y) = residues.inverse(lanes, lanes.load(a), lanes.load(b), f);
                lanes.store(a, x);
                lanes.store(b, y);
            }
        }
    }

    /// The layer that pairs words at a distance of `BIT`, forward.
    #[inline(always)]
    fn forward_within<const BIT: usize>(&mut self, lanes: L) {
        let (residues, factors) = (self.residues(lanes), self.factors::<BIT>());
        let is_turned = FAR && 2 * BIT == L::WIDTH;
        let turn = self.turn(lanes);
        for ([a, b], f) in self.words.as_chunks_mut().0.iter_mut().zip(factors) {
            let (mut x, mut y) = (lanes.load(a), lanes.load(b));
            if is_turned {
                (x, y) = (residues.times(lanes, x, turn), residues.times(lanes, y, turn));
            }
            (x, y) = lanes.exchange::<BIT>(x, y);
            if !is_turned {
                x = residues.reduce(lanes, x);
            }
            (x, y) = residues.forward(lanes, x, y, lanes.factors::<BIT>(f));
            if BIT == 1 {
                x = residues.finish(lanes, residues.reduce(lanes, x));
                y = residues.finish(lanes, residues.reduce(lanes, y));
                (x, y) = lanes.zip(x, y);
            }
            lanes.store(a, x);
            lanes.store(b, y);
        }
    }

    /// The layer that pairs words at a distance of `BIT`, backwards.
    #[inline(always)]
    fn inverse_within<const BIT: usize>(&mut self, lanes: L) {
        let (residues, factors) = (self.residues(lanes), self.factors::<BIT>());
        let is_turned = FAR && 2 * BIT == L::WIDTH;
        let turn = self.turn(lanes);
        for ([a, b], f) in self.words.as_chunks_mut().0.iter_mut().zip(factors) {
            let (mut x, mut y) = (lanes.load(a), lanes.load(b));
            if BIT == 1 {
                (x, y) = lanes.unzip(x, y);
            }
            (x, y) = residues.inverse(lanes, x, y, lanes.factors::<BIT>(f));
            (x, y) = lanes.exchange::<BIT>(x, y);
            if is_turned {
                (x, y) = (residues.times(lanes, x, turn), residues.times(lanes, y, turn));
            }
            lanes.store(a, x);
            lanes.store(b, y);
        }
    }

    /// The factors of the layer that pairs words at a distance of `BIT`, those of each pair of
    /// registers.
    #[inline(always)]
    fn factors<const BIT: usize>(
        &self,
    ) -> impl Iterator<Item = &'a [Factor]> + use<'a, L, LAZY, FAR, BIT> {
        let each = L::WIDTH / BIT;
        let count = self.words.len() * each / 2;
        let place = if FAR { 0 } else { self.number * count };
        self.roots[place..][..count].chunks_exact(each)
    }

    /// `γ^k` for lane `k`.
    #[inline(always)]
    fn turn(&self, lanes: L) -> Factors<L> {
        let exponent = bit_reversed(self.number, (self.number + 1).next_power_of_two());
        let mut powers = [Factor::default(); 16];
        for (k, power) in powers[..L::WIDTH].iter_mut().enumerate() {
            *power = self.roots[bit_reversed(k * exponent % self.roots.len(), self.roots.len())];
        }
        lanes.factors::<1>(&powers[..L::WIDTH])
    }

    #[inline(always)]
    fn residues(&self, lanes: L) -> Residues<L, LAZY> {
        let q = self.q.value();
        Residues { q: lanes.splat(q), limit: lanes.splat(if LAZY { 2 * q } else { q }) }
    }
}

/// The arithmetic between layers.
#[derive(Clone, Copy)]
struct Residues<L: Lanes, const LAZY: bool> {
    q: L::Register,
    /// `2q` if `LAZY`, else `q`.
    limit: L::Register,
}

impl<L: Lanes, const LAZY: bool> Residues<L, LAZY> {
    /// `(a + b·f, a − b·f)`, both below twice the limit, for `a` below it and any word `b`.
    #[inline(always)]
    fn forward(
        self,
        lanes: L,
        a: L::Register,
        b: L::Register,
        f: Factors<L>,
    ) -> (L::Register, L::Register) {
        let b = self.times(lanes, b, f);
        (lanes.wrapping_add(a, b), self.sub(lanes, a, b))
    }

    /// `(a + b, (a − b)·f)`, all below the limit.
    #[inline(always)]
    fn inverse(
        self,
        lanes: L,
        a: L::Register,
        b: L::Register,
        f: Factors<L>,
    ) -> (L::Register, L::Register) {
        let sum = self.reduce(lanes, lanes.wrapping_add(a, b));
        (sum, self.times(lanes, self.sub(lanes, a, b), f))
    }

    /// `a − b` below twice the limit, for both below it.
    #[inline(always)]
    fn sub(self, lanes: L, a: L::Register, b: L::Register) -> L::Register {
        lanes.wrapping_sub(lanes.wrapping_add(a, self.limit), b)
    }

    /// `a · f` below the limit, for any word `a`.
    #[inline(always)]
    fn times(self, lanes: L, a: L::Register, f: Factors<L>) -> L::Register {
        if LAZY { f.mul_lazy(lanes, a, self.q) } else { f.mul(lanes, a, self.q) }
    }

    /// What is below twice the limit, below the limit.
    #[inline(always)]
    fn reduce(self, lanes: L, x: L::Register) -> L::Register {
        reduce_once(lanes, x, self.limit)
    }

    /// What is below the limit, below the prime.
    #[inline(always)]
    fn finish(self, lanes: L, x: L::Register) -> L::Register {
        if LAZY { reduce_once(lanes, x, self.q) } else { x }
    }
}
