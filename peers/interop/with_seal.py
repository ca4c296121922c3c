"""Exchanges with Microsoft SEAL by the wheel `seal-python`: `with_seal.py DIRECTORY`.

Reads DIRECTORY/ours, decrypts it inside SEAL and prints a JSON row for each ciphertext; squares one of them and
relinearises the square with our key, where there is one; writes as many of SEAL's into DIRECTORY/theirs,
and some by our public key into DIRECTORY/returned. SEAL 4.4 has the same
evaluation form as ours (the least root, bit-reversed); its slots are at powers of 3.

Its bytes: a header (0xa15e, 16, version, no compression, 0, the length in 8 bytes); then, for a
ciphertext or a public key, the BLAKE2b of the parameters, 1 for evaluation form, size, degree and number of primes, scale,
correction factor, and an array: a header, the number of words, the words. A secret key is an array after
the parameters, the number of words and a scale of 1. A set of relinearisation keys is the parameters, 1, the
number of keys, and the keys.
"""

import hashlib
import shutil
import sys
from pathlib import Path
from struct import pack, unpack_from
from tempfile import TemporaryDirectory

import numpy as np
import seal

import ours

ERROR_VARIANCE = 10.5  # of SEAL's centred binomial errors, as of ours
MAGIC, HEADER = b"\x5e\xa1\x10\x04\x04\x00\x00\x00", 16
CIPHERTEXT = HEADER + 32 + 1 + 3 * 8 + 8 + 8


def framed(body):
    return MAGIC + pack("<Q", HEADER + len(body)) + body


def array(words):
    words = np.ascontiguousarray(words, dtype="<u8")
    return framed(pack("<Q", words.size) + words.tobytes())


class Seal:
    """A context over the first of our primes; the last of them is special, and SEAL has one only."""

    def __init__(self, ring, primes):
        self.ring, self.special = ring, primes - 1
        self.chain = list(range(self.special))
        parameters = seal.EncryptionParameters(seal.scheme_type.ckks)
        parameters.set_poly_modulus_degree(ring.degree)
        parameters.set_coeff_modulus([seal.Modulus(q) for q in ring.primes[:primes]])
        self.context = seal.SEALContext(parameters, True, seal.sec_level_type.tc128)
        assert self.context.parameters_set(), self.context.parameter_error_message()
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.CKKSEncoder(self.context)
        self.order, self.turned = ring.slot_order(3)

    def parameters(self, basis):
        """What names the parameters of a level."""
        numbers = [2, self.ring.degree, *[self.ring.primes[i] for i in basis], 0]
        return hashlib.blake2b(pack(f"<{len(numbers)}Q", *numbers), digest_size=32).digest()

    def load(self, kind, data):
        with TemporaryDirectory() as folder:
            path = str(Path(folder) / "object")
            Path(path).write_bytes(data)
            loaded = kind()
            loaded.load(self.context, path)
            return loaded

    def saved(self, made, *options):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            made.save(str(path), *options)
            return path.read_bytes()

    def secret(self, coefficients):
        rows = [self.ring.evaluate(coefficients, q) for q in self.ring.primes[: self.special + 1]]
        words = np.concatenate(rows)
        head = self.parameters([*self.chain, self.special]) + pack("<Qd", words.size, 1.0)
        return self.load(seal.SecretKey, framed(head + array(words)))

    def ciphertext_bytes(self, basis, halves, scale):
        shape = len(halves), self.ring.degree, len(basis)
        head = self.parameters(basis) + pack("<B3QdQ", 1, *shape, scale, 1)
        return framed(head + array(np.stack(halves)))

    def ciphertext(self, halves, scale):
        basis = self.chain[: len(halves[0])]
        return self.load(seal.Ciphertext, self.ciphertext_bytes(basis, halves, scale))

    def halves(self, ciphertext):
        """The primes, the polynomials and the scale of a ciphertext of SEAL's."""
        data = self.saved(ciphertext, seal.compr_mode_type.none)
        size, degree, count, scale = unpack_from("<3Qd", data, HEADER + 33)
        words = np.frombuffer(data, dtype="<u8", offset=CIPHERTEXT + HEADER + 8)
        return self.chain[:count], words.reshape(size, count, degree), scale

    def relinearization(self, parts):
        """Our key over one special prime instead of two: a key for the square times the other prime."""
        basis = [*self.chain, self.special]
        keys = b""
        for found, halves in parts:
            places = [found.index(i) for i in basis]
            keys += self.ciphertext_bytes(basis, [half[places] for half in halves], 1.0)
        return self.load(seal.RelinKeys, framed(self.parameters(basis) + pack("<2Q", 1, len(parts)) + keys))

    def slots(self, decryptor, ciphertext):
        """Decrypted slots in our order."""
        theirs = np.array(self.encoder.decode_complex(decryptor.decrypt(ciphertext)))
        found = np.empty_like(theirs)
        found[self.order] = np.where(self.turned, theirs.conj(), theirs)
        return found

    def encoded(self, slots, scale):
        theirs = slots[self.order]
        return self.encoder.encode_complex(np.where(self.turned, theirs.conj(), theirs), scale)


def decrypt_ours(peer, folder):
    ring = peer.ring
    coefficients = ours.secret(ring, folder / "secret.bin")
    decryptor = seal.Decryptor(peer.context, peer.secret(coefficients))
    for path, kind in ours.exchanges(folder):
        scale, halves = ours.ciphertext(ring, path)
        variance, expected = ours.message(path.with_suffix(".slots"), ring)
        found = peer.slots(decryptor, peer.ciphertext(halves, scale))
        ours.row(kind, scale, variance, found, expected)
    return decryptor


