"""Trains the edge model, from the data folder to a checkpoint that export.py turns into models/edge.

    python3 train.py DATA_FOLDER MODEL_FOLDER WORK_FOLDER --attention gaussian

Steps, each kept in WORK_FOLDER and skipped where its file exists: the vocabulary (in MODEL_FOLDER), the teacher, its answers
on SST-2, on film-review sentences and on single pieces, the student in full precision, the student quantisation-aware.
"""
import argparse
import os
import random

import torch

import data
import model
import student
import teacher
import wordpiece

VOCABULARY = 6144
REVIEW_SENTENCES = 120_000
FRAC = 10                      # fractional bits of every weight
PASSES, SST_PER_PASS = 2, 2    # through the review sentences; SST-2 epochs mixed into each
TUNING_EPOCHS = 2


class Work:
    """Files of finished steps."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def step(self, name, make):
        path = os.path.join(self.folder, name + ".pt")
        if not os.path.exists(path):
            print(f"step {name}", flush=True)
            torch.save(make(), path + ".part")
            os.replace(path + ".part", path)
        return torch.load(path, weights_only=True)


def vocabulary(data_folder, model_folder):
    path = os.path.join(model_folder, "vocab.txt")
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(piece + "\n" for piece in data.choose_vocabulary(data_folder, VOCABULARY))
    return wordpiece.WordPiece.load(path)


def review_sentences(folder):
    """Film-review sentences, every other one respaced in the style of SST-2."""
    sentences = data.imdb_sentences(folder, REVIEW_SENTENCES)
    return [data.treebank_style(s) if i % 2 else s for i, s in enumerate(sentences)]


class Distillation:
    """The teacher and what it says about everything the student sees."""

    def __init__(self, work, data_folder, tokenizer):
        self.full = wordpiece.WordPiece.load(os.path.join(data_folder, "vocab", "bert-base-uncased-vocab.txt"))
        self.tokenizer = tokenizer
        self.train, self.dev = data.sst2(data_folder, "train"), data.sst2(data_folder, "dev")
        self.reviews = review_sentences(data_folder)
        long = lambda rows: [(self.full.encode(t, teacher.LONGEST), float(l)) for t, l in rows]
        self.state = work.step("teacher", lambda: teacher.fine_tune(long(self.train), long(self.dev)).state_dict())
        texts = {"sst2": [t for t, _ in self.train], "reviews": self.reviews}
        self.answers = {name: work.step("answers-" + name, lambda: self._ask(self.full.encode(t, teacher.LONGEST) for t in lines))
                        for name, lines in texts.items()}
        self.single = work.step("single", self._single_pieces)

    def _teacher(self):
        net = teacher.Teacher(teacher.checkpoint())
        net.load_state_dict(self.state)
        return net

    def _ask(self, sentences):
        return teacher.probabilities(self._teacher(), list(sentences))

    def _single_pieces(self):
        """For each piece of the pruned vocabulary alone: probability, and its word and pooled vectors side by side."""
        net = self._teacher()
        ids = [[self.full.ids["[CLS]"], self.full.ids[p], self.full.ids["[SEP]"]] for p in self.tokenizer.pieces]
        words = net.words.weight[[i[1] for i in ids]].detach()
        return {"answers": teacher.probabilities(net, ids), "words": words, "pooled": teacher.pooled(net, ids)}

    def embeddings(self):
        """The starting embedding: principal components of both vectors, turned so that features weigh alike."""
        standard = lambda x: (x - x.mean(0)) / (x - x.mean(0)).square().sum(1).mean().sqrt()
        both = torch.cat([standard(self.single["words"]), standard(self.single["pooled"])], 1)
        _, _, directions = torch.linalg.svd(both, full_matrices=False)
        turn, _ = torch.linalg.qr(torch.randn(model.WIDTH, model.WIDTH))
        table = both @ directions[:model.WIDTH].T @ turn
        table = table - table.mean(1, keepdim=True)
        return (table * (0.1 / table.square().mean().sqrt())).clamp(-0.49, 0.49)

    def development(self):
        return [(self.tokenizer.encode(t, model.TOKENS), l) for t, l in self.dev]

    def sst2_epoch(self, rng):
        """SST-2 with the mean of label and teacher; a third in natural spacing; every piece alone."""
        out = [([wordpiece.CLS, i, wordpiece.SEP], p) for i, p in enumerate(self.single["answers"]) if i > wordpiece.SEP]
        for (text, label), answer in zip(self.train, self.answers["sst2"]):
            text = data.natural_style(text) if rng.random() < 0.33 else text
            out.append((self.tokenizer.encode(text, model.TOKENS), 0.5 * (label + answer)))
        return out

    def review_part(self, part, parts):
        """Part `part` of the review sentences with the teacher's answers."""
        rows = list(zip(self.reviews, self.answers["reviews"]))[part::parts]
        return [(self.tokenizer.encode(t, model.TOKENS), p) for t, p in rows]


def pretrain(kind, source, seed):
    """The student in full precision, on reviews and SST-2 together."""
    torch.manual_seed(seed)
    net, rng = model.Edge(len(source.tokenizer.pieces), kind), random.Random(seed)
    net.tokens.data.copy_(source.embeddings())
    epochs = [source.review_part(i % SST_PER_PASS, SST_PER_PASS) + source.sst2_epoch(rng) for i in range(PASSES * SST_PER_PASS)]
    student.fit(net, epochs, source.development(), rate=1.5e-3, seed=seed)
    return {"kind": kind, "state": net.state_dict()}


def fine_tune(start, source, seed):
    """The student on the grid of its integer weights, on SST-2, with ranges watched at every position."""
    torch.manual_seed(seed)
    net, rng = model.Edge(len(source.tokenizer.pieces), start["kind"]), random.Random(seed)
    net.load_state_dict(start["state"])
    net.set_frac(FRAC)
    net.every_position = True
    epochs = [source.sst2_epoch(rng) + source.review_part(i, 6) for i in range(TUNING_EPOCHS)]
    student.fit(net, epochs, source.development(), rate=3e-4, seed=seed, penalty=0.2)
    return {"kind": start["kind"], "state": net.state_dict()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder")
    parser.add_argument("model_folder")
    parser.add_argument("work_folder")
    parser.add_argument("--attention", choices=(model.GAUSSIAN, model.SOFTMAX), default=model.GAUSSIAN)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work = Work(options.work_folder)
    source = Distillation(work, options.data_folder, vocabulary(options.data_folder, options.model_folder))
    name = f"{options.attention}-{options.seed}"
    start = work.step(name, lambda: pretrain(options.attention, source, options.seed))
    work.step(name + "-quantised", lambda: fine_tune(start, source, options.seed + 100))


if __name__ == "__main__":
    main()
