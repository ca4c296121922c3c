//! Sums of rotations by baby steps and giant steps: what a linear map of the slots is applied by.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Evaluator;
use crate::Error;

/// `Σ_g rot(Σ_b p_(g,b) · rot(x, b·baby), g·giant)`.
#[derive(Clone, Debug)]
pub struct GiantSteps<P> {
    /// The rotation of one baby step.
    pub baby: isize,
    /// The rotation of one giant step.
    pub giant: isize,
    /// By giant step: baby steps, and what they are multiplied by.
    pub terms: BTreeMap<isize, Vec<(usize, P)>>,
}

impl<P> GiantSteps<P> {
    /// The baby steps in use, in ascending order, each with its rotation.
    #[must_use]
    pub fn babies(&self) -> BTreeMap<usize, isize> {
        let babies = self.terms.values().flatten().map(|(baby, _)| *baby);
        babies.map(|baby| (baby, self.baby * baby.cast_signed())).collect()
    }

    /// The sum by Horner's rule, outwards in both directions, so that only rotations by one giant
    /// step are needed: `inner(g)` is the inner sum of step `g`, and `turn(sum, rotation, next)` a
    /// rotated sum and another one, if there is one.
    pub(crate) fn horner<T>(
        &self,
        mut inner: impl FnMut(isize) -> Result<T, Error>,
        mut turn: impl FnMut(T, isize, Option<T>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // The sum at step `from`, taken to step `to` and added to what is there.
        let mut walk = |mut sum: T, from: isize, to: isize, mut next: Option<T>| {
            let rotation = self.giant * (from - to).signum();
            for left in (0..from.abs_diff(to)).rev() {
                sum = turn(sum, rotation, if left == 0 { next.take() } else { None })?;
            }
            Ok(sum)
        };
        let giants: Vec<isize> = self.terms.keys().copied().collect();
        let (left, right) = giants.split_at(giants.partition_point(|&giant| giant < 0));
        let mut total = None;
        for side in [right.iter().rev().collect::<Vec<_>>(), left.iter().collect()] {
            let mut outer = None;
            for &giant in side {
                let next = inner(giant)?;
                outer = Some(match outer {
                    None => (next, giant),
                    Some((sum, at)) => (walk(sum, at, giant, Some(next))?, giant),
                });
            }
            if let Some((sum, at)) = outer {
                total = Some(walk(sum, at, 0, total)?);
            }
        }
        total.ok_or(Error::InvalidParameters("the map is zero"))
    }
}

/// The sum for `x`, rescaled, by an evaluator's rotations and products.
pub(crate) fn apply<E: Evaluator + ?Sized>(
    eval: &E,
    x: &E::Ciphertext,
    steps: &GiantSteps<E::Plaintext>,
) -> Result<E::Ciphertext, Error> {
    let babies = steps.babies();
    let rotated = eval.rotate_many(x, &babies.values().copied().collect::<Vec<_>>())?;
    let babies: BTreeMap<_, _> = babies.into_keys().zip(rotated).collect();
    let inner = |giant| {
        let terms: Vec<_> =
            steps.terms[&giant].iter().map(|(baby, p)| (&babies[baby], p)).collect();
        eval.dot_plain(&terms)
    };
    let turn = |sum, rotation, next: Option<E::Ciphertext>| {
        let turned = eval.rotate(&sum, rotation)?;
        match next {
            Some(next) => eval.add(&turned, &next),
            None => Ok(turned),
        }
    };
    eval.rescale(&steps.horner(inner, turn)?)
}
