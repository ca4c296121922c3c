#!/usr/bin/env python3
"""Bits of security of a parameter set's secrets, under the attacks known to matter.

    python3 security/estimate.py             prints the estimates of the presets
    python3 security/estimate.py --check     compares with figures of other estimators; 1 on a miss
    python3 security/estimate.py --write     writes security/evidence.json

Standard library only. Every instance is one secret with the largest modulus that anything is
encrypted with under it, special primes included, and as many samples as the attacker likes.

Model. Lattice reduction: the geometric series assumption, with Chen's root Hermite factor.
Cost, in gates: sieving by list decoding in the classical circuit model of Albrecht, Gheorghiu,
Postlethwaite and Schanck (ASIACRYPT 2020) with the corrections of MATZOV (*Report on the Security
of LWE*, 2022), dimensions for free after Ducas (EUROCRYPT 2018), progressive block sizes.
Attacks:

usvp         Alkim, Ducas, Poeppelmann and Schwabe (USENIX 2016), with the rescaling of small
             secrets of Bai and Galbraith (ACISP 2014).
bdd          The same with a final sieve in a dimension of its own (Liu and Nguyen, CT-RSA 2013).
dual         Guess part of the secret, distinguish the rest by short dual vectors: Espitau, Joux
             and Kharchenko (INDOCRYPT 2020), many vectors a sieve (Guo and Johansson, ASIACRYPT
             2021). Sparse secrets: the guess has a small weight, and is repeated until it holds.
hybrid       Sparse secrets: guess part of the secret by a meet in the middle, find the rest by
             Babai's algorithm: Howgrave-Graham (CRYPTO 2007), with the probabilities of Wunderer
             (2019) and of Son and Cheon (WAHC 2019). The search costs the square root of the space.

Errors have a standard deviation of at least 3.19.

Also here, because it rests on the same sparse secret: the probability that a bootstrap goes wrong
because a coefficient wraps around the modulus more often than its sine evaluation can undo.
"""

import json
import math
import sys
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

SIGMA = 3.19
# log2(gates) = SLOPE * dimension + OFFSET for one sieve by list decoding.
SLOPE, OFFSET = 0.29613500308205365, 20.387885985467914
# What a progressive sieve costs more than its last step.
PROGRESSIVE = 1 / (1 - 2**-SLOPE)
SUCCESS = 0.99
INFINITY = math.inf

# log2 of the largest modulus of the big secret, rounded up; the other secrets are used alike.
PRESETS = {"edge_128": 1643, "precise_128": 1734}
# The sine evaluation of a bootstrap serves this many periods to each side.
PERIODS = 16


def instances(log_qp):
    """(name, log2 of the degree, log2 of the modulus rounded up, weight (None: dense))"""
    return [
        ("big", 16, log_qp, None),
        ("sparse", 16, 112, 32),
        ("edge", 12, 81, None),
        ("upload", 12, 50, None),
    ]


# Bits by the lattice estimator of Albrecht et al., commit 27a581b; "hybrid" by an independent
# implementation that agrees with it where it finishes.
REFERENCE = [
    ("min", 12, 106, None, 128.9),
    ("min", 12, 109, None, 125.6),
    ("min", 13, 214, None, 128.5),
    ("min", 14, 430, None, 128.4),
    ("min", 15, 868, None, 128.0),
    ("min", 16, 1747, None, 128.2),
    ("min", 16, 1555, None, 144.8),
    ("usvp", 16, 1555, 192, 144.3),
    ("usvp", 15, 768, 192, 145.0),
    ("usvp", 15, 868, 192, 127.5),
    ("usvp", 12, 106, 64, 125.8),
    ("hybrid", 11, 50, 64, 104.1),
    ("hybrid", 12, 106, 64, 99.1),
    ("hybrid", 13, 160, 64, 116.0),
    ("hybrid", 15, 121, 32, 147.2),
    ("hybrid", 15, 868, 192, 120.7),
    ("hybrid", 16, 121, 32, 172.0),
    ("hybrid", 16, 425, 32, 132.3),
    ("hybrid", 16, 1546, 32, 88.7),
]
# How far an estimate may be from its reference, in bits.
TOLERANCE = 1.0


