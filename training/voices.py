"""Spoken samples of both teachers in memory, and the voice prompts that are cut from them."""

from __future__ import annotations

import numpy as np

from bark_core.types import History
from training.demo import make_config
from training.recordings import shard_paths
from training.tokens import Sample, load_samples
from training.workspace import VOICES, Workspace

PROMPT_SECONDS = (1.8, 2.4)
"""How long the recording is that becomes a preset: as much as the coarse stage looks back on."""

N_VALIDATION = 24
"""Samples of each voice kept for validation."""


class SpokenSamples:
    """All samples whose sound was kept, by voice; the first of each are `held` for validation."""

    def __init__(self, workspace: Workspace) -> None:
        self.samples: dict[str, list[Sample]] = {}
        self.held: dict[str, list[Sample]] = {}
        for voice in VOICES:
            paths = shard_paths(workspace.need("tokens", step="tokens"), f"heard-{voice}-*")
            found = [sample for path in paths for sample in load_samples(path) if len(sample.semantic) > 12]
            count = min(N_VALIDATION, len(found) // 4)
            self.held[voice], self.samples[voice] = found[:count], found[count:]

    def draw(self, rng: np.random.Generator) -> tuple[str, Sample, History | None]:
        """Return a voice, one of its samples and a voice prompt, or None for about a third of the first voice's.

        Without a prompt the models speak as the first voice: a mixture of two would be neither.
        """
        voice = VOICES[int(rng.integers(len(VOICES)))]
        sample = self._pick(rng, voice)
        if voice == VOICES[0] and rng.random() < 0.4:
            return voice, sample, None
        return voice, sample, as_history([self._pick(rng, voice)])

    def _pick(self, rng: np.random.Generator, voice: str) -> Sample:
        pool = self.samples[voice]
        return pool[int(rng.integers(len(pool)))]


def as_history(samples: list[Sample]) -> History:
    """Return the voice prompt that these samples make, one after the other."""
    codes = np.concatenate([sample.codes for sample in samples], axis=1)
    return History(np.concatenate([sample.semantic for sample in samples]), codes[:2], codes)


def pick_voices(workspace: Workspace) -> dict[str, History]:
    """Return each teacher's voice, made of recordings that come to a few seconds."""
    voices: dict[str, History] = {}
    rate_hz = make_config(workspace.smoke).semantic_rate_hz
    for i, name in enumerate(VOICES):
        paths = shard_paths(workspace.need("tokens", step="tokens"), f"heard-{name}-*")
        samples = [sample for path in paths[:1] for sample in load_samples(path)]
        fitting = [each for each in samples if PROMPT_SECONDS[0] <= len(each.semantic) / rate_hz <= PROMPT_SECONDS[1]]
        voices[f"demo_speaker_{i}"] = as_history([(fitting or samples)[0]])
    return voices
