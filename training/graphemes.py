"""How English writes each phone, and other spellings of a word that might be said as it is."""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence

GRAPHEMES: dict[str, tuple[str, ...]] = {
    "aa": ("o", "ah", "a", "ar"), "ae": ("a", "aa"), "ah": ("u", "uh", "o", "ou"), "ao": ("aw", "au", "o", "a", "oa"), "aw": ("ow", "ou"),
    "ax": ("a", "u", "e", "o", "i", "uh"), "ay": ("i", "y", "igh", "ie", "ye"), "b": ("b", "bb"), "d": ("d", "dd", "ed"), "dh": ("th",),
    "eh": ("e", "ea", "eh", "ai"),
    "el": ("le", "el", "ul"), "em": ("em", "um"), "en": ("en", "un", "on"), "er": ("er", "ur", "ir", "or", "ar", "urr"), "ey": ("ay", "ai", "a", "ei", "ey"),
    "g": ("g", "gg", "gh"), "ih": ("i", "e", "ih", "y", "a"), "iy": ("ee", "ea", "y", "e", "i", "ie"), "jh": ("j", "g", "dg", "dge"), "l": ("l", "ll"),
    "m": ("m", "mm", "mb"), "n": ("n", "nn", "kn"), "ng": ("ng", "n"), "ow": ("o", "oh", "oa", "ow", "oe"), "oy": ("oy", "oi"), "r": ("r", "rr", "wr"),
    "uh": ("oo", "u", "ou"), "uw": ("oo", "u", "ew", "ue", "ou"), "v": ("v", "vv", "ve"), "w": ("w", "wh", "u"), "y": ("y", "i"), "z": ("z", "zz", "s", "se"),
    "zh": ("zh", "si", "s", "ge"), "ch": ("ch", "tch", "t"), "f": ("f", "ff", "ph"), "hh": ("h",), "k": ("k", "c", "ck", "q", "ch"), "p": ("p", "pp"),
    "s": ("s", "ss", "c", "ce", "se"), "sh": ("sh", "ti", "ci", "ssi", "ch"), "t": ("t", "tt", "ed"), "th": ("th",),
}  # fmt: skip
"""Phones in their usual spellings, the plainest first."""


def cut_word(word: str, phones: Sequence[str]) -> list[str]:
    """Return the letters that stand for each phone, the word cut where its spelling is most usual; a phone may have none."""
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for phone in phones:
        row: dict[int, tuple[float, int]] = {}
        for start, (cost, _) in best[-1].items():
            for size in range(min(4, len(word) - start) + 1):
                chunk = word[start : start + size]
                known = chunk in GRAPHEMES[phone]
                more = 0.0 if known else 1.5 if not chunk else 0.6 * size + (0.0 if any(chunk.startswith(each) for each in GRAPHEMES[phone]) else 1.0)
                if start + size not in row or cost + more < row[start + size][0]:
                    row[start + size] = (cost + more, start)
        best.append(row)
    end = min(best[-1], key=lambda at: best[-1][at][0] + 2 * (len(word) - at))
    cuts = [word[end:]]
    for row in reversed(best[1:]):
        start = row[end][1]
        cuts.append(word[start:end])
        end = start
    cuts.reverse()
    cuts[-2:] = [cuts[-2] + cuts[-1]]  # letters left over go with the last phone
    return cuts


def spell_otherwise(word: str, wanted: Sequence[str], read: Sequence[str], count: int, rng: random.Random, whole: bool = False) -> list[str]:
    """Return other spellings of a word with the phones `wanted`, which was read as `read`: what was read wrong is written in other ways.

    `whole`: half of them spell every phone anew.
    """
    chunks = cut_word(word, wanted)
    wrong: set[int] = set()
    for kind, first, last, *_ in difflib.SequenceMatcher(None, list(wanted), list(read), autojunk=False).get_opcodes():
        if kind != "equal":
            wrong |= set(range(first, last)) or {max(0, first - 1), min(first, len(wanted) - 1)}
    made: dict[str, None] = {}
    for _ in range(8 * count):
        every = whole and len(made) >= count // 2
        near = {at + rng.choice((-1, 0, 1)) for at in wrong} | wrong if rng.random() < 0.5 else wrong
        parts = [_pick(phone, rng) if every or at in near else chunk for at, (phone, chunk) in enumerate(zip(wanted, chunks, strict=True))]
        spelling = "".join(parts)
        if spelling != word and spelling.isascii() and spelling.isalpha():
            made.setdefault(spelling)
        if len(made) == count:
            break
    return list(made)


def _pick(phone: str, rng: random.Random) -> str:
    """Return a spelling of a phone, the plainer ones sooner."""
    options = GRAPHEMES[phone]
    return options[min(int(rng.expovariate(0.7)), len(options) - 1)]
