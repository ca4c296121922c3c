"""OpenFHE by its Python wheel: `peer.py arithmetic|linear|linear-real|few|bootstrap THREADS` prints rows.

Full size: N = 2^16, 23 primes (60, 22 x 50 bits), hybrid key switching with three digits, 128-bit security by
its own check.
"""

import os
import sys
from pathlib import Path

THREADS = int(sys.argv[2])
os.environ["OMP_NUM_THREADS"] = str(THREADS)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import openfhe as fhe

from rows import best, bits, once, progress, row, values

FEATURES, TOKENS = 768, 128
LINEAR = "linear layer 128 x 768 by 768 x 768"


def context(log_n, depth, digits, **more):
    """A context and a key pair."""
    parameters = fhe.CCParamsCKKSRNS()
    parameters.SetRingDim(1 << log_n)
    parameters.SetMultiplicativeDepth(depth)
    parameters.SetScalingModSize(50)
    parameters.SetFirstModSize(60)
    parameters.SetNumLargeDigits(digits)
    parameters.SetSecurityLevel(fhe.HEStd_128_classic)
    parameters.SetScalingTechnique(more.get("scaling", fhe.FIXEDMANUAL))
    parameters.SetSecretKeyDist(more.get("secret", fhe.UNIFORM_TERNARY))
    parameters.SetBatchSize(more.get("slots", 1 << (log_n - 1)))
    parameters.SetCKKSDataType(more.get("kind", fhe.REAL))
    made = fhe.GenCryptoContext(parameters)
    for feature in (fhe.PKE, fhe.KEYSWITCH, fhe.LEVELEDSHE, fhe.ADVANCEDSHE, fhe.FHE):
        made.Enable(feature)
    return made, made.KeyGen()


def slots(cc, keys, ciphertext, count):
    """Decrypted complex slots."""
    plain = cc.Decrypt(ciphertext, keys.secretKey)
    plain.SetLength(count)
    return np.array(plain.GetCKKSPackedValue())


def arithmetic():
    """What everybody measures."""
    log_n, log_q, steps = 16, 60 + 22 * 50, list(range(1, 9))
    progress("context and keys")
    cc, keys = context(log_n, 22, 3)
    cc.EvalMultKeyGen(keys.secretKey)
    cc.EvalRotateKeyGen(keys.secretKey, steps)

    def report(name, measured, expected, size=1.0):
        seconds, found = measured
        precision = bits(slots(cc, keys, found, len(x)).real, expected, size)
        row(name, log_n, log_q, THREADS, seconds, precision)

    x = values(1 << (log_n - 1))
    listed = list(x)
    progress("encryption")
    encrypt = lambda: cc.Encrypt(keys.publicKey, cc.MakeCKKSPackedPlaintext(listed))
    seconds, c = best(encrypt, 3)
    row("encode and encrypt, public key", log_n, log_q, THREADS, seconds, note="a Python list is read too")
    seconds, plain = best(lambda: cc.Decrypt(c, keys.secretKey), 3)
    row("decrypt and decode", log_n, log_q, THREADS, seconds, bits(plain.GetRealPackedValue(), x))
    progress("arithmetic")
    report("add", best(lambda: cc.EvalAdd(c, c)), 2 * x, 2.0)
    product = best(lambda: cc.Rescale(cc.EvalMult(c, c)))
    report("multiply, relinearise, rescale", product, x * x)
    report("rotate", best(lambda: cc.EvalRotate(c, 1)), np.roll(x, -1))

    def hoisted():
        digits = cc.EvalFastRotationPrecompute(c)
        return [cc.EvalFastRotation(c, step, 2 << log_n, digits) for step in steps]

    seconds, turned = best(hoisted, 3)
    report("rotate 8, hoisted", (seconds, turned[-1]), np.roll(x, -8))
    progress("a rotation key")
    seconds, _ = once(lambda: cc.EvalRotateKeyGen(keys.secretKey, [9]))
    row("rotation key", log_n, log_q, THREADS, seconds)


