"""Which common words the semantic model reads wrong, and other spellings that it reads right: `reading.json`, what the demo's reader brings.

English spelling has to be known word by word, and a model of four million weights knows the exceptions badly; but what it does know of letters
is enough to be told, in letters, how they are said: "vase" is "vayss". Each word is asked after in the middle of a sentence, and so is each
spelling that might do; one that is no better than the word's own is not taken.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bark_core import Bark
from bark_core.checkpoint.hashes import read_sums, write_sums
from bark_core.text.wordpiece import READING
from training.export import write_reading
from training.graphemes import spell_otherwise
from training.reading import FRAMES, Readings, ask_model, ask_teacher
from training.vocabulary import Vocabulary
from training.workspace import DEMO, SEED

Ask = Callable[[Sequence[str]], Readings]
"""Returns how words are read, those left out that cannot be told from their neighbours."""

GRAMMAR = frozenset(
    (
        "that", "with", "from", "were", "been", "being", "they", "them", "their", "your", "this", "these", "those", "which", "whom", "whose", "what", "when",
        "where", "here", "there", "then", "than", "into", "onto", "over", "under", "above", "below", "between", "across", "through", "along", "against",
        "beneath", "behind", "beside", "near", "down", "about", "after", "before", "until", "during", "within", "without", "upon", "toward", "because", "while",
        "although", "though", "unless", "could", "might", "must", "shall", "should", "will", "would", "does", "done", "have", "having", "some", "each", "every",
        "both", "either", "neither", "other", "another", "such", "same", "very", "also", "only", "just", "more", "most", "much", "many", "less", "least",
    )
)  # fmt: skip
_ROUNDS = 2
_SPELLINGS = 6
"""Spellings that are tried of each word in a round."""

_ALIKE = (frozenset(("ax", "ih")), frozenset(("aa", "ao")), frozenset(("ax", "ah")))
"""Phones that are heard for each other in words of more than one."""


def distance(wanted: Sequence[str], read: Sequence[str]) -> float:
    """Return how far a reading is from what is wanted, in phones; a phone for one that is much like it counts a tenth."""
    row = [float(i) for i in range(len(read) + 1)]
    for i, phone in enumerate(wanted, 1):
        above, row[0] = row[0], float(i)
        for j, other in enumerate(read, 1):
            cost = 0.0 if phone == other else 0.1 if {phone, other} in _ALIKE else 1.0
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + cost)
    return row[-1]


def find_respellings(words: Sequence[str], wanted: Readings, asks: Sequence[Ask], rng: random.Random) -> dict[str, str]:
    """Return spellings for the words that the first of `asks` reads otherwise than `wanted`, which come nearer by half a phone or more with all of them."""
    ask, *others = asks
    best: dict[str, tuple[float, str]] = {}
    read = ask(words)
    for word in words:
        if word in read and wanted.get(word):
            best[word] = (distance(wanted[word].split(), read[word].split()), word)
    first = {word: off for word, (off, _) in best.items()}
    wrong = [word for word, off in first.items() if off >= 0.5]
    print(f"{len(wrong)} of {len(first)} words are read wrong", flush=True)
    for turn in range(_ROUNDS):
        tries = {
            word: spell_otherwise(best[word][1], wanted[word].split(), read.get(best[word][1], "").split(), _SPELLINGS, rng, whole=turn > 0)
            for word in wrong
            if best[word][0] >= 0.5
        }
        asked = [spelling for spellings in tries.values() for spelling in spellings]
        read |= ask(list(dict.fromkeys(asked)))
        for word, spellings in tries.items():
            for spelling in spellings:
                if spelling in read:
                    best[word] = min(best[word], (distance(wanted[word].split(), read[spelling].split()), spelling), key=lambda each: each[0])
        print(f"round {turn + 1}: {sum(best[word][0] >= 0.5 for word in wrong)} of them still are", flush=True)
    found = {word: best[word][1] for word in sorted(wrong) if best[word][0] <= first[word] - 0.5}
    for other in others:
        found = confirm(found, wanted, other)
        print(f"{len(found)} hold in another sentence", flush=True)
    return found


def confirm(found: Mapping[str, str], wanted: Readings, ask: Ask) -> dict[str, str]:
    """Return the spellings that are nearer than the word's own with `ask`, too."""
    read = ask([*found, *found.values()])

    def off(word: str, spelling: str) -> float:
        return distance(wanted[word].split(), read[spelling].split()) if spelling in read else math.inf

    return {word: spelling for word, spelling in found.items() if off(word, spelling) <= off(word, word) - 0.5}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Find spellings that the semantic model reads right.")
    parser.add_argument("--checkpoint", type=Path, default=DEMO, help="its folder (default: weights/demo)")
    parser.add_argument("--words", type=int, default=10_000, help="how many of the commonest words to look at")
    parser.add_argument("--to", type=Path, default=None, help="the file to write (default: the checkpoint's reading.json)")
    given = parser.parse_args()
    bark = Bark.load(given.checkpoint, device="cpu", precision="bf16")
    # Words of grammar are said by what stands around them, and known best of all.
    common = [word for word in Vocabulary().list_words()[: given.words] if len(word) > 3 and word not in GRAMMAR]
    asks = [partial(ask_model, bark, frame=frame) for frame in FRAMES]
    found = find_respellings(common, ask_teacher(common), asks, random.Random(SEED))
    write_reading(given.to or given.checkpoint / READING, found)
    if given.to is None:
        write_sums(given.checkpoint, {*read_sums(given.checkpoint), given.checkpoint / READING})
    print(f"{len(found)} words are spelled otherwise")
