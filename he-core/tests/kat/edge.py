#!/usr/bin/env python3
"""Known answers for seeds, samplers, the edge ring and frames, in plain integers.

Shares nothing with the library: ChaCha20 and Poly1305 follow RFC 8439, transforms and products
follow their definitions. Run `python3 edge.py > edge.txt`.
"""

MASK = 0xFFFF_FFFF


def chacha_block(key, counter, nonce):
    """64 bytes; `nonce` is three words."""
    def quarter(s, a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & MASK
            s[z] ^= s[x]
            s[z] = (s[z] << turn | s[z] >> 32 - turn) & MASK

    words = [int.from_bytes(key[i:i + 4], "little") for i in range(0, 32, 4)]
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *words, counter, *nonce]
    state = list(start)
    for _ in range(10):
        for i in range(4):
            quarter(state, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join((x + y & MASK).to_bytes(4, "little") for x, y in zip(state, start))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        block = int.from_bytes(message[i:i + 16] + b"\1", "little")
        total = (total + block) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def words(key, nonce):
    counter = 0
    while True:
        block = chacha_block(key, counter, nonce)
        yield from (int.from_bytes(block[i:i + 4], "little") for i in range(0, 64, 4))
        counter += 1


ERROR, TERNARY, SPARSE, DERIVE, DIGEST, FRAME = (0x8000_0000 + i for i in range(1, 7))
EDGE_MASK = 1


def uniform(seed, domain, index, q, count):
    accepted = (w & (1 << q.bit_length()) - 1 for w in words(seed, (domain, index, q)))
    accepted = (w for w in accepted if w < q)
    return [next(accepted) for _ in range(count)]


def errors(seed, index, count):
    stream, out = words(seed, (ERROR, index, 0)), []
    while len(out) < count:
        planes = [next(stream) for _ in range(42)]
        lanes = [sum(p >> j & 1 for p in planes) - 21 for j in range(32)]
        out += [lanes[j + 8 * i] for j in range(8) for i in range(4)]
    return out[:count]


def ternary(seed, index, count):
    stream = words(seed, (TERNARY, index, 0))
    return [(3 * next(stream) >> 32) - 1 for _ in range(count)]


def sparse(seed, index, count, weight):
    stream, out = words(seed, (SPARSE, index, 0)), []
    for left in range(count, 0, -1):
        low, high, sign, _ = (next(stream) for _ in range(4))
        chosen = (high << 32 | low) * left >> 64 < weight
        weight -= chosen
        out.append((1 if sign & 1 else -1) if chosen else 0)
    return out


def derive(seed, kind, index):
    return chacha_block(seed, 0, (DERIVE, index, kind))[:32]


def keyed_hash(seed, purpose, message):
    return poly1305(chacha_block(seed, 0, (purpose, 0, 0))[:32], message)


def prf(key, message):
    for i in range(0, len(message), 12):
        nonce = [int.from_bytes(message[j:j + 4], "little") for j in range(i, i + 12, 4)]
        output = chacha_block(key, 0, nonce)
        key = output[:32]
    return output


def message_seeds(key, counter, fresh, message):
    hashed = keyed_hash(key, DIGEST, message)
    data = hashed + counter.to_bytes(8, "little") + fresh + bytes(4)
    output = prf(derive(key, int.from_bytes(b"siv1", "little"), 0), data)
    return output[:32], output[32:]


def frame(key, kind, digest, sequence, part, body):
    header = b"HELM" + (1).to_bytes(2, "little") + kind.to_bytes(2, "little")
    header += digest.to_bytes(8, "little") + sequence.to_bytes(8, "little")
    header += part.to_bytes(4, "little") + len(body).to_bytes(4, "little")
    hashed = keyed_hash(key, FRAME, header + body)
    tag = prf(derive(key, int.from_bytes(b"tag1", "little"), 0), hashed + bytes(8))[:16]
    return header + body + tag


def from_evaluations(values, psi, q):
    """Coefficients from the values at psi^(2 rev(j) + 1)."""
    n = len(values)
    bits = n.bit_length() - 1
    rev = lambda j: int(format(j, f"0{bits}b")[::-1], 2)
    share = pow(n, -1, q)
    points = [pow(psi, 2 * rev(j) + 1, q) for j in range(n)]
    return [share * sum(v * pow(x, -k, q) for v, x in zip(values, points)) % q for k in range(n)]


def negacyclic(a, b, q):
    n, out = len(a), [0] * len(a)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[(i + j) % n] += x * y if i + j < n else -x * y
    return [x % q for x in out]


def pack(values, q):
    width, stream = q.bit_length(), 0
    for i, x in enumerate(values):
        stream |= x << width * i
    return stream.to_bytes((width * len(values) + 7) // 8, "little")


def show(name, values):
    print(name, *values)


def main():
    seed, master = bytes(range(32)), bytes(range(100, 132))
    for q in (0x1FC0001, 0x21C0001, 0x3FFC0001):
        show(f"uniform-{q}", uniform(seed, 2, 7, q, 40))
    show("errors", errors(master, 3, 100))
    show("ternary", ternary(master, 4, 100))
    show("sparse", sparse(master, 5, 100, 9))
    show("derive", errors(derive(master, 11, 12), 0, 40))

    n, primes, index = 64, (0x1FC0001, 0x1F60001), 6
    m = [(i * i * 7919 + 12345) % (1 << 26) - (1 << 25) for i in range(n)]
    mask, error = message_seeds(master, 2**40 + 9, bytes(range(200, 232)), b"a sentence of the test")
    show("mask-seed", mask)
    s, e = ternary(master, 8, n), errors(error, index, n)
    bodies = []
    for q in primes:
        order = lambda x: pow(x, n, q) == q - 1
        psi = next(x for x in range(2, q) if order(x))
        a = from_evaluations(uniform(mask, EDGE_MASK, index, q, n), psi, q)
        product = negacyclic(a, s, q)
        bodies.append([(m[i] + e[i] - product[i]) % q for i in range(n)])
        show(f"body-{q}", bodies[-1])
    body = (1).to_bytes(4, "little") + mask + b"".join(map(pack, bodies, primes))
    show("upload", frame(master, 1, 0x1122334455667788, 2**33 + 5, 0, body))


main()
