"""Exchanges with OpenFHE by its wheel: `with_openfhe.py DIRECTORY`.

Reads DIRECTORY/ours, decrypts it inside OpenFHE and prints a JSON row for each ciphertext; writes as many of
OpenFHE's into DIRECTORY/theirs, and some by our public key into DIRECTORY/returned.

OpenFHE chooses its own primes and roots. Its context as JSON names them, so it is made to take ours: then
its evaluation form and its slots, at powers of 5, are ours too. Objects of its own serve as forms: the
residues are lists `v` beside their modulus `m`, a ciphertext has its scale in `s`. It checks nothing of what
it loads. With a fixed scale it decodes by that one, so decoded slots are multiplied by the ratio; complex slots
are asked for because it adds noise to real ones.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import openfhe as fhe

import ours

ERROR_VARIANCE = 3.19**2  # of OpenFHE's discrete Gaussian
OUR_ERROR_VARIANCE = 10.5
PRIME_BITS = 30  # of the primes that OpenFHE chooses, and which are not used


def parts(x, name):
    """The value of every field of this name in a JSON object that is not inside another one of it."""
    if isinstance(x, list):
        return [found for entry in x for found in parts(entry, name)]
    if not isinstance(x, dict):
        return []
    if name in x:
        return [x[name]]
    return [found for entry in x.values() for found in parts(entry, name)]


def replace(x, name, value):
    """Gives every field of this name in a JSON object another value."""
    for entry in x.values() if isinstance(x, dict) else x if isinstance(x, list) else []:
        replace(entry, name, value)
    if isinstance(x, dict) and name in x:
        x[name] = value


def content(shared):
    """What a shared pointer points to."""
    return shared["ptr_wrapper"]["data"]


class OpenFhe:
    """A context over our chain, a key pair, and forms to fill in."""

    def __init__(self, ring):
        self.ring = ring
        self.primes = ring.chain
        # A scale that every level has room for; OpenFHE's context has one.
        low, high = (limit(level[i] for level in ring.levels) for i, limit in ((1, max), (2, min)))
        self.scale_bits = int(np.random.default_rng().integers(low, high, endpoint=True))
        parameters = fhe.CCParamsCKKSRNS()
        parameters.SetRingDim(ring.degree)
        parameters.SetMultiplicativeDepth(len(self.primes) - 1)
        parameters.SetScalingModSize(PRIME_BITS)
        parameters.SetFirstModSize(PRIME_BITS + 1)
        parameters.SetScalingTechnique(fhe.FIXEDMANUAL)
        parameters.SetKeySwitchTechnique(fhe.BV)
        parameters.SetCKKSDataType(fhe.COMPLEX)
        parameters.SetSecurityLevel(fhe.HEStd_128_classic)
        parameters.SetBatchSize(ring.degree // 2)
        self.context = self.over_our_primes(fhe.GenCryptoContext(parameters))
        for feature in (fhe.PKE, fhe.KEYSWITCH, fhe.LEVELEDSHE):
            self.context.Enable(feature)
        self.keys = self.context.KeyGen()
        self.forms = {}

    def over_our_primes(self, context):
        """The same context with other primes and roots, and another scale."""
        form = json.loads(fhe.Serialize(context, fhe.JSON))
        replace(form, "ss", float(self.scale_bits))
        content(parts(form, "enp")[0])["m"] = self.scale_bits
        found = content(parts(form, "elp")[0])
        product = int(np.prod([int(q) for q in self.primes], dtype=object))
        found["value0"]["cm"] |= {"v": [product % 2**64, product >> 64], "m": product.bit_length()}
        for prime, q in zip(found["p"], self.primes, strict=True):
            content(prime)["value0"]["cm"]["v"] = q
            content(prime)["value0"]["ru"]["v"] = self.ring.root(q)
        return fhe.DeserializeCryptoContextString(json.dumps(form), fhe.JSON)

    def limbs(self, poly):
        """The fields of a polynomial that hold residues, one a prime."""
        found = [content(limb["v"]) for limb in poly["v"]]
        assert [limb["m"]["v"] for limb in found] == self.primes[: len(found)]
        return found

    def secret(self, coefficients):
        form = json.loads(fhe.Serialize(self.keys.secretKey, fhe.JSON))
        for limb, q in zip(self.limbs(content(form["value0"])["s"]), self.primes, strict=True):
            limb["v"] = self.ring.evaluate(coefficients, q).tolist()
        return fhe.DeserializePrivateKeyString(json.dumps(form), fhe.JSON)

    def public(self, halves):
        """A public key of ours."""
        form = json.loads(fhe.Serialize(self.keys.publicKey, fhe.JSON))
        for half, poly in zip(halves, content(form["value0"])["h"], strict=True):
            for row, limb in zip(half, self.limbs(poly), strict=True):
                limb["v"] = row.tolist()
        return fhe.DeserializePublicKeyString(json.dumps(form), fhe.JSON)

    def own_secret(self):
        """The coefficients of OpenFHE's secret."""
        form = json.loads(fhe.Serialize(self.keys.secretKey, fhe.JSON))
        limb, q = self.limbs(content(form["value0"])["s"])[0], self.primes[0]
        coefficients = self.ring.interpolate(np.array(limb["v"]), q)
        return np.where(coefficients == q - 1, -1, coefficients)

    def encrypt(self, slots, count, key):
        """A ciphertext over the first primes, as JSON, by a key."""
        plain = self.context.MakeCKKSPackedPlaintext(list(slots), 1, len(self.primes) - count)
        return json.loads(fhe.Serialize(self.context.Encrypt(key, plain), fhe.JSON))

    def ciphertext(self, halves, scale):
        count = len(halves[0])
        if count not in self.forms:
            self.forms[count] = self.encrypt([0], count, self.keys.publicKey)
        form = self.forms[count]
        made = content(form["value0"])
        made["s"] = scale
        for half, poly in zip(halves, made["v"], strict=True):
            for row, limb in zip(half, self.limbs(poly), strict=True):
                limb["v"] = row.tolist()
        return fhe.DeserializeCiphertextString(json.dumps(form), fhe.JSON)

    def slots(self, key, ciphertext, scale):
        plain = self.context.Decrypt(ciphertext, key)
        plain.SetLength(self.ring.degree // 2)
        return np.array(plain.GetCKKSPackedValue()) * (2.0**self.scale_bits / scale)


def decrypt_ours(peer, folder):
    key = peer.secret(ours.secret(peer.ring, folder / "secret.bin"))
    for path, kind in ours.exchanges(folder):
        scale, halves = ours.ciphertext(peer.ring, path)
        variance, expected = ours.message(path.with_suffix(".slots"), peer.ring)
        found = peer.slots(key, peer.ciphertext(halves, scale), scale)
        ours.row(kind, scale, variance, found, expected)


def encrypt_theirs(peer, folder, count):
    ring, rng = peer.ring, np.random.default_rng()
    ours.write_secret(folder / "secret.bin", peer.own_secret())
    public = ERROR_VARIANCE * (1 + 4 * ring.degree / 3)
    for number in range(count):
        level, used, slots, _ = ours.random_message(rng, ring)
        by_secret = "secret", ERROR_VARIANCE, peer.keys.secretKey
        by_public = "public", public, peer.keys.publicKey
        kind, variance, key = by_secret if number % 2 == 0 else by_public
        made = peer.encrypt(slots, used, key)
        write(peer, folder / f"{number:04}-{kind}.frame", made, (level, used), (variance, slots))


def encrypt_by_our_key(peer, folder, count):
    """What OpenFHE encrypts by our public key, whose error is ours, at our highest level."""
    ring, rng = peer.ring, np.random.default_rng()
    _, _, basis, halves = ours.pair(ring, folder / "ours/public.frame")
    key, factor = peer.public(halves), 2 * ring.degree / 3
    variance = ERROR_VARIANCE * (1 + factor) + OUR_ERROR_VARIANCE * factor
    shutil.copy(folder / "ours/secret.bin", folder / "returned/secret.bin")
    for number in range(count):
        _, _, slots, _ = ours.random_message(rng, ring)
        path = folder / f"returned/{number:04}-our public key.frame"
        place = len(ring.levels) - 1, len(basis)
        write(peer, path, peer.encrypt(slots, len(basis), key), place, (variance, slots))


def write(peer, path, made, place, message):
    """A ciphertext of OpenFHE's, over the first primes of a level."""
    (level, used), (variance, slots), made = place, message, content(made["value0"])
    halves = [np.array([limb["v"] for limb in peer.limbs(poly)]) for poly in made["v"]]
    ours.write_pair(peer.ring, path, level, made["s"], range(used), halves)
    ours.write_message(path.with_suffix(".slots"), variance + ours.ROUNDING, slots, peer.ring)


def main():
    folder = Path(sys.argv[1])
    peer = OpenFhe(ours.Ring(folder / "ours"))
    count = len(ours.exchanges(folder / "ours"))
    decrypt_ours(peer, folder / "ours")
    if (folder / "ours/public.frame").exists():
        (folder / "returned").mkdir(exist_ok=True)
        encrypt_by_our_key(peer, folder, -(-count // 5))
    (folder / "theirs").mkdir(exist_ok=True)
    encrypt_theirs(peer, folder / "theirs", count)


if __name__ == "__main__":
    main()
