"""What the semantic model makes of words, as phones, many at once, and what the teacher makes of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence

import torch

from bark_core import Bark
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import SamplingOptions
from training.phones import PAUSE, PHONES
from training.phonetokens import split_phones

N_ROWS = 48
_TOGETHER = 5
"""Words that one text asks after."""

_LONGEST_S = 14.0
FRAMES = (("the ", " was"), ("my ", " fell"), ("no ", " came"))
"""What a word stands between, so that neither the start of speech nor its end makes it special: two phones before it, three after."""

Readings = dict[str, str]
"""Words, and their phones with one space between."""


def ask_model(bark: Bark, words: Sequence[str], frame: tuple[str, str] = FRAMES[0]) -> Readings:
    """Return how the model reads words in the middle of a short sentence, at its surest; a word that it runs into its neighbours is left out."""
    return _ask(words, lambda texts: _read_texts(bark, texts), _TOGETHER, frame)


def ask_teacher(words: Sequence[str]) -> Readings:
    """Return how flite reads words in the middle of the same sentence."""
    return _ask(words, lambda texts: [_speak(text) for text in texts], 20, FRAMES[0])


def _ask(words: Sequence[str], read: Callable[[list[str]], list[list[int]]], together: int, frame: tuple[str, str]) -> Readings:
    found: Readings = {}
    left = list(words)
    for size in (together, 1):
        groups = [left[i : i + size] for i in range(0, len(left), size)]
        left = []
        texts = [". ".join(word.join(frame) for word in group) + "." for group in groups]
        for group, phones in zip(groups, read(texts), strict=True):
            parts = list(_split(phones))
            if len(parts) != len(group):
                left += group if size > 1 else []
                continue
            found |= {word: _trim(part) for word, part in zip(group, parts, strict=True)}
    return found


def _split(phones: list[int]) -> Iterator[list[str]]:
    """Yield what lies between pauses."""
    part: list[str] = []
    for phone in [*phones, PAUSE]:
        if phone != PAUSE:
            part.append(PHONES[phone])
        elif part:
            yield part
            part = []


def _trim(phones: list[str]) -> str:
    """Take off the sentence around a word."""
    return " ".join(phones[2:-3])


def _read_texts(bark: Bark, texts: list[str]) -> list[list[int]]:
    read: list[list[int]] = []
    model = bark.runtime.causal("semantic")
    with torch.inference_mode(), bark.runtime.lend_engine("semantic", N_ROWS) as engine:
        for first in range(0, len(texts), N_ROWS):
            part = texts[first : first + N_ROWS]
            rows = [SemanticRow(model, bark.config, bark.encoder.encode(text), None, torch.Generator().manual_seed(0), _LONGEST_S) for text in part]
            for _ in run_semantic(engine, rows, SamplingOptions(0.0), 0.2):
                pass
            read += [split_phones(torch.tensor(row.tokens).numpy())[0].tolist() for row in rows]
    return read


def _speak(text: str) -> list[int]:
    command = ["flite", "-voice", "rms", "-psdur", "-o", "/dev/null", "-t", f" {text}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise SystemExit("flite is missing; install it (Debian: apt-get install flite).") from error
    return [PHONES.index(item.rsplit(":", 1)[0]) for item in done.stdout.split()]
