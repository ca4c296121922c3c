"""Our side of an exchange, read from docs/format.md: frames, packed residues, seeds, secrets, slots.

A directory is what he-core/examples/exchange describes. Polynomials are arrays of one row a prime, in
evaluation form: entry i is the value at psi^(2 rev(i) + 1), psi the least primitive 2N-th root of unity.
"""

import json
import sys
from pathlib import Path
from struct import pack, unpack_from

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "targets/common"))
from golden import frame

CIPHERTEXT, SLOTS, HEADER, TAG = 8, 10, 32, 16
EVALUATION_KEY_MASK, CIPHERTEXT_MASK = 2, 4  # docs/format.md, section 1
ROUNDING = 1 / 12  # the variance of rounding a coefficient


class Ring:
    """A degree, primes, and the order of evaluations and slots."""

    def __init__(self, folder):
        lines = [line.split() for line in (folder / "ring.txt").read_text().splitlines()]
        facts = {name: values for name, *values in lines if name != "level"}
        self.log_degree, self.digest = int(facts["log_degree"][0]), int(facts["digest"][0])
        self.chain, self.special = [[int(q) for q in facts[name]] for name in ("chain", "special")]
        self.primes, self.degree = self.chain + self.special, 1 << self.log_degree
        self.is_real = facts["slots"] == ["real"]
        # For each level: how many primes, and between which powers of two scales are.
        self.levels = [[int(x) for x in values] for name, *values in lines if name == "level"]
        places = np.arange(self.degree)
        bits = sum(((places >> k) & 1) << (self.log_degree - 1 - k) for k in range(self.log_degree))
        self.exponents = 2 * bits + 1

    def root(self, q):
        """The least primitive 2N-th root of unity."""
        order = 2 * self.degree
        roots = (pow(x, (q - 1) // order, q) for x in range(2, q))
        root = next(r for r in roots if pow(r, self.degree, q) == q - 1)
        return min(pow(root, k, q) for k in range(1, order, 2))

    def evaluate(self, coefficients, q):
        """Values of small signed coefficients, by decimation in frequency."""
        root, half = self.root(q), self.degree // 2
        a = coefficients % q * powers(root, q, self.degree) % q
        while half:
            w = powers(pow(root, self.degree // half, q), q, half)
            x, y = np.moveaxis(a.reshape(-1, 2, half), 1, 0)
            a = np.stack([(x + y) % q, (x - y) % q * w % q], axis=1).reshape(-1)
            half //= 2
        return a

    def interpolate(self, evaluations, q):
        """The coefficients in [0, q): the inverse."""
        inverse, a, half = pow(self.root(q), -1, q), evaluations.astype(np.int64), 1
        while half < self.degree:
            w = powers(pow(inverse, self.degree // half, q), q, half)
            x, y = np.moveaxis(a.reshape(-1, 2, half), 1, 0)
            a = np.stack([(x + y * w) % q, (x - y * w) % q], axis=1).reshape(-1)
            half *= 2
        return a * powers(inverse, q, self.degree) % q * pow(self.degree, -1, q) % q

    def slot_order(self, generator):
        """For slots at zeta^(generator^j): their places among ours, which are at zeta^(5^j), and whether the
        value there is the conjugate of ours."""
        order, place = 2 * self.degree, {}
        for j, exponent in enumerate(chain(1, 5, order, self.degree // 2)):
            place[exponent], place[order - exponent] = (j, False), (j, True)
        found = [place[e] for e in chain(1, generator, order, self.degree // 2)]
        return np.array([j for j, _ in found]), np.array([turned for _, turned in found])


def powers(x, modulus, count):
    """1, x, x^2, ... below a modulus of 31 bits, so that products fit."""
    return np.array(list(chain(1, x, modulus, count)), dtype=np.int64)


def chain(x, factor, modulus, count):
    """x, x factor, x factor^2, ..."""
    for _ in range(count):
        yield x
        x = x * factor % modulus


def words(seed, purpose, index, extra, count):
    """The first words of a ChaCha20 stream, all blocks at once."""
    blocks = -(-count // 16)
    state = np.zeros((16, blocks), dtype=np.uint32)
    state[:4] = np.frombuffer(b"expand 32-byte k", dtype="<u4")[:, None]
    state[4:12] = np.frombuffer(seed, dtype="<u4")[:, None]
    state[12] = np.arange(blocks)
    state[13:] = np.array([purpose, index, extra], dtype=np.uint32)[:, None]
    x = state.copy()
    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for a, b, c, d in (columns + diagonals) * 10:
        for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] += x[q]
            mixed = x[r] ^ x[p]
            x[r] = (mixed << np.uint32(n)) | (mixed >> np.uint32(32 - n))
    return (x + state).T.reshape(-1)[:count]


def uniform(seed, purpose, index, q, count):
    """Uniform residues: words masked to the length of q, without those that are too large."""
    drawn = words(seed, purpose, index, q, 3 * count) & np.uint32((1 << q.bit_length()) - 1)
    return drawn[drawn < q][:count].astype(np.int64)


def unpacked(data, count, q):
    """Residues from so many bits each."""
    width = q.bit_length()
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[: count * width]
    residues = bits.reshape(count, width) @ (1 << np.arange(width, dtype=np.int64))
    assert residues.max() < q, "a residue that is not below its prime"
    return residues


def packed(residues, q):
    width = q.bit_length()
    bits = (residues.astype(np.int64)[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def limbs(ring, data, basis):
    """One polynomial over the primes of a basis, and the bytes after it."""
    rows = []
    for i in basis:
        length = (ring.degree * ring.primes[i].bit_length() + 7) // 8
        rows.append(unpacked(data[:length], ring.degree, ring.primes[i]))
        data = data[length:]
    return np.array(rows), data


def indices(bits):
    return [i for i in range(64) if bits >> i & 1]


def bodies(ring, data):
    """The bodies of frames one after another, each with its tag checked."""
    part = 0
    while data:
        kind, digest, sequence, found, length = unpack_from("<6xHQQII", data)
        body = data[HEADER : HEADER + length]
        whole = frame(bytes(32), kind, sequence, part, body, ring.digest)
        assert data[: len(whole)] == whole, "a frame that was altered"
        yield kind, body
        data, part = data[len(whole) :], part + 1


def pair(ring, path):
    """A public key or a ciphertext in a frame: level, scale, the primes, (b, a)."""
    ((_, body),) = bodies(ring, path.read_bytes())
    level, _, scale, basis = unpack_from("<IIdQ", body)
    basis = indices(basis)
    b, rest = limbs(ring, body[24:], basis)
    a, rest = limbs(ring, rest, basis)
    assert not rest
    return level, scale, basis, (b, a)


def write_pair(ring, path, level, scale, basis, halves):
    body = pack("<IIdQ", level, 0, scale, sum(1 << i for i in basis))
    for half in halves:
        body += b"".join(packed(row, ring.primes[i]) for i, row in zip(basis, half))
    path.write_bytes(frame(bytes(32), CIPHERTEXT, 0, 0, body, ring.digest))


def switching_key(ring, path):
    """A list over the digits: the primes and (b, a), a from its seed."""
    parts = []
    for _, body in bodies(ring, path.read_bytes()):
        _, _, digit, _, basis = unpack_from("<4IQ", body)
        basis, seed = indices(basis), body[24:56]
        b, rest = limbs(ring, body[56:], basis)
        assert not rest and digit == len(parts)
        masks = [uniform(seed, EVALUATION_KEY_MASK, digit, ring.primes[i], ring.degree) for i in basis]
        parts.append((basis, (b, np.array(masks))))
    return parts


def secret(ring, path):
    """Coefficients -1, 0, 1."""
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    return ((data[:, None] >> np.array([0, 2, 4, 6])) & 3).reshape(-1).astype(np.int64) - 1


def write_secret(path, coefficients):
    digits = (coefficients + 1).reshape(-1, 4) << np.array([0, 2, 4, 6])
    path.write_bytes(digits.sum(axis=1).astype(np.uint8).tobytes())


def message(path, ring):
    """The predicted variance of a coefficient, and the slots."""
    doubles = np.fromfile(path, dtype="<f8")
    return doubles[0], doubles[1:] if ring.is_real else doubles[1:].view(np.complex128)


def write_message(path, variance, slots, ring):
    parts = slots.real if ring.is_real else slots.view(np.float64)
    np.concatenate([[variance], parts]).tofile(path)


def row(kind, scale, variance, found, expected):
    """Prints how far decrypted slots are from the message, as exchange does."""
    errors = np.abs(found - expected)
    predicted = np.sqrt(2 * len(found) * variance) / scale
    fields = {"kind": kind, "slots": len(found), "parts": 2, "predicted": predicted}
    print(json.dumps(fields | {"rms": np.sqrt(np.mean(errors**2)), "worst": errors.max()}), flush=True)


def exchanges(folder):
    """Every ciphertext of a folder, with its kind."""
    return [(path, path.stem.split("-", 1)[1]) for path in sorted(folder.glob("*-*.frame"))]


def ciphertext(ring, path):
    """The scale and (b, a) of a ciphertext."""
    ((kind, body),) = bodies(ring, path.read_bytes())
    if kind == SLOTS:
        return device_ciphertext(ring, body)
    _, scale, _, halves = pair(ring, path)
    return scale, halves


def device_ciphertext(ring, body):
    """What a device sent, brought into evaluation form: docs/format.md, section 6."""
    basis = range(len(ring.chain))
    form, index, scale, seed = unpack_from("<IId32s", body)
    first, rest = limbs(ring, body[48:], basis)
    evaluated = lambda half: np.array([ring.evaluate(row, q) for row, q in zip(half, ring.chain)])
    if form == 0:
        assert not rest
        masks = [uniform(seed, CIPHERTEXT_MASK, index, q, ring.degree) for q in ring.chain]
        return scale, (evaluated(first), np.array(masks))
    assert form == 1 and index == 0 and not any(seed)
    second, rest = limbs(ring, rest, basis)
    assert not rest
    return scale, (evaluated(second), evaluated(first))


def random_message(rng, ring):
    """A level, slots, and a scale."""
    level = int(rng.integers(len(ring.levels)))
    count, low, high = ring.levels[level]
    slots = rng.uniform(-1, 1, ring.degree // 2).astype(complex)
    if not ring.is_real:
        slots += 1j * rng.uniform(-1, 1, len(slots))
    return level, count, slots, 2 ** rng.uniform(low, high)
