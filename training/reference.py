"""Float64 forward pass of the exported edge model in numpy: the oracle for every other implementation.

Written from the definition, not from model.py. It reads `config.json` and `model.safetensors`, starts from token ids
and works on all T positions, padding included, exactly as the server does:

    x_t = E8[id_t] + P8[t]     v_f = 128 x_f - sum_g x_g     n = v / sqrt(mean v^2)     (n = 0 at padding)
    X  += Wo A(LN X),  A_i = sum_j exp(-|q_i - k_j|^2) mask_j v_j  per head; with a softmax
                       A_i = sum_j p_ij v_j / sum_j p_ij,  p_ij = exp(<q_i, k_j>) mask_j
    X  += Wout ((LN X Wx) * gelu(LN X Wg))
    logits = tanh(LN X_0 Wd) Wc,        LN x_t = x_t / sqrt(mean x_t^2 + (1 - mask_t))

The first LN of the first block is left out: n already has mean square 1.

    python3 reference.py MODEL_FOLDER DATA_FOLDER        dev accuracy and measured ranges
"""
import json
import math
import os
import struct
import sys

import numpy as np

import data
import wordpiece

_erf = np.frompyfunc(math.erf, 1, 1)


def read_safetensors(path):
    """{name: array} of a safetensors file."""
    kinds = {"I8": np.int8, "I16": np.int16}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(body[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(np.float64))


class Reference:
    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        self.tensors = read_safetensors(os.path.join(folder, "model.safetensors"))
        self.unit = 2.0 ** -self.config["weight_frac_bits"]
        self.seen, self.noise = {}, None

    def _weights(self, name):
        return self.tensors[name].astype(np.float64) * self.unit

    def _watch(self, name, values):
        low, high = self.seen.get(name, (math.inf, -math.inf))
        self.seen[name] = (min(low, float(values.min())), max(high, float(values.max())))
        if self.noise is None:
            return values
        generator, size = self.noise
        return values + size * generator.standard_normal(values.shape)

    def input(self, ids):
        """n [T, d] and the mask [T] of one sentence of at most T ids."""
        tokens, width = self.config["tokens"], self.config["width"]
        n, mask = np.zeros((tokens, width)), np.zeros(tokens)
        for t, piece in enumerate(ids):
            x = self.tensors["embedding.tokens"][piece].astype(np.int64) + self.tensors["embedding.positions"][t]
            v = width * x - x.sum()
            n[t], mask[t] = v / math.sqrt(float((v * v).sum()) / width), 1.0
        return n, mask

    def _norm(self, name, x, mask):
        square = (x * x).mean(1) + (1 - mask)
        square = np.maximum(self._watch(name, square), 1e-9)
        return x / np.sqrt(square)[:, None]

    def _linear(self, watch, x, tensor):
        return self._watch(watch, x @ self._weights(tensor))

    def _attention(self, layer, x, mask):
        heads = self.config["heads"]
        q, k, v = (self._linear(f"{layer}.{n}", x, f"{layer}.attention.{n}") for n in ("query", "key", "value"))
        size, out = q.shape[1] // heads, []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            if self.config.get("attention", "gaussian") == "softmax":
                weights = np.exp(self._watch(f"{layer}.score", q[:, part] @ k[:, part].T)) * mask
                weights = weights / self._watch(f"{layer}.sum", weights.sum(1, keepdims=True))
            else:
                difference = q[:, None, part] - k[None, :, part]
                weights = np.exp(-self._watch(f"{layer}.exponent", (difference * difference).sum(2))) * mask
            out.append(weights @ v[:, part])
        return self._watch(f"{layer}.attention", np.concatenate(out, 1))

    def logits(self, ids):
        """The two logits of one sentence."""
        x, mask = self.input(ids)
        for index in range(self.config["layers"]):
            layer = f"layers.{index}"
            seen = x if index == 0 else self._norm(f"{layer}.norm1", x, mask)
            x = x + self._linear(f"{layer}.output", self._attention(layer, seen, mask), f"{layer}.attention.output")
            seen = self._norm(f"{layer}.norm2", x, mask)
            gate = self._linear(f"{layer}.gate", seen, f"{layer}.feed_forward.gate")
            value = self._linear(f"{layer}.glu_value", seen, f"{layer}.feed_forward.value")
            hidden = self._watch(f"{layer}.hidden", value * gelu(gate))
            x = x + self._linear(f"{layer}.glu_output", hidden, f"{layer}.feed_forward.output")
            self._watch(f"{layer}.stream", x)
        first = self._norm("head.norm", x[:1], mask[:1])
        dense = self._linear("head.tanh", first, "head.dense")
        return (np.tanh(dense) @ self._weights("head.classes"))[0]


def main(model_folder, data_folder):
    reference = Reference(model_folder)
    tokenizer = wordpiece.WordPiece.load(os.path.join(model_folder, "vocab.txt"))
    rows = [(tokenizer.encode(t, reference.config["tokens"]), label) for t, label in data.sst2(data_folder, "dev")]
    clean = [reference.logits(ids) for ids, _ in rows]
    right = sum(int(l.argmax()) == label for l, (_, label) in zip(clean, rows))
    print(f"dev accuracy {right / len(rows):.4f} ({right} of {len(rows)})")
    for name, (low, high) in reference.seen.items():
        print(f"{name:22} {low:10.4f} {high:10.4f}")
    generator = np.random.default_rng(1)
    for bits in (9, 11, 13):
        reference.noise = generator, 2.0**-bits
        error = [np.abs(reference.logits(ids) - clean[i]).max() for i, (ids, _) in enumerate(rows[:100])]
        print(f"noise 2^-{bits} on every watched value: logit error median {np.median(error):.5f} worst {max(error):.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
