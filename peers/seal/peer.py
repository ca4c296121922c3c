"""Microsoft SEAL by the wheel `seal-python`: `peer.py arithmetic THREADS` prints rows.

N = 2^16, 23 primes (60, 22 x 50 bits) and one special prime of 60 bits, which is all that SEAL's key
switching can use; its own security check ends at 2^15, so it is off, and 1220 bits are far inside the bound.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import seal

from rows import best, bits, once, progress, row, values

LOG_N, LOG_Q, SCALE = 16, 60 + 22 * 50, 2.0**50


def arithmetic():
    """What everybody measures; SEAL has no threads inside an operation."""
    progress("context and keys")
    parameters = seal.EncryptionParameters(seal.scheme_type.ckks)
    parameters.set_poly_modulus_degree(1 << LOG_N)
    sizes = [60] + [50] * 22 + [60]
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(1 << LOG_N, sizes))
    context = seal.SEALContext(parameters, True, seal.sec_level_type.none)
    generator = seal.KeyGenerator(context)
    relin, turn = seal.RelinKeys(), seal.GaloisKeys()
    generator.create_relin_keys(relin)
    seconds, _ = once(lambda: generator.create_galois_keys([1], turn))
    public = generator.create_public_key()
    row("rotation key", LOG_N, LOG_Q, 1, seconds)
    encoder, evaluator = seal.CKKSEncoder(context), seal.Evaluator(context)
    encryptor = seal.Encryptor(context, public)
    decryptor = seal.Decryptor(context, generator.secret_key())

    def report(name, measured, expected, size=1.0):
        seconds, found = measured
        found = encoder.decode(decryptor.decrypt(found))
        row(name, LOG_N, LOG_Q, 1, seconds, bits(found, expected, size))

    x = values(encoder.slot_count())
    progress("operations")
    seconds, c = best(lambda: encryptor.encrypt(encoder.encode(x, SCALE)), 3)
    row("encode and encrypt, public key", LOG_N, LOG_Q, 1, seconds)
    report("add", best(lambda: evaluator.add(c, c)), 2 * x, 2.0)
    seconds, found = best(lambda: encoder.decode(decryptor.decrypt(c)), 3)
    row("decrypt and decode", LOG_N, LOG_Q, 1, seconds, bits(found, x))

    def multiply():
        product = evaluator.multiply(c, c)
        evaluator.relinearize_inplace(product, relin)
        evaluator.rescale_to_next_inplace(product)
        return product

    report("multiply, relinearise, rescale", best(multiply), x * x)
    report("rotate", best(lambda: evaluator.rotate_vector(c, 1, turn)), np.roll(x, -1))


if __name__ == "__main__":
    if sys.argv[1] != "arithmetic":
        sys.exit(f"unknown part {sys.argv[1]}")
    arithmetic()