def log2_sum(*terms):
    """log2 of the sum of powers of two."""
    top = max(terms)
    if math.isinf(top):
        return top
    return top + math.log2(sum(2 ** (t - top) for t in terms))


def ln_delta(beta):
    """The logarithm of the root Hermite factor of block size beta."""
    gaussian = beta / (2 * math.pi * math.e) * (math.pi * beta) ** (1 / beta)
    return math.log(gaussian) / (2 * (beta - 1))


def free_dimensions(beta):
    return max(0.0, beta * math.log(4 / 3) / math.log(beta / (2 * math.pi * math.e)))


def sieve(dimension):
    """log2 of the gates of one progressive sieve."""
    return math.log2(PROGRESSIVE) + SLOPE * dimension + OFFSET


def reduction(beta, d):
    """log2 of the gates of reducing a lattice of dimension d with block size beta."""
    calls = math.log2(PROGRESSIVE * max(d - beta, 1))
    return log2_sum(3 * math.log2(d), calls + sieve(beta - free_dimensions(beta)))


def repetitions(probability):
    """log2 of the trials that succeed with probability SUCCESS together."""
    if probability >= SUCCESS:
        return 0.0
    if probability <= 0:
        return INFINITY
    return math.log2(math.log(1 - SUCCESS) / math.log1p(-probability))


class Problem:
    def __init__(self, log_degree, log_q, weight=None):
        self.n = 1 << log_degree
        self.log_q = log_q
        self.ln_q = log_q * math.log(2)
        self.weight = weight
        self.deviation = math.sqrt(2 / 3 if weight is None else weight / self.n)
        # The secret's part of the lattice is scaled up to the size of the error.
        self.ln_scale = math.log(max(1.0, SIGMA / self.deviation))


