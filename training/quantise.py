"""From trained floats to the integers that the server multiplies by."""
import numpy as np

import model


def integers(matrix, frac):
    """round(W 2^frac) as int16 [inputs, outputs]; rows of a centred matrix sum to exactly 0.

    A row that rounding has left with a sum r is repaired by -sign(r) at the |r| entries that rounding moved furthest that way.
    """
    frac_before, matrix.frac = matrix.frac, None
    exact = matrix.effective().detach().double().numpy() * 2.0**frac
    matrix.frac = frac_before
    rounded = np.rint(exact)
    if matrix.centred:
        for row, target in zip(rounded, exact):
            excess = int(row.sum())
            sign = np.sign(excess)
            row[np.argsort(sign * (target - row))[:abs(excess)]] -= sign
        assert not rounded.sum(1).any()
    assert np.abs(rounded).max() < 2**15
    return rounded.astype(np.int16)


def table(parameter):
    """An embedding table as int8, in units of the common scale."""
    return np.clip(np.rint(parameter.detach().numpy() / model.EMBEDDING_STEP), -127, 127).astype(np.int8)


def tensors(net, frac):
    """{name: integer array} of everything in the exported file."""
    out = {"embedding.tokens": table(net.tokens), "embedding.positions": table(net.positions)}
    for index, block in enumerate(net.blocks):
        for name in ("query", "key", "value", "output"):
            out[f"layers.{index}.attention.{name}"] = integers(getattr(block, name), frac)
        for name in ("value", "gate", "output"):
            out[f"layers.{index}.feed_forward.{name}"] = integers(getattr(block, "glu_" + name), frac)
    out["head.dense"] = integers(net.dense, frac)
    out["head.classes"] = integers(net.classes, frac)
    return out
