"""Known answers from the definitions, sharing no code with the project.

    python3 golden.py > golden.txt        digests
    python3 golden.py --vectors DIR       what goes over the link in one exchange, as files

ChaCha20 and Poly1305 (RFC 8439), the samplers, the integer normalisation, the edge ring and the frames
are all here, as slow as they are short.
"""

import sys
from math import isqrt
from pathlib import Path
from struct import pack, unpack

N = 4096
PRIMES = [33292289, 32899073]
TOKENS, WIDTH = 64, 128
SCALE_BITS, EXTRA_BITS, LIMIT = 28, 24, 2**31 - 1 - 0xFF
IDS = [2, 5, 9, 1, 7, 7, 15, 4, 0, 11, 3]
EDGE_MASK, ERROR, TERNARY, DERIVE, DIGEST_KEY = 1, 0x80000001, 0x80000002, 0x80000004, 0x80000005
FRAME_HASH = 0x80000006
MESSAGE_SEEDS, FRAME_TAG = int.from_bytes(b"siv1", "little"), int.from_bytes(b"tag1", "little")
PARAMETERS = 0x6baa7b95bb5d3051  # the digest that `host-runner params` prints
UPLOAD, ANSWER, PROGRESS, PROVISION = 1, 2, 3, 5
M32 = 2**32 - 1


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & M32


def block(key, nonce, counter):
    state = list(unpack("<4I", b"expand 32-byte k")) + list(unpack("<8I", key)) + [counter] + list(nonce)
    x = state[:]
    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for a, b, c, d in (columns + diagonals) * 10:
        for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & M32
            x[r] = rotate(x[r] ^ x[p], n)
    return pack("<16I", *[(s + t) & M32 for s, t in zip(state, x)])


def words(key, *nonce):
    counter = 0
    while True:
        yield from unpack("<16I", block(key, nonce, counter))
        counter += 1


def uniform(seed, domain, index, q, count):
    mask, out = (1 << q.bit_length()) - 1, []
    for word in words(seed, domain, index, q):
        if word & mask < q:
            out.append(word & mask)
            if len(out) == count:
                return out


def ternary(seed, count=N):
    stream = words(seed, TERNARY, 0, 0)
    return [(3 * next(stream) >> 32) - 1 for _ in range(count)]


