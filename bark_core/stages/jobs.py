"""What goes through the stages and what comes of it: jobs, their randomness, takes and results. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from bark_core.config import BarkConfig
from bark_core.errors import GenerationError, InvalidInput
from bark_core.types import History, check_seed, choose_seed


class Randomness:
    """A seed's generators, one for each device that draws: on one device, one generator goes through all stages.

    `seed`: a whole number, None for one chosen at random, or a generator to go on with.
    """

    def __init__(self, seed: int | torch.Generator | None) -> None:
        self._given = seed if isinstance(seed, torch.Generator) else None
        self._seed = 0 if isinstance(seed, torch.Generator) else choose_seed() if seed is None else check_seed(seed)
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator for a device. Raises: InvalidInput where one was given that lives elsewhere."""
        if self._given is not None:
            if self._given.device.type != device.type:
                raise InvalidInput(f"The generator given is on {self._given.device}, and this stage draws on {device}; make it there or give a seed.")
            return self._given
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


@dataclass(eq=False)
class Job:
    """One text on its way: its token ids, the voice that it follows, its randomness, and the text as messages show it.

    `notes` are sentences for the caller: whoever meets something that should be known adds one.
    """

    text: str
    text_ids: Sequence[int]
    voice: History | None
    randomness: Randomness
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class SemanticTake:
    """What one drawing of semantic tokens gave: tokens (S,) int64 and their mean log-probability.

    `failed`: the speech ended before its first token, each time it was drawn. `reached_ceiling`: it took all the tokens
    that one utterance may have, and found no end.
    """

    tokens: np.ndarray
    logprob: float
    failed: bool
    reached_ceiling: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What the stages made of one job: semantic (S,), coarse (2, T), fine (8, T) int64, audio (320 T,) float32.

    `logprobs`: the mean log-probability of what was drawn, by stage.
    """

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    audio: np.ndarray
    logprobs: dict[str, float]


def check_takes(config: BarkConfig, jobs: Sequence[Job], takes: Sequence[SemanticTake]) -> None:
    """Note what was cut off at the ceiling. Raises: GenerationError for a take without tokens."""
    for job, take in zip(jobs, takes, strict=True):
        if take.failed:
            raise GenerationError(explain_failure(job.text))
        if take.reached_ceiling:
            job.notes.append(explain_ceiling(config))


def explain_failure(text: str) -> str:
    """Return the sentence for a text whose every draw ended before its first token."""
    return (
        f"The model ended the speech of {text[:60]!r} before it began, four times over. "
        "Try another seed, a longer or clearer text, or another voice."
    )


def explain_ceiling(config: BarkConfig) -> str:
    """Return the sentence for speech that found no end."""
    longest_s = config.max_semantic_steps / config.semantic_rate_hz
    return (
        f"The speech was cut off at {config.max_semantic_steps} semantic tokens ({longest_s:.1f} seconds), the most that there are, "
        "before it came to an end: speak the text in shorter pieces."
    )
