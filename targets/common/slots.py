"""Known answers for slots on small devices, from the definitions, sharing no code with the project.

    python3 slots.py > slots.txt          digests
    python3 slots.py --vectors DIR        values, the public key, both ciphertexts and an answer, as files

The transform of slots is written down as docs/format.md has it, in integers, so that messages agree in
every bit; all products of polynomials are the definition's.
"""

import sys
from math import cos, pi, sin
from pathlib import Path
from struct import pack

import golden
from golden import N, evaluate, interpolate, least_root, little, message_seeds, packed_residues, show, ternary, uniform

PRIMES = [134176769, 67084289, 67043329]
SHIFT, UP, ROW = 4, 2, 64
PUBLIC_KEY, CIPHERTEXT, FRUGAL = 3, 4, 0x80000007
SPECIAL, SLOTS, POINT, TRANSPORT = 134111233, 10, 28, bytes([7] * 32)
PUBLIC = int.from_bytes(b"pub1", "little")
KEY, SECRET = bytes([4] * 32), bytes([2] * 32)
MASK, KEY_ERRORS = bytes([9] * 32), bytes([10] * 32)


def slot(j):
    """A value of at most 28 bits and a sign."""
    x = j * 0x9E3779B1 & golden.M32
    return (x - (x >> 31 << 32)) >> 3


def reverse(i, count):
    return int(format(i, "0%db" % (count.bit_length() - 1))[::-1], 2) if count > 1 else 0


def root(turns):
    return round(cos(2 * pi * turns) * 2**30), round(sin(2 * pi * turns) * 2**30)


def times(z, w):
    """z · w / 4 for w in units of 2^-30, each product rounded."""
    high = lambda a, b: a * b + 2**31 >> 32
    return high(z[0], w[0]) + high(z[1], -w[1]), high(z[1], w[0]) + high(z[0], w[1])


def add(x, y):
    return x[0] + y[0], x[1] + y[1]


def sub(x, y):
    return x[0] - y[0], x[1] - y[1]


def turned(x):
    return -x[1], x[0]


def conjugate(w):
    return w[0], -w[1]


def fourfold(x):
    return 4 * x[0], 4 * x[1]


def roots(groups, group):
    turns = (4 * reverse(group, groups) + 1) / (16 * groups)
    return [root(k * turns % 1) for k in (1, 2, 3)]


