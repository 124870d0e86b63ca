"""Reads English out of an installed WordNet (Debian's `wordnet-base`): lemmas, example phrases and definitions. Its text is never committed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
_PARTS = ("noun", "verb", "adj", "adv")
_SPEAKABLE = re.compile(r"[A-Za-z0-9 ,.;:!?'\-]+")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def read_glosses(folder: Path = FOLDER) -> Iterator[tuple[str, list[str]]]:
    """Yield each entry's definition and its example phrases. Raises: SystemExit if WordNet is not installed."""
    for part in _PARTS:
        path = folder / f"data.{part}"
        if not path.exists():
            raise SystemExit(f"{path} is missing; install WordNet's files (Debian: apt-get install wordnet-base).")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(" ") or " | " not in line:
                continue
            gloss = line.split(" | ", 1)[1].strip()
            examples = re.findall(r'"([^"]+)"', gloss)
            definition = re.sub(r"\([^)]*\)", "", gloss.split('"')[0])
            yield " ".join(definition.strip(" ;:").split()), [" ".join(example.split()) for example in examples]


def read_lemmas(folder: Path = FOLDER) -> list[str]:
    """Return the single words that WordNet lists, lower case, without names and abbreviations it writes otherwise."""
    words: set[str] = set()
    for part in _PARTS:
        for line in (folder / f"index.{part}").read_text(encoding="utf-8", errors="replace").splitlines():
            lemma = line.split(" ", 1)[0]
            if _WORD.fullmatch(lemma) and 2 <= len(lemma) <= 16:
                words.add(lemma)
    return sorted(words)


def is_speakable(text: str) -> bool:
    """Say whether a text has nothing but letters, digits and everyday punctuation."""
    return bool(_SPEAKABLE.fullmatch(text)) and any(character.isalpha() for character in text)


def read_index(part: str, folder: Path = FOLDER) -> list[str]:
    """Return the single words that WordNet lists as one part of speech, lower case, the most familiar not marked."""
    lines = (folder / f"index.{part}").read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted({lemma for lemma in (line.split(" ", 1)[0] for line in lines) if _WORD.fullmatch(lemma) and 2 <= len(lemma) <= 16})


def read_exceptions(part: str, folder: Path = FOLDER) -> dict[str, list[str]]:
    """Return the irregular forms of words, by the word, in the order of the alphabet."""
    forms: dict[str, list[str]] = {}
    for line in (folder / f"{part}.exc").read_text(encoding="utf-8", errors="replace").splitlines():
        form, *words = line.split()
        if _WORD.fullmatch(form):
            for word in words:
                forms.setdefault(word, []).append(form)
    return forms


def read_transitive(folder: Path = FOLDER) -> list[str]:
    """Return the single verbs that take an object in some sense: WordNet's sentence frames 8 and 9, "Somebody ----s something" or "somebody"."""
    verbs: set[str] = set()
    for line in (folder / "data.verb").read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith(" ") and re.search(r"\+ 0[89] 00", line):
            fields = line.split(" | ", 1)[0].split()
            verbs.update(word for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2] if _WORD.fullmatch(word) and len(word) > 1)
    return sorted(verbs)
