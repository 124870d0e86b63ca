"""Stage 2: semantic tokens → the codes of codebooks 0 and 1, frame by frame, in sliding windows. Tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.engine.loop import Engine, Row, decode
from bark_core.model.transformer import CausalGPT
from bark_core.types import History, SamplingOptions

NO_END = -1.0
"""The coarse stage draws no end: it runs for as many steps as the semantic tokens ask."""


class CoarseRow(Row):
    """One sequence of semantic tokens on its way to codes. `prefilled` counts the positions its prompts have fed."""

    stage = "coarse"

    def __init__(
        self, model: CausalGPT, config: BarkConfig, semantic: np.ndarray, history: History | None, generator: torch.Generator
    ) -> None:
        super().__init__(generator)
        self._model, self._config = model, config
        past_semantic, past_coarse = trim_history(config, history)
        self._semantic = [*past_semantic, *semantic.tolist()]
        self._n_history = len(past_semantic)
        self._flat = past_coarse
        self._start = len(past_coarse)
        self.n_steps = count_steps(config, len(semantic))
        self.n_done = 0
        self._fed: list[int] = []
        self.prefilled = 0
        self.done = self.n_steps == 0

    def prompt(self) -> tuple[Tensor, int] | None:
        if self.n_done % self._config.sliding_window:
            return None
        ids = self._window_prompt()
        # A window's cache stays good for the next one as far as both begin alike; the last token is always fed anew.
        shared = _common_prefix(self._fed, ids[:-1])
        self._fed = ids
        if shared == len(ids) - 1 == self.position:
            self.token = ids[-1]
            return None
        self.prefilled += len(ids) - shared
        self.position = len(ids) - 1
        fresh = torch.tensor(ids[shared:], dtype=torch.int64, device=self._model.wpe.weight.device)
        return self._model.embed(fresh), shared

    def _window_prompt(self) -> list[int]:
        """Return the ids that a window starts from: a slice of semantic tokens, padded, the infer token, the codes so far."""
        config = self._config
        now = self._n_history + round(self.n_done / config.coarse_per_semantic)
        window = config.coarse_semantic_window
        piece = self._semantic[max(0, now - config.max_semantic_history) :][:window]
        padding = [config.coarse_semantic_pad_token] * (window - len(piece))
        return [*piece, *padding, config.coarse_infer_token, *self._flat[-config.max_coarse_history :]]

    def head(self, ahead: int = 0) -> tuple[int, int]:
        config = self._config
        return config.semantic_vocab_size + config.codebook_size * ((self.n_done + ahead) % 2), config.codebook_size

    def steps_ahead(self) -> int:
        window = self._config.sliding_window
        return min(self.n_steps, (self.n_done // window + 1) * window) - self.n_done - 1

    def is_halted(self) -> bool:
        return self.done or self.n_done % self._config.sliding_window == 0

    def accept(self, index: int) -> None:
        if self.position == len(self._fed):  # a step fed the token; how far an engine has run ahead, prompts do not tell
            self._fed.append(self.token)
        self.token = self.head()[0] + index
        self.position += 1
        self._flat.append(self.token)
        self.n_done += 1
        self.done = self.n_done == self.n_steps

    def codes(self) -> np.ndarray:
        """Return the generated codes, (2, T) int64."""
        config = self._config
        frames = np.array(self._flat[self._start :], dtype=np.int64).reshape(-1, config.n_coarse_codebooks)
        offsets = config.semantic_vocab_size + config.codebook_size * np.arange(config.n_coarse_codebooks)
        return (frames - offsets).T


def trim_history(config: BarkConfig, history: History | None) -> tuple[list[int], list[int]]:
    """Return the voice's semantic tokens and flat coarse tokens that the coarse stage looks back on.

    Quirks kept: the number of flat tokens may be odd (Python's rounding), so that the history begins with a code of
    codebook 1, and the last frame is dropped, which aligns the two in time.
    """
    if history is None:
        return [], []
    ratio = config.coarse_per_semantic
    offsets = config.semantic_vocab_size + config.codebook_size * np.arange(config.n_coarse_codebooks)
    flat = (history.coarse + offsets[:, None]).T.reshape(-1)
    n_semantic = len(history.semantic)
    n = min(config.max_semantic_history, n_semantic - n_semantic % 2, math.floor(len(flat) / ratio))
    n_flat = round(n * ratio)
    return history.semantic[n_semantic - n :].tolist(), flat[len(flat) - n_flat :][:-2].tolist()


def count_steps(config: BarkConfig, n_semantic: int) -> int:
    """Return how many flat tokens `n_semantic` semantic tokens become: always even."""
    return math.floor(n_semantic * config.coarse_per_semantic / config.n_coarse_codebooks) * config.n_coarse_codebooks


def run_coarse(engine: Engine, rows: Sequence[CoarseRow], options: SamplingOptions) -> Generator[list[Row]]:
    """Run rows to their ends; yield the rows that took a step, after each step."""
    return decode(engine, (row for row in rows if not row.done), options, NO_END)


def _common_prefix(one: list[int], other: list[int]) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