def fours(x, start, size, groups, layer):
    """Applies `layer` to the points at one place of the four quarters of each group."""
    part = size // groups
    for group in range(groups):
        w = roots(groups, group)
        for i in range(part // 4):
            at = [start + group * part + i + k * part // 4 for k in range(4)]
            for place, point in zip(at, layer([x[place] for place in at], w)):
                x[place] = point


def join(x, w):
    s0, s1, d0, d1 = add(x[0], x[1]), add(x[2], x[3]), sub(x[0], x[1]), turned(sub(x[2], x[3]))
    whole = add(s0, s1)
    return [
        (whole[0] + 2 >> 2, whole[1] + 2 >> 2),
        times(sub(d0, d1), conjugate(w[0])),
        times(sub(s0, s1), conjugate(w[1])),
        times(add(d0, d1), conjugate(w[2])),
    ]


def split(y, w):
    b = [y[0]] + [times(fourfold(p), r) for p, r in zip(y[1:], w)]
    s0, s1, d0, d1 = add(b[0], b[2]), add(b[1], b[3]), sub(b[0], b[2]), turned(sub(b[1], b[3]))
    return [add(s0, s1), sub(s0, s1), add(d0, d1), sub(d0, d1)]


def twist(x, adjust):
    rows = len(x) // ROW
    for r in range(rows):
        for j in range(ROW):
            at, place = (4 * r + 1 - rows) * j * (32768 // (4 * len(x))) % 32768, reverse(r, rows) * ROW + j
            point = times(fourfold(x[place]), adjust(root(at // 64 / 512)))
            x[place] = times(fourfold(point), adjust(root(at % 64 / 32768)))


def places(slots):
    return [reverse(pow(5, j, 4 * slots) // 4, slots) for j in range(slots)]


def coefficients(values, shift):
    """The message's coefficients: slots backward, and `shift` bits off."""
    slots = len(values)
    x, rows = [(0, 0)] * slots, slots // ROW
    for place, value in zip(places(slots), values):
        x[place] = (value, 0)
    for groups in (16, 4, 1):
        for row in range(rows):
            fours(x, row * ROW, ROW, groups, join)
    twist(x, conjugate)
    groups = rows
    while groups >= 4:
        groups //= 4
        fours(x, 0, slots, groups, join)
    if groups == 2:
        for i in range(slots // 2):
            a, b = x[i], x[i + slots // 2]
            d = sub(a, b)
            x[i] = tuple(c + 1 >> 1 for c in add(a, b))
            x[i + slots // 2] = times((2 * d[0], 2 * d[1]), conjugate(root(1 / 8)))
    half = (1 << shift) >> 1
    return [c[0] + half >> shift for c in x] + [c[1] + half >> shift for c in x]


def slots_of(message, up):
    """Slots from coefficients that are `up` bits further up."""
    slots = len(message) // 2
    x = [(a << up, b << up) for a, b in zip(message[:slots], message[slots:])]
    rows, groups = slots // ROW, 1
    if rows.bit_length() % 2 == 0:
        for i in range(slots // 2):
            a, b = x[i], times(fourfold(x[i + slots // 2]), root(1 / 8))
            x[i], x[i + slots // 2] = add(a, b), sub(a, b)
        groups = 2
    while groups < rows:
        fours(x, 0, slots, groups, split)
        groups *= 4
    twist(x, lambda w: w)
    for groups in (1, 4, 16):
        for row in range(rows):
            fours(x, row * ROW, ROW, groups, split)
    return [x[place][0] for place in places(slots)]


def frugal(seed):
    """Twenty coefficients from 64 bits: the digits of a fraction to base 3."""
    stream, out = golden.words(seed, FRUGAL, 0, 0), []
    while len(out) < N:
        # A block has words for 160 coefficients.
        for _ in range(8):
            fraction = next(stream) | next(stream) << 32
            for _ in range(20):
                out.append((3 * fraction >> 64) - 1)
                fraction = 3 * fraction % 2**64
    return out[:N]


def multiply(a_hat, s, q, psi):
    s_hat = evaluate([x % q for x in s], q, psi)
    return interpolate([x * y % q for x, y in zip(a_hat, s_hat)], q, psi)


def public_key():
    """The body, in evaluation form."""
    s, e = ternary(SECRET), golden.errors(KEY_ERRORS, 0)
    for q in PRIMES:
        psi = least_root(q)
        product = multiply(uniform(MASK, PUBLIC_KEY, 0, q, N), s, q, psi)
        yield evaluate([(x - y) % q for x, y in zip(e, product)], q, psi)


def values():
    return [slot(j) for j in range(N // 2)]


def seeds():
    return message_seeds(KEY, 1, KEY, little(values()))


def secret_ciphertext(message):
    mask, noise = seeds()
    s, e = ternary(SECRET), golden.errors(noise, 0)
    for q in PRIMES:
        product = multiply(uniform(mask, CIPHERTEXT, 0, q, N), s, q, least_root(q))
        yield [(m + x - y) % q for m, x, y in zip(message, e, product)]


def public_ciphertext(message, body):
    """The mask modulo each prime, then the body modulo each prime."""
    seed = golden.block(seeds()[1], (golden.DERIVE, 0, PUBLIC), 0)[:32]
    u, e0, e1 = frugal(seed), golden.errors(seed, 0), golden.errors(seed, 1)
    for q in PRIMES:
        product = multiply(uniform(MASK, PUBLIC_KEY, 0, q, N), u, q, least_root(q))
        yield [(x + y) % q for x, y in zip(e1, product)]
    for q, limb in zip(PRIMES, body):
        product = multiply(limb, u, q, least_root(q))
        yield [(m + x + y) % q for m, x, y in zip(message, e0, product)]


def decoded(message):
    """What the first prime decrypts to: the message and its errors."""
    return slots_of([m + e for m, e in zip(message, golden.errors(seeds()[1], 0))], UP)


def flat(limbs):
    return [x for limb in limbs for x in limb]


def packed(limbs, primes):
    return b"".join(packed_residues(limb, q) for limb, q in zip(limbs, primes))


def frames(body, secret, public):
    """The public key and both ciphertexts, in frames of one exchange."""
    digest = golden.fnv(pack("<5Q", N, SPECIAL, *PRIMES))
    scale = 2.0 ** (POINT - SHIFT)
    bodies = [
        pack("<IId", 2, 0, 1) + MASK + packed(body, PRIMES),
        pack("<IId", 0, 0, scale) + seeds()[0] + packed(secret, PRIMES),
        pack("<IId", 1, 0, scale) + bytes(32) + packed(public, PRIMES * 2),
    ]
    return b"".join(golden.frame(TRANSPORT, SLOTS, 1, part, body, digest) for part, body in enumerate(bodies))


def main():
    message, body = coefficients(values(), SHIFT), list(public_key())
    secret = list(secret_ciphertext(message))
    public = list(public_ciphertext(message, body))
    if "--vectors" in sys.argv:
        folder = Path(sys.argv[-1])
        folder.joinpath("slots-values.bin").write_bytes(little(values()))
        folder.joinpath("slots-public-key.bin").write_bytes(pack("<%dI" % (3 * N), *flat(body)))
        # What a server that does nothing returns: mask and body modulo the first prime, in evaluation form.
        mask = uniform(seeds()[0], CIPHERTEXT, 0, PRIMES[0], N)
        answer = [mask, evaluate(secret[0], PRIMES[0], least_root(PRIMES[0]))]
        folder.joinpath("slots-answer.bin").write_bytes(packed(answer, PRIMES[:1] * 2))
        folder.joinpath("slots-decoded.bin").write_bytes(little(decoded(message)))
        folder.joinpath("slots-secret.bin").write_bytes(seeds()[0] + packed(secret, PRIMES))
        folder.joinpath("slots-public.bin").write_bytes(packed(public, PRIMES * 2))
        return
    show("slots_message", little(message))
    show("slots_public_key", little(flat(body)))
    show("slots_secret", little(flat(secret)))
    show("slots_public", little(flat(public)))
    show("slots_decoded", little(decoded(message)))
    show("slots_frames", frames(body, secret, public))


if __name__ == "__main__":
    main()