def linear(log_n, kind, name, note):
    """128 x 768 by 768 x 768 by diagonals: feature f is at as many slots in a row as there are tokens, or
    half as many if tokens t and t + 64 are one complex slot. Three ciphertexts hold the input, nine blocks of
    256 diagonals are the matrix, and 16 baby steps share their digits."""
    half, baby = TOKENS // 2 if kind == fhe.COMPLEX else TOKENS, 16
    width = (1 << (log_n - 1)) // half
    blocks = FEATURES // width
    progress("context, keys")
    cc, keys = context(log_n, 1, 1, kind=kind)
    steps = [half * s for s in range(1, baby)] + [half * baby * s for s in range(1, width // baby)]
    cc.EvalRotateKeyGen(keys.secretKey, steps)
    x, w = values(FEATURES * TOKENS).reshape(FEATURES, TOKENS), values(FEATURES**2) / 16
    w = w.reshape(FEATURES, FEATURES)
    join = lambda y: y[:, :half] + 1j * y[:, half:] if kind == fhe.COMPLEX else y
    packed = join(x).reshape(blocks, width * half)
    inputs = [
        cc.Encrypt(keys.publicKey, cc.MakeCKKSPackedPlaintext(list(part))) for part in packed
    ]
    progress("encoding 2304 diagonals (not counted)")
    features = np.arange(width)

    def diagonal(i, j, d):
        giant = d - d % baby
        # Output g takes input g + d; the giant step turns what was added before it.
        entries = w[width * j + (features + d) % width, width * i + features]
        turned = np.roll(entries, giant)
        return cc.MakeCKKSPackedPlaintext(list(np.repeat(turned, half).astype(packed.dtype)))

    matrix = [
        [[diagonal(i, j, d) for d in range(width)] for j in range(blocks)] for i in range(blocks)
    ]

    def product():
        turned = []
        for c in inputs:
            digits = cc.EvalFastRotationPrecompute(c)
            turn = lambda s: cc.EvalFastRotation(c, half * s, 2 << log_n, digits)
            turned.append([c] + [turn(s) for s in range(1, baby)])
        results = []
        for i in range(blocks):
            total = None
            for giant in range(0, width, baby):
                terms = [
                    cc.EvalMult(turned[j][s], matrix[i][j][giant + s])
                    for j in range(blocks)
                    for s in range(baby)
                ]
                for term in terms[1:]:
                    cc.EvalAddInPlace(terms[0], term)
                inner = cc.EvalRotate(terms[0], half * giant) if giant else terms[0]
                if total is None:
                    total = inner
                else:
                    cc.EvalAddInPlace(total, inner)
            results.append(cc.Rescale(total))
        return results

    progress("product")
    seconds, results = best(product, 3)
    found = np.concatenate([slots(cc, keys, c, width * half) for c in results])
    expected = join(w.T @ x).reshape(-1)
    precision = bits(found, expected, np.max(np.abs(expected)))
    row(name, log_n, 110, THREADS, seconds, precision, note)


def bootstrap(log_slots, budget, name, note):
    """A bootstrap that leaves eight levels of 50 bits. The correction must be at least the ten bits that the
    first prime is larger than a level; OpenFHE's own choice is less, and refused."""
    log_n, secret = 16, fhe.SPARSE_ENCAPSULATED
    depth = 8 + fhe.CryptoContext.GetBootstrapDepth(budget, secret)
    progress("context")
    more = {"scaling": fhe.FLEXIBLEAUTO, "secret": secret, "slots": 1 << log_slots, "kind": fhe.COMPLEX}
    cc, keys = context(log_n, depth, 3, **more)
    cc.EvalBootstrapSetup(budget, [0, 0], 1 << log_slots, 11)
    progress("keys")
    cc.EvalMultKeyGen(keys.secretKey)
    cc.EvalBootstrapKeyGen(keys.secretKey, 1 << log_slots)
    x = values(1 << log_slots, complex_slots=True)
    plain = cc.MakeCKKSPackedPlaintext(list(x), 1, depth - 1, None, 1 << log_slots)
    c = cc.Encrypt(keys.publicKey, plain)
    progress("bootstrap")
    seconds, fresh = best(lambda: cc.EvalBootstrap(c), 1)
    precision = bits(slots(cc, keys, fresh, len(x)), x)
    left = depth - fresh.GetLevel()
    note = f"{note}, {left} levels left"
    row(name, log_n, 60 + 50 * depth, THREADS, seconds, precision, note)


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "arithmetic":
        arithmetic()
    elif what == "linear":
        linear(15, fhe.COMPLEX, LINEAR, "two tokens in a complex slot")
    elif what == "linear-real":
        linear(16, fhe.REAL, f"{LINEAR}, real slots", "one token in a slot")
    elif what == "bootstrap":
        bootstrap(15, [3, 3], "bootstrap, slots to slots", "32768 complex slots")
    elif what == "few":
        bootstrap(9, [2, 2], "bootstrap, 1024 reals", "512 complex slots")
    else:
        sys.exit(f"unknown part {what}")
