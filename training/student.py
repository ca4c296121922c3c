"""Batches, the optimisation loop with weight averaging, and evaluation of the edge model."""
import math
import random
import time

import torch
import torch.nn.functional as F

import model
import wordpiece

NAMELESS = model.Ranges()


def batches(examples, size, rng=None):
    """(ids, mask, targets) of similar lengths; every batch has a padded position unless a sentence fills it.

    All padded positions of a sentence hold equal values, so one stands for all of them in the penalties.
    """
    order = list(range(len(examples)))
    if rng:
        rng.shuffle(order)
        stretch = 64 * size
        order = [i for s in range(0, len(order), stretch)
                 for i in sorted(order[s:s + stretch], key=lambda i: len(examples[i][0]))]
    groups = [order[s:s + size] for s in range(0, len(order), size)]
    if rng:
        rng.shuffle(groups)
    for group in groups:
        length = min(model.TOKENS, 1 + max(len(examples[i][0]) for i in group))
        ids = torch.full((len(group), length), wordpiece.PAD)
        mask = torch.zeros(len(group), length)
        for row, i in enumerate(group):
            n = len(examples[i][0])
            ids[row, :n] = torch.tensor(examples[i][0])
            mask[row, :n] = 1
        yield ids, mask, torch.tensor([examples[i][1] for i in group])


def _hide_words(ids, mask, rate):
    """Word dropout: pieces replaced by [UNK], the ends kept."""
    hidden = (torch.rand(ids.shape) < rate) & (mask > 0) & (ids > wordpiece.SEP)
    return ids.masked_fill(hidden, wordpiece.UNK)


def _peak_then_fall(step, total, warm=0.06, floor=0.02):
    if step < warm * total:
        return (step + 1) / (warm * total)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step / total - warm) / (1 - warm)))


def fit(net, epochs, dev, rate, seed, size=64, decay=0.999, hide=0.05, penalty=0.05, weight_decay=0.02, log=print):
    """Trains on `epochs`, a list of example lists [(ids, probability of the positive class)]; returns the averaged model's state."""
    rng, start = random.Random(seed), time.process_time()
    total = sum(math.ceil(len(e) / size) for e in epochs)
    shrink = [p for n, p in net.named_parameters() if "weight" in n]
    keep = [p for n, p in net.named_parameters() if "weight" not in n]
    optimiser = torch.optim.AdamW([{"params": shrink, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 1e-3}],
                                  lr=rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: _peak_then_fall(s, total))
    mean, step = {n: p.detach().clone() for n, p in net.named_parameters()}, 0
    for number, examples in enumerate(epochs):
        net.train()
        loss_sum = range_sum = 0.0
        for ids, mask, target in batches(examples, size, rng):
            ranges = model.Ranges()
            logits = net(_hide_words(ids, mask, hide), mask, ranges)
            soft = torch.stack([1 - target, target], 1).float()
            loss = F.cross_entropy(logits, soft)
            optimiser.zero_grad()
            (loss + penalty * ranges.penalty).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            keep_share = min(decay, (step + 1) / (step + 10))
            with torch.no_grad():
                for n, p in net.named_parameters():
                    mean[n].lerp_(p, 1 - keep_share)
            loss_sum += float(loss.detach())
            range_sum += float(ranges.penalty.detach())
        live = {n: p.detach().clone() for n, p in net.named_parameters()}
        net.load_state_dict(mean)
        steps = math.ceil(len(examples) / size)
        log(f"epoch {number + 1}: loss {loss_sum / steps:.4f} penalty {range_sum / steps:.4f} dev {accuracy(net, dev):.4f} "
            f"({time.process_time() - start:.0f} CPU s)", flush=True)
        if number + 1 < len(epochs):
            net.load_state_dict(live)
    return mean


@torch.no_grad()
def accuracy(net, examples, ranges=NAMELESS):
    """Share of examples [(ids, 0 or 1)] classified right."""
    net.eval()
    right = 0
    for ids, mask, target in batches(examples, 128):
        ranges.penalty = 0.0
        right += int((net(ids, mask, ranges).argmax(1) == target.round().long()).sum())
    return right / len(examples)


def measured_ranges(net, examples):
    """{name: (least, greatest)} of every watched quantity."""
    ranges = model.Ranges()
    ranges.record, net.every_position = True, True
    accuracy(net, examples, ranges)
    net.every_position = False
    return ranges.seen
