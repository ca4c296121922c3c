"""Writes models/edge: weights, configuration, golden answers, the sample of dev sentences and the measured table.

    python3 export.py CHECKPOINT MODEL_FOLDER DATA_FOLDER --frac 10

CHECKPOINT is what train.py leaves in its work folder. `vocab.txt` must lie in MODEL_FOLDER already.
"""
import argparse
import json
import os
import random

import torch
from safetensors.numpy import save_file

import data
import model
import quantise
import reference
import student
import wordpiece

RATIO, SUM_RATIO, MARGIN = 30.0, 127.0, 1.3   # of the window of a LayerNorm, and of a softmax's sums: width, least margin at each end
DECLARED = {"exponent": [0.0, 16.0], "score": [-6.0, 6.0], "gate": [-6.0, 6.0], "tanh": [-4.0, 4.0],
            "entry": [-16.0, 16.0]}
LIMITS = {"exponent": 14.0, "score": 5.5, "gate": 5.5, "tanh": 3.5}  # what calibration may at most reach
RANGES = {model.GAUSSIAN: ("exponent", "gate"), model.SOFTMAX: ("score", "sum", "gate")}
NORMS = ("layers.0.norm2", "layers.1.norm1", "layers.1.norm2", "head.norm")
NAMES = {model.GAUSSIAN: "edge", model.SOFTMAX: "edge-softmax"}
GOLDEN, SAMPLE = 48, 64


def window(low, high, ratio):
    """The declared [lo, hi] of what is inverted: hi/lo = ratio, the measured range in its middle on a log scale."""
    spare = (ratio * low / high) ** 0.5
    assert spare >= MARGIN, f"{low:.3f} .. {high:.3f} leave a margin of {spare:.2f} only"
    return [round(low / spare, 4), round(high * spare, 4)]


def check_limits(seen):
    """Stops the export where calibration comes too near a declared bound."""
    for name, (low, high) in seen.items():
        kind = name.rsplit(".", 1)[1]
        if kind.startswith("norm") or kind == "sum":
            continue
        limit = LIMITS.get(kind, 16.0)
        assert max(-low, high) <= limit, f"{name} reaches {low:.2f} .. {high:.2f}, beyond {limit}"


def configuration(attention, frac, vocabulary, seen):
    declared = lambda layer, name: DECLARED.get(name) or window(*seen[f"layers.{layer}.{name}"], SUM_RATIO)
    layers = [{name: declared(layer, name) for name in RANGES[attention]} for layer in range(model.LAYERS)]
    return {
        "family": "gk-bert", "name": NAMES[attention], "layers": model.LAYERS, "width": model.WIDTH, "heads": model.HEADS,
        "ffn": 2 * model.GLU, "glu": model.GLU, "attention": attention, "activation": "gelu", "tokens": model.TOKENS, "classes": model.CLASSES,
        "labels": ["negative", "positive"], "weight_frac_bits": frac, "vocabulary": vocabulary,
        "ranges": {"layers": layers, "norms": {n: window(*seen[n], RATIO) for n in NORMS}, "tanh": DECLARED["tanh"], "entry": DECLARED["entry"]},
    }


def _json(path, value):
    """Objects indented, one line for each innermost object or list."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(_layout(value, "") + "\n")


def _layout(value, margin):
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)):
        return flat
    nested = any(isinstance(v, (dict, list)) for v in (value.values() if isinstance(value, dict) else value))
    if not nested and (isinstance(value, list) or margin and len(flat) < 80):
        return flat
    deeper = margin + "  "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(k)}: {_layout(v, deeper)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    return "[\n" + ",\n".join(deeper + _layout(v, deeper) for v in value) + f"\n{margin}]"


def golden(oracle, tokenizer, rows):
    out = []
    for text, label in rows:
        ids = tokenizer.encode(text, model.TOKENS)
        out.append({"text": text, "ids": ids, "logits": [float(x) for x in oracle.logits(ids)], "label": label})
    return out


def print_widths(net, dev):
    """Accuracy against the width of the integers; 28 bits of input scale, 4 of range and 8 of headroom complete the modulus."""
    for frac in (4, 5, 6, 7, 8, 9, 10, 11, 12, None):
        net.set_frac(frac)
        largest = max(float(m.effective().detach().abs().max()) for m in net.matrices())
        modulus = f"{28 + 4 + 8 + frac} bits" if frac else "-"
        print(f"frac {frac}: largest |W| {largest:.3f}, base modulus {modulus}, dev accuracy {student.accuracy(net, dev):.4f}", flush=True)


def load(path, vocabulary):
    """The network of a checkpoint."""
    saved = torch.load(path, weights_only=True)
    net = model.Edge(vocabulary, saved["kind"])
    net.load_state_dict(saved["state"])
    return net


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("model_folder")
    parser.add_argument("data_folder")
    parser.add_argument("--frac", type=int, default=10)
    parser.add_argument("--table", action="store_true", help="print accuracy against weight width, write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    here = lambda name: os.path.join(options.model_folder, name)
    tokenizer = wordpiece.WordPiece.load(here("vocab.txt"))
    net = load(options.checkpoint, len(tokenizer.pieces))
    splits = {s: data.sst2(options.data_folder, s) for s in ("train", "dev")}
    examples = {s: [(tokenizer.encode(t, model.TOKENS), float(l)) for t, l in rows] for s, rows in splits.items()}
    print_widths(net, examples["dev"])
    if options.table:
        return
    net.set_frac(options.frac)
    seen = student.measured_ranges(net, examples["train"] + examples["dev"])
    for name, (low, high) in seen.items():
        print(f"{name:22} {low:10.4f} {high:10.4f}")
    check_limits(seen)
    save_file(quantise.tensors(net, options.frac), here("model.safetensors"))
    _json(here("config.json"), configuration(net.blocks[0].kind, options.frac, len(tokenizer.pieces), seen))
    oracle = reference.Reference(options.model_folder)
    chosen = random.Random(2).sample(splits["dev"], SAMPLE)
    _json(here("golden.json"), golden(oracle, tokenizer, chosen[:GOLDEN]))
    with open(here("sst2-dev-64.tsv"), "w", encoding="utf-8") as file:
        file.write("sentence\tlabel\n" + "".join(f"{t}\t{l}\n" for t, l in chosen))


if __name__ == "__main__":
    main()
