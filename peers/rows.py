"""What the Python peers share: timing, comparing, printing rows."""

import json
import sys
import time

import numpy as np

RUNS = 5


def values(count, complex_slots=False):
    """Slots uniform in [-1, 1], or in a square."""
    rng = np.random.default_rng()
    real = rng.uniform(-1, 1, count)
    return real + 1j * rng.uniform(-1, 1, count) if complex_slots else real


def once(operation):
    """Seconds of one run, on the wall and of all processors, and its result."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = operation()
    return (time.perf_counter() - start, time.process_time() - start_cpu), result


def best(operation, runs=RUNS):
    """The least times of some runs, after one that is not counted, and the last result."""
    result = operation()
    times = []
    for _ in range(runs):
        seconds, result = once(operation)
        times.append(seconds)
    return tuple(map(min, zip(*times))), result


def bits(found, expected, size=1.0):
    """-log2 of the largest error and of the root mean square, relative to `size`."""
    errors = np.abs(np.asarray(found) - np.asarray(expected)) / size
    worst, rms = np.max(errors), np.sqrt(np.mean(errors**2))
    return {"worst_bits": -np.log2(worst), "rms_bits": -np.log2(rms)}


def row(name, log_n, log_q, threads, seconds, precision=None, note=""):
    """Prints one row; `seconds` are a pair, as `once` gives them."""
    fields = {"name": name, "log_n": log_n, "log_q": log_q, "threads": threads}
    fields |= {"seconds": seconds[0], "cpu_seconds": seconds[1]}
    print(json.dumps(fields | (precision or {}) | {"note": note}), flush=True)


def progress(text):
    """Says what is under way."""
    print(text, file=sys.stderr, flush=True)
