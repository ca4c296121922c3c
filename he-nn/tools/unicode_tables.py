#!/usr/bin/env python3
"""Writes src/client/unicode/tables.rs from Python's Unicode database.

    python3 he-nn/tools/unicode_tables.py && rustfmt --edition 2024 he-nn/src/client/unicode/tables.rs

Only the basic multilingual plane is covered; Hangul is decomposed by rule.
"""
import pathlib
import unicodedata

PLANE = [chr(c) for c in range(0x80, 0x10000) if not 0xD800 <= c < 0xE000]


def ranges(test):
    found = []
    for c in PLANE:
        if test(c):
            if found and found[-1][1] == ord(c) - 1:
                found[-1][1] = ord(c)
            else:
                found.append([ord(c), ord(c)])
    return found


def category(prefix):
    return lambda c: unicodedata.category(c).startswith(prefix)


def is_control(c):
    return unicodedata.category(c) in ("Cc", "Cf", "Co")


def bases():
    """Characters whose canonical decomposition without marks differs from themselves."""
    for c in PLANE:
        parts = unicodedata.normalize("NFD", c)
        if parts != c and not 0xAC00 <= ord(c) <= 0xD7A3:
            left = [ord(p) for p in parts if unicodedata.category(p) != "Mn"]
            if all(p < 0x10000 for p in left):
                yield ord(c), left


def capitals():
    """Runs of characters that have no decomposition and a lower case: first, last, step, distance."""
    found = []
    for c in PLANE:
        small = c.lower()
        if len(small) > 1 or small == c or unicodedata.normalize("NFD", c) != c:
            continue
        at, distance = ord(c), (ord(small) - ord(c)) % 0x10000
        if found and found[-1][3] == distance:
            run = found[-1]
            step = at - run[1]
            if step in ((1, 2) if run[0] == run[1] else (run[2],)):
                run[1:3] = at, step
                continue
        found.append([at, at, 1, distance])
    return found


def emit(name, doc, numbers):
    body = ", ".join(f"0x{n:x}" for n in numbers)
    return f"/// {doc}\npub(super) const {name}: &[u16] = &[{body}];\n"


single = [[c, *b] for c, b in bases() if len(b) == 1]
pairs = [[c, *b] for c, b in bases() if len(b) == 2]
assert all(len(b) <= 2 for _, b in bases())
span = lambda name, doc, test: emit(name, doc, sum(ranges(test), []))
out = f"""//! Unicode {unicodedata.unidata_version} for the tokenizer, made by `tools/unicode_tables.py`.

"""
out += "\n".join([
    span("PUNCTUATION", "Punctuation beyond ASCII: first and last of each run.", category("P")),
    span("MARKS", "Non-spacing marks: first and last of each run.", category("Mn")),
    span("CONTROLS", "Control, format and private characters beyond ASCII: first and last of each run.", is_control),
    emit("BASES", "Characters, each before what is left of its canonical decomposition without marks.", sum(single, [])),
    emit("PAIRS", "The same where two characters are left: three entries each.", sum(pairs, [])),
    emit("CAPITALS", "Characters with a lower case, none of them above: first, last and step of each run, and the distance.", sum(capitals(), [])),
])
path = pathlib.Path(__file__).parent.parent / "src/client/unicode/tables.rs"
path.write_text(out)
print(len(single), "bases,", len(pairs), "pairs")
