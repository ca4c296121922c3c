"""Reading SST-2, IMDB and the general corpora, and choosing the pruned vocabulary.

Every function takes the data folder as an argument (see README.md for what it must contain).
"""
import bz2
import collections
import itertools
import json
import math
import os
import re
import string

import wordpiece

BOOK_LINES = 400_000      # lines of books that count towards general English
IMDB_REVIEWS = 25_000     # unlabelled reviews that count, beside the labelled ones


def sst2(folder, split):
    """[(sentence, label)] of SST-2 `train` or `dev`; label 1 is positive."""
    path = os.path.join(folder, "glue", "SST-2", split + ".tsv")
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = file.read().replace("\r\n", "\n").split("\n")[1:]
    rows = (line.rsplit("\t", 1) for line in lines if line)
    return [(text.strip(), int(label)) for text, label in rows]


def _imdb(folder, name):
    with bz2.open(os.path.join(folder, "corpus", name), "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").replace("<br />", " ")


def imdb_labelled(folder):
    """(label, review) of the labelled training reviews."""
    for line in _imdb(folder, "imdb_train.tsv.bz2"):
        label, text = line.split("\t", 1)
        yield int(label), text


def imdb_sentences(folder, limit):
    """Up to `limit` sentences of 3 to 24 words from the labelled and unlabelled training reviews."""
    reviews = itertools.chain((t for _, t in imdb_labelled(folder)), _imdb(folder, "imdb_unsup.txt.bz2"))
    pieces = (s.strip() for review in reviews for s in re.split(r"(?<=[.!?])\s+", review))
    wanted = (s for s in pieces if 3 <= s.count(" ") + 1 <= 24 and len(s) < 160)
    return list(itertools.islice(wanted, limit))


def treebank_style(text):
    """The spacing of SST-2: contractions and punctuation set apart."""
    text = re.sub(r"(?i)(\w)(n't)\b", r"\1 \2", text)
    text = re.sub(r"(?i)(\w)('(?:s|re|ve|ll|d|m))\b", r"\1 \2", text)
    return re.sub(r"\s+", " ", re.sub(r"([,.!?;:()])", r" \1 ", text)).strip()


def natural_style(text):
    """The opposite: SST-2 sentences as a person would type them."""
    text = re.sub(r" (n't|'(?:s|re|ve|ll|d|m))\b", r"\1", text)
    return re.sub(r" ([,.!?;:])", r"\1", text)


def _count(tokenizer, texts):
    counts = collections.Counter()
    for text in texts:
        for word in wordpiece.words(text):
            counts.update(tokenizer.word(word))
    total = sum(counts.values())
    return {piece: n / total for piece, n in counts.items()}


def _polarity(tokenizer, labelled):
    """|log-odds| of each piece between the classes, shrunk towards 0 where it is rare."""
    counts = (collections.Counter(), collections.Counter())
    for text, label in labelled:
        counts[label].update({p for word in wordpiece.words(text) for p in tokenizer.word(word)})
    pieces = counts[0].keys() | counts[1].keys()
    return {p: abs(math.log((counts[1][p] + 5) / (counts[0][p] + 5))) for p in pieces}


def choose_vocabulary(folder, size):
    """The pruned vocabulary: special pieces, then the chosen pieces of BERT's in byte order.

    Every ASCII mark, letter and digit is kept, alone and as a continuation, so an ASCII word is never [UNK]. The
    rest of the places go to the highest frequencies, weighed by source and by how much a piece says about sentiment.
    """
    full = wordpiece.WordPiece.load(os.path.join(folder, "vocab", "bert-base-uncased-vocab.txt"))
    train = sst2(folder, "train")
    reviews = list(imdb_labelled(folder))
    with bz2.open(os.path.join(folder, "corpus", "books.txt.bz2"), "rt", encoding="utf-8", errors="replace") as file:
        books = _count(full, itertools.islice(file, BOOK_LINES))
    with open(os.path.join(folder, "corpus", "wiki_vital_summaries_en.json"), encoding="utf-8") as file:
        wiki = _count(full, (s for s in _strings(json.load(file)) if " " in s))
    unlabelled = itertools.islice(_imdb(folder, "imdb_unsup.txt.bz2"), IMDB_REVIEWS)
    films = _count(full, itertools.chain((t for _, t in reviews), unlabelled))
    task = _count(full, (t for t, _ in train))
    feeling = _polarity(full, ((t, l) for l, t in reviews)), _polarity(full, train)
    score = {}
    for piece in books.keys() | wiki.keys() | films.keys() | task.keys():
        frequency = (4 * task.get(piece, 0) + films.get(piece, 0) + 0.15 * books.get(piece, 0) + 0.15 * wiki.get(piece, 0))
        score[piece] = frequency * (0.5 + max(f.get(piece, 0) for f in feeling))
    keep = {c for c in string.punctuation + string.digits + string.ascii_lowercase}
    keep |= {"##" + c for c in string.digits + string.ascii_lowercase}
    keep &= full.ids.keys()
    ranked = sorted(score, key=lambda p: (-score[p], p))
    for piece in (full.pieces[p] for p in ranked):
        if len(keep) + len(wordpiece.SPECIAL) == size:
            break
        if piece not in wordpiece.SPECIAL and not piece.startswith("["):
            keep.add(piece)
        if piece == "[":
            keep.add(piece)
    return wordpiece.SPECIAL + sorted(keep, key=lambda p: p.encode())


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for item in value:
            yield from _strings(item)
