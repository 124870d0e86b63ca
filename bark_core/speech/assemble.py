"""Spoken lines → one speech: samples joined, tokens one after the other, and when each utterance sounds. Knows no models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bark_core.audio.joins import Joiner
from bark_core.audio.samples import Whole
from bark_core.config import STAGES, BarkConfig
from bark_core.speech.lines import Line
from bark_core.speech.plan import Plan
from bark_core.types import Timings, Utterance


class Assembly:
    """What has been spoken of one plan. `add` takes its lines in order and gives the samples that each adds."""

    def __init__(self, plan: Plan, config: BarkConfig) -> None:
        self.plan, self._config = plan, config
        self.sample_rate_hz = config.sample_rate_hz
        self._joiner = Joiner(config.sample_rate_hz)
        self._begin = time.perf_counter()
        shapes = {"semantic": (0,), "coarse": (config.n_coarse_codebooks, 0), "fine": (config.n_fine_codebooks, 0)}
        self._tokens = {stage: [np.zeros(shapes[stage], np.int64)] for stage in STAGES}
        self._logprobs: dict[str, list[tuple[float, int]]] = {stage: [] for stage in STAGES}
        self.audio = Whole()
        self.spoken: list[tuple[Line, Utterance]] = []
        self.notes: list[str] = []
        self.first_audio_s = 0.0
        self.reached_ceiling = False
        self.is_plain = plan.is_plain

    def add(self, line: Line) -> np.ndarray:
        """Take a finished line; return the samples (n,) that it adds to the speech."""
        best, utterance = line.takes[0], line.utterance
        start = self._joiner.position
        added = self._joiner.add_pause(utterance.pause_before_s)
        if best.result is not None:
            self.is_plain = self.is_plain and not line.n_splits
            if self.is_plain:
                added, start, end = best.result.audio, 0, len(best.result.audio)
            else:
                joined = self._joiner.add(best.result.audio, utterance.pause_after_s)
                added, start, end = np.concatenate((added, joined.audio)), joined.start, joined.end
            for stage in STAGES:
                tokens = getattr(best.result, stage)
                self._tokens[stage].append(tokens)
                self._logprobs[stage].append((best.result.logprobs[stage], tokens.size))
            self.first_audio_s = self.first_audio_s or time.perf_counter() - self._begin
            rate = self._config.sample_rate_hz
            self.spoken.append((line, replace(utterance, start_s=start / rate, end_s=end / rate, seed=best.seed, n_takes=line.n_drawn)))
        self.reached_ceiling = self.reached_ceiling or best.semantic.reached_ceiling
        self.notes += [note for note in line.notes if note not in self.notes]
        self.audio.add(added)
        return added

    def tokens(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return semantic (S,), coarse (2, T) and fine (8, T) of all utterances, one after the other."""
        semantic, coarse, fine = (np.concatenate(self._tokens[stage], axis=-1) for stage in STAGES)
        return semantic, coarse, fine

    def time(self, seconds: Mapping[str, float], n_samples: int) -> Timings:
        """Return where the time went, given the seconds of each stage and the samples made."""
        counts = {stage: sum(tokens.size for tokens in self._tokens[stage]) for stage in STAGES}
        logprobs = {
            stage: sum(mean * n for mean, n in each) / max(1, sum(n for _, n in each)) for stage, each in self._logprobs.items()
        }
        audio_s = n_samples / self._config.sample_rate_hz
        return Timings(dict(seconds), counts, self.first_audio_s, audio_s, sum(seconds.values()), logprobs)