def square(peer, folder, decryptor):
    """A square in SEAL, relinearised by our key."""
    ring = peer.ring
    key = peer.relinearization(ours.switching_key(ring, folder / "relinearization.frames"))
    (other,) = ring.special[1:]
    fresh = [path for path, kind in ours.exchanges(folder) if kind == "secret"]
    read = [(path, *ours.ciphertext(ring, path)) for path in fresh]
    whole = [found for found in read if len(found[2][0]) == len(peer.chain)]
    for path, scale, halves in whole[:1]:
        variance, expected = ours.message(path.with_suffix(".slots"), ring)
        c0, c1, c2 = peer.halves(peer.evaluator.square(peer.ciphertext(halves, scale)))[1]
        # The key is for s^2 times the other special prime, so what it meets is divided by it.
        primes = np.array(ring.chain, dtype=np.uint64)[:, None]
        inverses = np.array([pow(other, -1, q) for q in ring.chain], dtype=np.uint64)[:, None]
        product = peer.ciphertext([c0, c1, c2 * inverses % primes], scale * scale)
        peer.evaluator.relinearize_inplace(product, key)
        size = np.mean(np.abs(expected) ** 2) * scale**2
        noise = 4 * size * variance + key_switch(ring)
        ours.row("square", scale * scale, noise, peer.slots(decryptor, product), expected**2)


def key_switch(ring):
    """The variance that digits of one prime each add, over one special prime, and rounding."""
    digits = sum((q / ring.special[0]) ** 2 for q in ring.chain) / 12
    return ring.degree * ERROR_VARIANCE * digits + rounding(ring)


def rounding(ring):
    """The variance of rounding both halves of a ciphertext."""
    return (1 + 2 * ring.degree / 3) / 12


def encrypt_theirs(peer, folder, count):
    """As many of SEAL's; what it encrypts by a public key is divided by the special prime and rounded."""
    ring, rng = peer.ring, np.random.default_rng()
    generator = seal.KeyGenerator(peer.context)
    key = generator.secret_key()
    words = np.frombuffer(peer.saved(key), dtype="<u8", offset=HEADER + 32 + 16 + HEADER + 8)
    ours.write_secret(folder / "secret.bin", ternary(ring, words[: ring.degree]))
    encryptor = seal.Encryptor(peer.context, generator.create_public_key(), key)
    public = public_variance(peer)
    for number in range(count):
        level, used, slots, scale = ours.random_message(rng, ring)
        plain = peer.encoded(slots, scale)
        if number % 2 == 0:
            kind, variance, made = "secret", ERROR_VARIANCE, encryptor.encrypt_symmetric(plain)
        else:
            kind, variance, made = "public", public, encryptor.encrypt(plain)
        write(peer, folder / f"{number:04}-{kind}.frame", made, (level, used), (variance, slots))


def encrypt_by_our_key(peer, folder, count):
    """What SEAL encrypts by our public key, over whose last prime it is rounded; at our lowest level."""
    ring, rng = peer.ring, np.random.default_rng()
    _, _, basis, halves = ours.pair(ring, folder / "ours/public.frame")
    key = peer.load(seal.PublicKey, peer.ciphertext_bytes(basis, halves, 1.0))
    encryptor = seal.Encryptor(peer.context, key)
    shutil.copy(folder / "ours/secret.bin", folder / "returned/secret.bin")
    for number in range(count):
        _, _, slots, scale = ours.random_message(rng, ring)
        path = folder / f"returned/{number:04}-our public key.frame"
        made = encryptor.encrypt(peer.encoded(slots, scale))
        write(peer, path, made, (0, ring.levels[0][0]), (public_variance(peer), slots))


def public_variance(peer):
    """Of what is encrypted by a public key, divided by the special prime and rounded."""
    fresh = ERROR_VARIANCE * (1 + 4 * peer.ring.degree / 3)
    return fresh / peer.ring.primes[peer.special] ** 2 + rounding(peer.ring)


def write(peer, path, made, place, message):
    """A ciphertext of SEAL's over the first primes of a level."""
    (level, used), (variance, slots) = place, message
    for _ in peer.chain[used:]:
        peer.evaluator.mod_switch_to_next_inplace(made)
    basis, halves, scale = peer.halves(made)
    ours.write_pair(peer.ring, path, level, scale, basis, halves)
    ours.write_message(path.with_suffix(".slots"), variance + ours.ROUNDING, slots, peer.ring)


def ternary(ring, evaluations):
    """The coefficients of a ternary polynomial from its evaluations modulo the first prime."""
    q = ring.primes[0]
    coefficients = ring.interpolate(evaluations, q)
    return np.where(coefficients == q - 1, -1, coefficients.astype(np.int64))


def main():
    folder = Path(sys.argv[1])
    ring = ours.Ring(folder / "ours")
    peer, count = Seal(ring, len(ring.chain) + 1), len(ours.exchanges(folder / "ours"))
    decryptor = decrypt_ours(peer, folder / "ours")
    if (folder / "ours/relinearization.frames").exists():
        square(peer, folder / "ours", decryptor)
    if (folder / "ours/public.frame").exists():
        (folder / "returned").mkdir(exist_ok=True)
        encrypt_by_our_key(Seal(ring, len(ring.chain)), folder, -(-count // 5))
    (folder / "theirs").mkdir(exist_ok=True)
    encrypt_theirs(peer, folder / "theirs", count)


if __name__ == "__main__":
    main()