def errors(seed, index, count=N):
    stream, out = words(seed, ERROR, index, 0), []
    for _ in range(count // 32):
        drawn = [next(stream) for _ in range(42)]
        lanes = [sum(word >> j & 1 for word in drawn) - 21 for j in range(32)]
        out += [lanes[k // 4 + 8 * (k % 4)] for k in range(32)]
    return out


def made_up(count, state):
    out = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) & M32
        byte = state >> 24
        out.append(byte - 256 if byte > 127 else byte)
    return out


def messages():
    """Feature f of token t is coefficient f mod 64 + 64 t of ciphertext f div 64; the last is the mask."""
    pieces, positions = made_up(16 * WIDTH, 1), made_up(TOKENS * WIDTH, 2)
    out = [[0] * N for _ in range(2)]
    for t, piece in enumerate(IDS):
        x = [pieces[piece * WIDTH + f] + positions[t * WIDTH + f] for f in range(WIDTH)]
        v = [WIDTH * value - sum(x) for value in x]
        # sqrt(sum of squares / 128), with 60 bits to spare
        root = isqrt((sum(value * value for value in v) << 120) // WIDTH)
        for f in range(WIDTH):
            n = (2 * (v[f] << SCALE_BITS + 60) + root) // (2 * root)
            n = 1 << SCALE_BITS if f == WIDTH - 1 else max(-LIMIT, min(LIMIT, n))
            out[f // 64][f % 64 + 64 * t] = n
    return out


def least_root(q, n=N):
    roots = (pow(x, (q - 1) // (2 * n), q) for x in range(2, q))
    root = next(r for r in roots if pow(r, n, q) == q - 1)
    return min(pow(root, k, q) for k in range(1, 2 * n, 2))


def evaluate(a, q, root):
    """a(root^(2 brev(i) + 1)) for every i: the order in which masks come."""
    n = len(a)
    a, step = [x * pow(root, i, q) % q for i, x in enumerate(a)], n // 2
    while step:
        w = [pow(root, n // step * j, q) for j in range(step)]
        for start in range(0, n, 2 * step):
            for j in range(step):
                x, y = a[start + j], a[start + j + step]
                a[start + j], a[start + j + step] = (x + y) % q, (x - y) * w[j] % q
        step //= 2
    return a


def interpolate(a, q, root):
    n = len(a)
    a, step, inverse = a[:], 1, pow(root, -1, q)
    while step < n:
        w = [pow(inverse, n // step * j, q) for j in range(step)]
        for start in range(0, n, 2 * step):
            for j in range(step):
                x, y = a[start + j], a[start + j + step] * w[j] % q
                a[start + j], a[start + j + step] = (x + y) % q, (x - y) % q
        step *= 2
    scale = pow(n, -1, q)
    return [x * scale * pow(inverse, i, q) % q for i, x in enumerate(a)]


def derived(key, kind):
    return block(key, (DERIVE, 0, kind), 0)[:32]


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    h = 0
    for i in range(0, len(data), 16):
        h = (h + int.from_bytes(data[i : i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return pack("<QQ", *divmod((h + int.from_bytes(key[16:32], "little")) % 2**128, 2**64)[::-1])


def prf(key, data):
    for i in range(0, len(data), 12):
        output = block(key, unpack("<3I", data[i : i + 12]), 0)
        key = output[:32]
    return output


def message_seeds(key, counter, fresh, digested=b""):
    digest = poly1305(block(key, (DIGEST_KEY, 0, 0), 0)[:32], digested)
    output = prf(derived(key, MESSAGE_SEEDS), digest + pack("<Q", counter) + fresh + bytes(4))
    return output[:32], output[32:]


def ciphertexts(digested=b""):
    key = bytes([4] * 32)
    secret, (masks, noise) = ternary(bytes([2] * 32)), message_seeds(key, 1, key, digested)
    for index, message in enumerate(messages()):
        error = errors(noise, index)
        for q in PRIMES:
            root = least_root(q)
            a, s = uniform(masks, EDGE_MASK, index, q, N), evaluate([x % q for x in secret], q, root)
            product = interpolate([x * y % q for x, y in zip(a, s)], q, root)
            yield from [(m + e - p) % q for m, e, p in zip(message, error, product)]


def small():
    """A byte a coefficient, scaled by 2^16, at degree 1024 modulo one prime."""
    n, q, key, text = 1024, PRIMES[0], bytes([4] * 32), b"a gripping, funny and deeply human film ."
    (masks, noise), root = message_seeds(key, 1, key), least_root(PRIMES[0], 1024)
    message, error = [byte << 16 for byte in text] + [0] * (n - len(text)), errors(noise, 0, n)
    a = uniform(masks, EDGE_MASK, 0, q, n)
    s = evaluate([x % q for x in ternary(bytes([2] * 32), n)], q, root)
    product = interpolate([x * y % q for x, y in zip(a, s)], q, root)
    return [(m + e - p) % q for m, e, p in zip(message, error, product)]


def packed(coefficients):
    return bytes(sum((c + 1) << 2 * j for j, c in enumerate(coefficients[i : i + 4])) for i in range(0, N, 4))


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def little(numbers):
    return b"".join(pack("<i" if number < 0 else "<I", number) for number in numbers)


def show(name, data):
    print(f"{name} {fnv(data):016x}")


def packed_residues(limb, q):
    width = q.bit_length()
    whole = sum(x << width * i for i, x in enumerate(limb))
    return whole.to_bytes((len(limb) * width + 7) // 8, "little")


def frame(key, kind, sequence, part, body, parameters=PARAMETERS):
    data = b"HELM" + pack("<HHQQII", 1, kind, parameters, sequence, part, len(body)) + body
    hashed = poly1305(block(key, (FRAME_HASH, 0, 0), 0)[:32], data)
    return data + prf(derived(key, FRAME_TAG), hashed + bytes(8))[:16]


def vectors(folder):
    """One exchange of a device with seeds of repeated bytes; the message is the one of the digests."""
    transport, key, sequence, q = bytes([9] * 32), bytes([4] * 32), 1, PRIMES[0]
    secret = ternary(bytes([2] * 32))
    ids = pack("<%dH" % len(IDS), *IDS)
    body = transport + key + packed(secret)
    (folder / "provision.bin").write_bytes(frame(bytes(32), PROVISION, 0, 0, body))
    (folder / "messages.bin").write_bytes(little(messages()[0] + messages()[1]))
    limbs = list(ciphertexts(ids))
    body = pack("<I", 2) + message_seeds(key, sequence, key, ids)[0]
    for i in range(4):
        body += packed_residues(limbs[N * i : N * (i + 1)], PRIMES[i % 2])
    (folder / "upload.bin").write_bytes(frame(transport, UPLOAD, sequence, 0, body))
    # A server's part: 3/4, -5/4 and a canary of 1 at three positions, at scale 2^19.
    root, values = least_root(q), {0: 3 << 17, 64: -5 << 17, 192: 1 << 19}
    mask = uniform(bytes([5] * 32), EDGE_MASK, 0, q, N)
    s = evaluate([x % q for x in secret], q, root)
    product = interpolate([a * b % q for a, b in zip(mask, s)], q, root)
    body = pack("<dI", 2.0**19, len(values)) + packed_residues(mask, q)
    body += b"".join(pack("<II", at, (m - product[at]) % q) for at, m in values.items())
    progress = frame(transport, PROGRESS, sequence, 0, pack("<3I", 3, 11, 1500) + b"attention")
    (folder / "download.bin").write_bytes(progress + frame(transport, ANSWER, sequence, 1, body))


def main():
    if "--vectors" in sys.argv:
        return vectors(Path(sys.argv[-1]))
    show("uniform", little(uniform(bytes([1] * 32), EDGE_MASK, 3, PRIMES[0], 1024)))
    show("ternary", packed(ternary(bytes([2] * 32))))
    show("errors", bytes(e & 255 for e in errors(bytes([3] * 32), 5)))
    show("messages", little(messages()[0] + messages()[1]))
    show("ciphertexts", little(ciphertexts()))
    show("small", little(small()))


if __name__ == "__main__":
    main()
