"""What the semantic model learns from: lines of text and tokens, sorted by stage and length, drawn in batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bark_core.config import BarkConfig
from bark_core.text.english import EnglishReader
from bark_core.text.wordpiece import TextEncoder
from training.alignment import align, learn_emission
from training.demo import bare_characters, make_tokenizer
from training.lexicon import load_lexicon
from training.phonetokens import split_phones
from training.recordings import shard_paths
from training.tokens import load_samples
from training.workspace import Workspace

POSITIONS = 4096
"""Positions in a batch, about."""

N_VALIDATION = 64
_CHARACTERS = bare_characters()
_KNOWN = (1.0, 1.0, 1.0, 1.0, 0.7, 1.0, 0.7, 0.0)
"""The share of words that come in phones, by a line's number: what no lexicon has comes in letters, and has to be read, too."""


@dataclass(frozen=True, eq=False)
class Line:
    """One text as ids without offset, its semantic tokens (S,), and the place in the text that each of them comes from (S,)."""

    ids: list[int]
    semantic: np.ndarray
    letters: np.ndarray

    @property
    def size(self) -> int:
        """Positions it takes."""
        return len(self.ids) + len(self.semantic) + 1


class Lines:
    """All lines of the teacher of durations, by stage and length; those kept for validation apart."""

    def __init__(self, workspace: Workspace, config: BarkConfig) -> None:
        self._workspace, self._encoders = workspace, make_encoders(load_lexicon(workspace), config.max_text_tokens)
        self._longest = config.max_semantic_steps - 1
        self._seen: set[str] = set()
        self._emission = self._learn_letters()
        self.stages: dict[str, list[Line]] = {}
        self.held: list[Line] = []
        self.refresh()

    def refresh(self) -> None:
        """Read shards that have come since the last time."""
        for path in shard_paths(self._workspace.need("tokens", step="tokens"), "*-rms-*"):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            lines = self.stages.setdefault(path.stem.split("-")[2], [])
            for i, sample in enumerate(load_samples(path)):
                # A final stop changes nothing of the teacher's speech, so that half the texts may have one.
                bare = i % 2 and sample.text[-1].isalnum()
                encoder = self._encoders[_KNOWN[i // 2 % len(_KNOWN)]]
                ids = encoder.tokenize(sample.text + "." if bare else sample.text)
                if len(ids) <= encoder.max_tokens and len(sample.semantic) <= self._longest:
                    lines.append(Line(ids, sample.semantic, self._find_letters(ids, sample.semantic)))
            if not self.held and "phrases" in path.stem:
                count = min(N_VALIDATION, len(lines) // 2)
                self.held, lines[:count] = lines[:count], []
        for lines in self.stages.values():
            lines.sort(key=lambda line: line.size)

    def _learn_letters(self) -> np.ndarray:
        """Return how letters sound, learned from the shards that were there first, and kept."""
        path = self._workspace.path("tokens", "letters.npy")
        if not path.exists():
            shards = shard_paths(self._workspace.need("tokens", step="tokens"), "*-rms-*")
            samples = [sample for shard in shards[:12] for sample in list(load_samples(shard))[:300]]
            pairs = [(_CHARACTERS[self._encoders[0.7].tokenize(each.text)], split_phones(each.semantic)[0]) for each in samples]
            np.save(path, learn_emission(pairs, len(_CHARACTERS)))
        return np.load(path)

    def _find_letters(self, ids: list[int], semantic: np.ndarray) -> np.ndarray:
        phones, counts = split_phones(semantic)
        return np.repeat(align(_CHARACTERS[ids], phones, self._emission), counts)

    def draw(self, rng: np.random.Generator, weights: dict[str, float], room: int) -> list[Line]:
        """Return lines of similar length, so many that they take about POSITIONS with `room` positions besides."""
        names = [name for name in weights if self.stages.get(name)]
        shares = np.array([weights[name] for name in names])
        lines = self.stages[names[int(rng.choice(len(names), p=shares / shares.sum()))]]
        at = int(rng.integers(len(lines)))
        count = max(4, min(128, POSITIONS // (lines[at].size + room), len(lines)))
        near = lines[max(0, min(at - count, len(lines) - 3 * count)) :][: 3 * count]
        return [near[i] for i in rng.permutation(len(near))[:count]]


def make_encoders(lexicon: dict[str, str], max_tokens: int) -> dict[float, TextEncoder]:
    """Return an encoder for each share of the lexicon's words that it knows; those left out are spread over all of them."""
    return {
        share: TextEncoder(make_tokenizer(), max_tokens, EnglishReader({word: signs for i, (word, signs) in enumerate(lexicon.items()) if i % 10 < 10 * share}).read)
        for share in set(_KNOWN)
    }