def smallest(f, low, high):
    """The least integer of low .. high at which the monotone f holds."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if f(middle) else (middle + 1, high)
    return low


def minimum(f, low, high, points=24):
    """The minimum of f on the integers low .. high: a grid, made finer around its best point."""
    best = (INFINITY, low)
    while True:
        step = max(1, (high - low) // points)
        best = min(best, min((f(x), x) for x in range(low, high + 1, step)))
        if step == 1:
            return best
        low, high = max(low, best[1] - step), min(high, best[1] + step)


MAX_BETA = 3000


def usvp_dimension(problem, beta):
    """The least dimension in which block size beta finds the secret, or None."""
    delta = ln_delta(beta)
    target = math.log(SIGMA**2 * beta) / 2
    a = -delta
    b = delta * (2 * beta - 1) + problem.ln_q - target
    c = math.log(SIGMA) + problem.n * problem.ln_scale - (problem.n + 1) * problem.ln_q
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return None
    return max(problem.n, beta + 1, math.ceil((-b + math.sqrt(discriminant)) / (2 * a)))


def usvp(problem):
    beta = smallest(lambda b: usvp_dimension(problem, b) is not None, 60, MAX_BETA)
    if usvp_dimension(problem, beta) is None:
        return INFINITY
    return min(reduction(b, usvp_dimension(problem, b)) for b in range(beta, beta + 8))


def lattice_dimension(problem, guessed, beta):
    """The best dimension for all but some coordinates of the secret."""
    rest = problem.n - guessed
    return math.ceil(math.sqrt(rest * (problem.ln_q - problem.ln_scale) / ln_delta(beta)))


def ln_volume(problem, guessed, d):
    rest = problem.n - guessed
    return (d - rest) * problem.ln_q + rest * problem.ln_scale


def bdd(problem):
    def cost(beta):
        d = lattice_dimension(problem, 0, beta)
        if d <= max(beta, problem.n):
            return INFINITY
        delta, volume = ln_delta(beta), ln_volume(problem, 0, d)

        def is_found(tail):
            """Whether the error, projected, is the shortest vector of the last dimensions."""
            projected = tail / d * volume - (d - tail) * tail * delta + math.log(SIGMA)
            rank = tail + 1
            ball = rank / 2 * math.log(math.pi) - math.lgamma(rank / 2 + 1)
            return (projected - ball) / rank > math.log(SIGMA**2 * rank) / 2

        tail = smallest(is_found, 40, MAX_BETA)
        if not is_found(tail):
            return INFINITY
        return log2_sum(reduction(beta, d), reduction(tail + 1, tail + 1))

    return minimum(cost, 60, MAX_BETA)[0]


def dual_given(problem, guessed, weight, beta):
    """The dual attack with so many guessed coordinates, of which so many are not zero."""
    rest = problem.n - guessed
    if problem.weight is None:
        deviation, repeat = problem.deviation, 0.0
        ln_space = guessed * math.log(3)
    else:
        deviation = math.sqrt((problem.weight - weight) / rest)
        ln_space = ln_binomial(guessed, weight) + weight * math.log(2)
        ln_probability = (
            ln_binomial(guessed, weight)
            + ln_binomial(rest, problem.weight - weight)
            - ln_binomial(problem.n, problem.weight)
        )
        repeat = repetitions(math.exp(ln_probability))
    delta = ln_delta(beta)
    ln_ratio = math.log(deviation / SIGMA) + problem.ln_q
    samples = max(1, math.ceil(math.sqrt(rest * ln_ratio / delta)) - rest)
    d = samples + rest

    def sieve_dimension(d):
        room = math.log2(max(d - beta, 1) * PROGRESSIVE) / SLOPE
        return min(d, math.floor(beta - math.floor(free_dimensions(beta)) + room))

    dimension = sieve_dimension(2 * beta)
    ln_stretch = math.log(4 / 3) / 2 + (dimension - 1) * (ln_delta(dimension) - delta)
    ln_noise = ln_stretch + math.log(deviation) + d * delta - ln_ratio * samples / d
    if ln_noise > 4:
        return INFINITY
    confidence = math.log(1 / math.sqrt(SUCCESS))
    ln_vectors = math.log(8 * (ln_space - math.log(confidence)))
    ln_vectors += 4 * math.pi**2 * math.exp(2 * ln_noise)
    vectors = ln_vectors / math.log(2)
    dimension = sieve_dimension(d)
    runs = max(0.0, vectors - 0.2075 * dimension)
    search = 1 + ln_space / math.log(2) + vectors
    return repeat + log2_sum(
        search, runs + reduction(beta, d), runs + sieve(dimension)
    )


def dual(problem):
    def best_beta(guessed, weight):
        return minimum(lambda b: dual_given(problem, guessed, weight, b), 60, MAX_BETA)[0]

    if problem.weight is None:
        return minimum(lambda guessed: best_beta(guessed, 0), 0, min(problem.n, 400))[0]

    def best_weight(guessed):
        most = min(guessed, problem.weight - 1, 24)
        return min(best_beta(guessed, weight) for weight in range(0, most + 1, 2))

    return minimum(best_weight, 0, problem.n - 64)[0]


def ln_binomial(n, k):
    if not 0 <= k <= n:
        return -INFINITY
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def hybrid(problem):
    @lru_cache(maxsize=None)
    def lattice(guessed, beta):
        """(log2 of the reduction, dimension, probability that Babai's algorithm succeeds)."""
        d = lattice_dimension(problem, guessed, beta)
        if d <= max(beta, problem.n - guessed):
            return INFINITY, d, 0.0
        delta, volume = ln_delta(beta), ln_volume(problem, guessed, d)
        ln_probability = 0.0
        for i in range(d):
            # The Gram-Schmidt norms from the shortest on, in units of the error.
            ln_norm = volume / d - (d - 1 - 2 * i) * delta
            x = math.exp(min(ln_norm, 300)) / (SIGMA * math.sqrt(2))
            decoded = math.erf(x / 2)
            consistent = math.erf(x) - (1 - math.exp(-x * x)) / (x * math.sqrt(math.pi))
            if decoded <= 0 or consistent <= 0 or ln_probability < -500:
                return INFINITY, d, 0.0
            ln_probability += math.log(decoded) + math.log(consistent)
            if x > 1e5:
                break
        return reduction(beta, d), d, math.exp(ln_probability)

    def cost(guessed, beta):
        reduce, d, probability = lattice(guessed, beta)
        if probability == 0:
            return INFINITY
        best, ln_space, hit = INFINITY, -INFINITY, 0.0
        for weight in range(min(guessed, problem.weight) + 1):
            ln_count = ln_binomial(guessed, weight)
            ln_space = ln_add(ln_space, ln_count + weight * math.log(2))
            hit += math.exp(
                ln_count
                + ln_binomial(problem.n - guessed, problem.weight - weight)
                - ln_binomial(problem.n, problem.weight)
            )
            search = ln_space / (2 * math.log(2)) + 2 * math.log2(d)
            total = log2_sum(reduce, search) + repetitions(min(hit, 1.0) * probability)
            if total > best + 20:
                break
            best = min(best, total)
        return best

    def best_beta(guessed):
        return minimum(lambda beta: cost(guessed, beta), 60, 700, points=16)[0]

    return minimum(best_beta, 0, problem.n - 64, points=16)[0]


def ln_add(a, b):
    low, high = sorted((a, b))
    return high if math.isinf(low) else high + math.log1p(math.exp(low - high))


ATTACKS = {"usvp": usvp, "bdd": bdd, "dual": dual, "hybrid": hybrid}


def log2_overflow(log_degree, weight, periods):
    """log2 of the probability that any coefficient of a bootstrap leaves the periods.

    A coefficient over the modulus is a sum of weight + 1 numbers uniform in (-1/2, 1/2).
    """
    count = weight + 1
    # The tail of the Irwin-Hall distribution; exact, for the terms cancel.
    above = Fraction(count, 2) - periods
    terms = range(math.floor(above) + 1)
    tail = sum((-1) ** k * math.comb(count, k) * (above - k) ** count for k in terms)
    if tail <= 0:
        return -INFINITY
    probability = tail / math.factorial(count)
    log2 = math.log2(probability.numerator) - math.log2(probability.denominator)
    return log2 + 1 + log_degree


@lru_cache(maxsize=None)
def estimate(log_degree, log_q, weight):
    problem = Problem(log_degree, log_q, weight)
    names = ["usvp", "bdd", "dual"] + (["hybrid"] if weight is not None else [])
    return {name: ATTACKS[name](problem) for name in names}


def check():
    misses = 0
    for attack, log_degree, log_q, weight, expected in REFERENCE:
        problem = Problem(log_degree, log_q, weight)
        if attack == "min":
            found = min(ATTACKS[name](problem) for name in ("usvp", "bdd", "dual"))
        else:
            found = ATTACKS[attack](problem)
        missed = abs(found - expected) > TOLERANCE
        misses += missed
        secret = "dense" if weight is None else f"weight {weight}"
        verdict = "MISS" if missed else "ok"
        print(
            f"{attack:7} N = 2^{log_degree} log2(q) = {log_q:4} {secret:10} "
            f"{found:6.1f}, reference {expected:6.1f}  {verdict}",
            flush=True,
        )
    for weight, periods, expected in [(32, 12, -34.1), (32, 16, -138.7), (192, 25, -15.6)]:
        found = log2_overflow(16, weight, periods)
        misses += abs(found - expected) > 0.1
        print(f"overflow weight {weight} periods {periods} {found:.1f}, reference {expected:.1f}")
    return misses


def evidence(preset, log_qp):
    """What evidence.json says of a preset; one instance a line, as the test of the presets reads them."""
    rows = []
    for name, log_degree, log_q, weight in instances(log_qp):
        bits = estimate(log_degree, log_q, weight)
        row = {"name": name, "log_degree": log_degree, "log_qp": log_q, "weight": weight}
        row["bits"] = math.floor(min(bits.values()))
        row["attacks"] = {k: None if math.isinf(v) else round(v, 1) for k, v in bits.items()}
        rows.append("      " + json.dumps(row))
        print(preset, rows[-1].strip(), flush=True)
    _, log_degree, _, weight = instances(log_qp)[1]
    overflow = log2_overflow(log_degree, weight, PERIODS)
    header = f'    "preset": "{preset}",\n    "sigma": {SIGMA},\n    "log2_overflow": {overflow:.1f},\n'
    return "  {\n" + header + '    "instances": [\n' + ",\n".join(rows) + "\n    ]\n  }"


def main():
    if "--check" in sys.argv:
        sys.exit(1 if check() else 0)
    presets = [evidence(preset, log_qp) for preset, log_qp in PRESETS.items()]
    if "--write" in sys.argv:
        text = "[\n" + ",\n".join(presets) + "\n]\n"
        Path(__file__).with_name("evidence.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
