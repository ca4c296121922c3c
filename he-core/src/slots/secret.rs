//! What the owner of the secret key does: encrypt, decrypt, make public keys.

use zeroize::Zeroize;

use super::{Message, SlotParams, SlotRing, Workspace, check, fourier};
use crate::Error;
use crate::edge::LimbSink;
use crate::sample::{MessageSeeds, SecretSeed, Seed, Ternary, domain, errors_each, uniform_each};

/// A secret key, two bits a coefficient: an array on a device, a `Vec` elsewhere. Erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct SlotSecret<'a, B: AsRef<[u8]> + AsMut<[u8]>> {
    params: SlotParams<'a>,
    secret: Ternary<B>,
}

impl<'a, B: AsRef<[u8]> + AsMut<[u8]>> SlotSecret<'a, B> {
    /// A uniform ternary secret of the degree of the parameters: [`Ternary::uniform`].
    ///
    /// # Errors
    /// If the secret has another degree.
    pub fn new(params: SlotParams<'a>, secret: Ternary<B>) -> Result<Self, Error> {
        check(params.degree(), secret.degree())?;
        Ok(Self { params, secret })
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &SlotParams<'a> {
        &self.params
    }

    /// The packed secret, for a sealed store.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        self.secret.packed()
    }

    /// Encrypts a message, number `index` of those that share these seeds, which must differ for every
    /// call. The sink gets the body modulo each prime, in coefficients. The mask of each prime `q` is
    /// [`uniform`](crate::sample::uniform)`(mask, CIPHERTEXT, index, q)`, in evaluation form.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If a buffer is not as long as the degree, or more bits are to be cut off than there are.
    pub fn encrypt<S: LimbSink>(
        &self,
        seeds: &MessageSeeds,
        index: u32,
        message: &Message<impl Fn(usize) -> i32>,
        work: &mut Workspace<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        work.check(self.params.degree());
        work.encode(message, &seeds.error, index);
        let mut result = Ok(());
        for (prime, ring) in self.params.rings().iter().enumerate() {
            self.multiply(ring, (&seeds.mask, domain::CIPHERTEXT, index), work.limb);
            result = work.finish(prime, ring, sink);
            if result.is_err() {
                break;
            }
        }
        work.message.zeroize();
        result
    }

    /// Makes the public key with a mask from `seed` and errors from `errors`, both of which serve for this
    /// key and nothing else. The sink gets its body modulo each prime, in evaluation form. The mask of each
    /// prime `q` is [`uniform`](crate::sample::uniform)`(seed, PUBLIC_KEY, 0, q)`.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If a buffer is not as long as the degree.
    pub fn public_key<S: LimbSink>(
        &self,
        seed: &Seed,
        errors: &SecretSeed,
        work: &mut Workspace<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        work.check(self.params.degree());
        errors_each(errors, 0, &mut *work.message, |word, error| {
            *word = i32::from(error).cast_unsigned();
        });
        let mut result = Ok(());
        for (prime, ring) in self.params.rings().iter().enumerate() {
            self.multiply(ring, (seed, domain::PUBLIC_KEY, 0), work.limb);
            let q = ring.signed();
            for (x, &e) in work.limb.iter_mut().zip(&*work.message) {
                *x = q.shrink(e.wrapping_sub(*x).cast_signed()).cast_unsigned();
            }
            ring.forward(work.limb);
            for x in &mut *work.limb {
                *x = q.canonical(x.cast_signed());
            }
            result = sink.put(prime, work.limb);
            if result.is_err() {
                break;
            }
        }
        work.message.zeroize();
        result
    }

    /// Decrypts what a server returned modulo the first prime: mask and body in evaluation form, in this
    /// order. The coefficients of the message with its noise must be below half of the prime.
    ///
    /// # Errors
    /// If there are not as many residues as the degree.
    ///
    /// # Panics
    /// If the buffer is not as long as the degree.
    pub fn decrypt<'w>(
        &self,
        mask: impl IntoIterator<Item = u32>,
        body: impl IntoIterator<Item = u32>,
        limb: &'w mut [u32],
    ) -> Result<SlotDecryption<'w>, Error> {
        let ring = &self.params.rings()[0];
        let decryption = SlotDecryption { words: limb };
        self.open(ring, mask, body, decryption.words)?;
        for x in &mut *decryption.words {
            *x = ring.modulus().centred(*x).cast_unsigned();
        }
        Ok(decryption)
    }

    /// Decrypts modulo the first two primes, for coefficients up to a quarter of their product, and
    /// divides by `2^down`, rounding to the nearest, so that slots come below [`super::SLOT_BOUND`].
    ///
    /// # Errors
    /// If there are not as many residues as the degree, or there is one prime only.
    ///
    /// # Panics
    /// If a buffer is not as long as the degree, or `down` is 62 or more.
    pub fn decrypt_two<'w, I: IntoIterator<Item = u32>>(
        &self,
        masks: [I; 2],
        bodies: [I; 2],
        down: u32,
        work: &'w mut Workspace<'_>,
    ) -> Result<SlotDecryption<'w>, Error> {
        let [first, second, ..] = self.params.rings() else {
            return Err(Error::InvalidParameters("one prime only"));
        };
        let decryption = SlotDecryption { words: work.message };
        let other = SlotDecryption { words: work.limb };
        let ([mask, second_mask], [body, second_body]) = (masks, bodies);
        self.open(first, mask, body, decryption.words)?;
        self.open(second, second_mask, second_body, other.words)?;
        let (p, q) = (first.modulus(), second.modulus());
        let inverse = q.factor(q.inverse(q.reduce(p.value().into())));
        let half = (1 << down) >> 1;
        for (x, &y) in decryption.words.iter_mut().zip(&*other.words) {
            // x + p·((y − x)/p mod q), the second digit centred.
            let digit = q.mul_factor(q.sub(y, q.reduce((*x).into())), inverse);
            let wide = i64::from(*x) + i64::from(p.value()) * i64::from(q.centred(digit));
            *x = narrow((wide + half) >> down).cast_unsigned();
        }
        Ok(decryption)
    }

    /// The secret times a mask that is expanded on the way, as signed words that are to be reduced.
    fn multiply(&self, ring: &SlotRing<'_>, mask: (&Seed, u32, u32), limb: &mut [u32]) {
        let q = ring.signed();
        self.secret.words(limb);
        ring.forward(limb);
        let (seed, purpose, index) = mask;
        uniform_each(seed, purpose, index, ring.modulus(), &mut *limb, |x, a| {
            *x = q.multiply_signed(x.cast_signed(), a.cast_signed()).cast_unsigned();
        });
        ring.inverse(limb);
    }

    /// The residues of a ciphertext's message and noise modulo one prime, in coefficients.
    fn open(
        &self,
        ring: &SlotRing<'_>,
        mask: impl IntoIterator<Item = u32>,
        body: impl IntoIterator<Item = u32>,
        limb: &mut [u32],
    ) -> Result<(), Error> {
        assert_eq!(limb.len(), self.params.degree());
        let q = ring.signed();
        self.secret.words(limb);
        ring.forward(limb);
        let mut count = 0;
        for (x, a) in limb.iter_mut().zip(mask) {
            *x = q.multiply_signed(x.cast_signed(), a.cast_signed()).cast_unsigned();
            count += 1;
        }
        check(limb.len(), count)?;
        count = 0;
        for (x, b) in limb.iter_mut().zip(body) {
            // Montgomery's factor goes as it does in the product.
            let b = q.multiply_signed(b.cast_signed(), 1);
            *x = q.shrink(x.cast_signed().wrapping_add(b)).cast_unsigned();
            count += 1;
        }
        check(limb.len(), count)?;
        ring.inverse(limb);
        for x in limb {
            *x = q.canonical(x.cast_signed());
        }
        Ok(())
    }
}

/// A decrypted message. Who also has the ciphertext must never see it (Li and Micciancio, EUROCRYPT 2021).
/// Erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct SlotDecryption<'w> {
    words: &'w mut [u32],
}

impl SlotDecryption<'_> {
    /// The coefficients.
    pub fn coefficients(&self) -> impl Iterator<Item = i32> {
        self.words.iter().map(|x| x.cast_signed())
    }

    /// Hands every slot to `each`, with `up` more bits behind the point than the coefficients have. Slots
    /// must come below [`super::SLOT_BOUND`]; others come out wrong.
    ///
    /// # Panics
    /// If `up` is 32 or more.
    pub fn decode(self, up: u32, mut each: impl FnMut(usize, i32)) {
        for x in &mut *self.words {
            *x <<= up;
        }
        let slots = self.words.len() / 2;
        let (re, im) = self.words.split_at_mut(slots);
        fourier::coefficients_to_slots(re, im);
        for (j, place) in fourier::places(slots).enumerate() {
            each(j, re[place].cast_signed());
        }
    }
}

impl Drop for SlotDecryption<'_> {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what does not fit is not a message")]
const fn narrow(x: i64) -> i32 {
    x as i32
}
