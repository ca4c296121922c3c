"""The `gk-bert` edge transformer in PyTorch, with fake quantisation and range penalties.

No biases and no LayerNorm gains: a gain is a row scaling of the matrix that follows and is trained as part of it.
Every matrix that writes to the residual stream is centred over its outputs, so the stream has mean zero and
LayerNorm is a division by its root mean square. Straight-through rounding as in Jacob et al., 2018, arXiv 1712.05877.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

TOKENS, WIDTH, HEADS, HEAD, GLU, LAYERS, CLASSES = 64, 128, 2, 64, 256, 2, 2
EMBEDDING_STEP = 1 / 256      # value of one unit of the int8 tables; it cancels in the normalisation
GAUSSIAN, SOFTMAX = "gaussian", "softmax"

# Where penalties begin. The declared domains (DECLARED in export.py) lie beyond, by a margin.
EXPONENT, SCORE, GATE, TANH, ENTRY = 9.0, 4.0, 4.0, 2.8, 8.0
MEAN_SQUARE, SUM = (1.25, 4.0), (2.4, 120.0)
WINDOW_WEIGHT = 10.0


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return torch.round(x)

    @staticmethod
    def backward(_, grad):
        return grad


class Matrix(nn.Module):
    """y = x W with W [inputs, outputs]; optionally centred, with zero rows or columns, and on the grid 2^-frac."""

    def __init__(self, inputs, outputs, std, centred=False, zero_column=None, zero_row=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * std)
        self.centred, self.frac = centred, None
        mask = torch.ones(inputs, outputs)
        if zero_column is not None:
            mask[:, zero_column] = 0
        if zero_row is not None:
            mask[zero_row] = 0
        self.register_buffer("mask", mask, persistent=False)

    def effective(self):
        """The matrix that multiplies."""
        w = self.weight * self.mask
        if self.centred:
            w = w - w.mean(1, keepdim=True)
        if self.frac is not None:
            w = _Round.apply(w * 2.0**self.frac) * 2.0**-self.frac
        return w

    def forward(self, x):
        return x @ self.effective()


class Ranges:
    """Collects penalties while training and extremes while calibrating."""

    def __init__(self):
        self.penalty, self.seen, self.record = 0.0, {}, False

    def _note(self, name, x):
        if self.record:
            x = x.detach()
            low, high = self.seen.get(name, (math.inf, -math.inf))
            self.seen[name] = (min(low, float(x.min())), max(high, float(x.max())))

    def above(self, name, x, limit):
        """Penalises what lies above `limit`, relative to it: the sum over a sentence, the mean over the batch."""
        self._note(name, x)
        excess = F.relu(x / limit - 1)
        self.penalty = self.penalty + excess.square().sum() / x.shape[0]

    def magnitude(self, name, x, limit):
        self._note(name, x)
        excess = F.relu(x.abs() / limit - 1)
        self.penalty = self.penalty + excess.square().sum() / x.shape[0]

    def window(self, name, x, ends=MEAN_SQUARE):
        self._note(name, x)
        low, high = ends
        log = torch.log(x)
        excess = F.relu(log - math.log(high)) + F.relu(math.log(low) - log)
        self.penalty = self.penalty + WINDOW_WEIGHT * excess.square().sum() / x.shape[0]


class Block(nn.Module):
    def __init__(self, index, kind):
        super().__init__()
        self.name, self.kind, self.first = f"layers.{index}", kind, index == 0
        score = 0.011 if kind == GAUSSIAN else 0.03
        self.query = Matrix(WIDTH, WIDTH, score)
        self.key = Matrix(WIDTH, WIDTH, score)
        self.value = Matrix(WIDTH, WIDTH, 0.04 if kind == GAUSSIAN else 0.08, zero_column=WIDTH - 1)
        self.output = Matrix(WIDTH, WIDTH, 0.04, centred=True, zero_row=WIDTH - 1)
        self.glu_value = Matrix(WIDTH, GLU, 0.06, zero_column=GLU - 1)
        self.glu_gate = Matrix(WIDTH, GLU, 0.06)
        self.glu_output = Matrix(GLU, WIDTH, 0.04, centred=True, zero_row=GLU - 1)

    def attention(self, x, mask, ranges, asking):
        """Of the first `asking` positions to all."""
        batch = x.shape[0]
        split = lambda y: y.view(batch, -1, HEADS, HEAD).transpose(1, 2)
        q, k, v = self.query(x[:, :asking]), self.key(x), self.value(x)
        for name, y in (("query", q), ("key", k), ("value", v)):
            ranges.magnitude(f"{self.name}.{name}", y, ENTRY)
        q, k, v = split(q), split(k), split(v)
        product = q @ k.transpose(2, 3)
        if self.kind == GAUSSIAN:
            square = lambda y: y.square().sum(3)
            exponent = square(q)[..., :, None] + square(k)[..., None, :] - 2 * product
            ranges.above(f"{self.name}.exponent", exponent, EXPONENT)
            scores = torch.exp(-exponent) * mask[:, None, None, :]
        else:
            ranges.magnitude(f"{self.name}.score", product, SCORE)
            shown = product.masked_fill(mask[:, None, None, :] == 0, -1e9)
            ranges.window(f"{self.name}.sum", shown.logsumexp(3).clamp(max=80).exp(), SUM)
            scores = torch.softmax(shown, 3)
        out = (scores @ v).transpose(1, 2).reshape(batch, asking, WIDTH)
        ranges.magnitude(f"{self.name}.attention", out, ENTRY)
        return out

    def forward(self, x, mask, ranges, drop, asking):
        """The stream after this block, at the first `asking` positions."""
        seen = x if self.first else norm(x, mask, ranges, f"{self.name}.norm1")
        written = self.output(drop(self.attention(seen, mask, ranges, asking)))
        ranges.magnitude(f"{self.name}.output", written, ENTRY)
        x = x[:, :asking] + written
        seen = norm(x, mask[:, :asking], ranges, f"{self.name}.norm2")
        value, gate = self.glu_value(seen), self.glu_gate(seen)
        ranges.magnitude(f"{self.name}.glu_value", value, ENTRY)
        ranges.magnitude(f"{self.name}.gate", gate, GATE)
        hidden = value * F.gelu(gate)
        ranges.magnitude(f"{self.name}.hidden", hidden, ENTRY)
        written = self.glu_output(drop(hidden))
        ranges.magnitude(f"{self.name}.glu_output", written, ENTRY)
        x = x + written
        ranges.magnitude(f"{self.name}.stream", x, ENTRY)
        return x


def norm(x, mask, ranges, name):
    """x / sqrt(mean(x^2) + (1 - mask)): LayerNorm of a mean-zero stream, kept away from 0 at padding."""
    square = x.square().mean(2) + (1 - mask)
    ranges.window(name, square)
    return x * torch.rsqrt(square)[..., None]


class Edge(nn.Module):
    def __init__(self, vocabulary, kind, dropout=0.1):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(vocabulary, WIDTH) * 0.1)
        self.positions = nn.Parameter(_sinusoid() * 0.02)
        self.blocks = nn.ModuleList(Block(i, kind) for i in range(LAYERS))
        self.dense = Matrix(WIDTH, WIDTH, 0.05)
        self.classes = Matrix(WIDTH, CLASSES, 0.1)
        self.drop = nn.Dropout(dropout)
        self.every_position = False  # watch ranges of the last block beyond position 0, whence the answer comes

    def matrices(self):
        return [m for m in self.modules() if isinstance(m, Matrix)]

    def set_frac(self, frac):
        for matrix in self.matrices():
            matrix.frac = frac

    def embedding(self, ids):
        quantised = lambda t: _Round.apply((t / EMBEDDING_STEP).clamp(-127, 127)) * EMBEDDING_STEP
        x = quantised(self.tokens[ids]) + quantised(self.positions[: ids.shape[1]])
        x = x - x.mean(2, keepdim=True)
        return x * torch.rsqrt(x.square().mean(2, keepdim=True) + 1e-9)

    def forward(self, ids, mask, ranges):
        x = self.drop(self.embedding(ids)) * mask[..., None]
        length = ids.shape[1]
        for block in self.blocks:
            last = block is self.blocks[-1] and not self.every_position
            x = block(x, mask, ranges, self.drop, 1 if last else length)
        first = norm(x[:, :1], mask[:, :1], ranges, "head.norm")[:, 0]
        hidden = self.dense(first)
        ranges.magnitude("head.tanh", hidden, TANH)
        return self.classes(self.drop(torch.tanh(hidden)))


def _sinusoid():
    position = torch.arange(TOKENS)[:, None]
    rate = torch.exp(-math.log(10000.0) * torch.arange(0, WIDTH, 2) / WIDTH)
    table = torch.zeros(TOKENS, WIDTH)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
    return table
