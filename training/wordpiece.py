"""BERT-uncased tokenisation with a pruned vocabulary (Devlin et al., 2019, arXiv 1810.04805).

Text is cleaned, lower-cased, stripped of accents and split at punctuation; each word is then cut greedily into
the longest known pieces. A word with no cut becomes [UNK]. The same code with BERT's full vocabulary reproduces
the reference tokeniser, which `python3 wordpiece.py VOCAB GOLDEN` checks.
"""
import json
import sys
import unicodedata

PAD, UNK, CLS, SEP = range(4)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
MAX_WORD = 100  # characters; longer words are [UNK], as in BERT


def _is_punctuation(c):
    o = ord(c)
    ascii_mark = 33 <= o <= 47 or 58 <= o <= 64 or 91 <= o <= 96 or 123 <= o <= 126
    return ascii_mark or unicodedata.category(c).startswith("P")


def _is_cjk(c):
    o = ord(c)
    return (0x4E00 <= o <= 0x9FFF or 0x3400 <= o <= 0x4DBF or 0x20000 <= o <= 0x2A6DF or 0x2A700 <= o <= 0x2B73F
            or 0x2B740 <= o <= 0x2B81F or 0x2B820 <= o <= 0x2CEAF or 0xF900 <= o <= 0xFAFF or 0x2F800 <= o <= 0x2FA1F)


def words(text):
    """Cleaned, lower-cased, accent-free words and punctuation marks of a text, in order."""
    if not text.isascii():
        kept = []
        for c in text:
            if c.isspace():
                kept.append(" ")
            elif c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Cn", "Co", "Cs"):
                continue
            else:
                kept.append(f" {c} " if _is_cjk(c) else c)
        text = unicodedata.normalize("NFD", "".join(kept))
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    else:
        text = "".join(c for c in text if c >= " " and c != "\x7f" or c in "\t\n\r")
    out = []
    for word in text.lower().split():
        start = 0
        for i, c in enumerate(word):
            if _is_punctuation(c):
                if i > start:
                    out.append(word[start:i])
                out.append(c)
                start = i + 1
        if start < len(word):
            out.append(word[start:])
    return out


class WordPiece:
    """Greedy longest-match tokeniser over a list of pieces; the list index is the id."""

    def __init__(self, pieces):
        self.pieces = list(pieces)
        self.ids = {p: i for i, p in enumerate(self.pieces)}
        self.unknown = self.ids["[UNK]"]
        self.longest = max(map(len, self.pieces))
        self._cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(file.read().split("\n")[:-1])

    def word(self, word):
        """Ids of the pieces of one word."""
        known = self._cache.get(word)
        if known is None:
            known = self._cache[word] = self._cut(word)
        return known

    def _cut(self, word):
        if len(word) > MAX_WORD:
            return (self.unknown,)
        out, start = [], 0
        while start < len(word):
            end = min(len(word), start + self.longest)
            while end > start:
                piece = self.ids.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
                end -= 1
            if end == start:
                return (self.unknown,)
            out.append(piece)
            start = end
        return tuple(out)

    def encode(self, text, tokens):
        """[CLS] pieces [SEP], at most `tokens` ids in all; what is too long is cut at the end."""
        out = [self.ids["[CLS]"]]
        for word in words(text):
            out.extend(self.word(word))
            if len(out) >= tokens:
                break
        return out[:tokens - 1] + [self.ids["[SEP]"]]


def check(vocab_path, golden_path):
    """Number of golden lines, and of those that differ."""
    tokenizer, total, wrong = WordPiece.load(vocab_path), 0, 0
    with open(golden_path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            total += 1
            wrong += tokenizer.encode(row["text"], 1 << 20) != row["ids"]
    return total, wrong


if __name__ == "__main__":
    print("%d golden lines, %d differ" % check(*sys.argv[1:3]))
