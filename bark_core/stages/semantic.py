"""Stage 1: text ids → semantic tokens at 49.9 Hz. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.engine.loop import STOPPED, Engine, Row, decode
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions

MAX_DRAWS = 4
"""A text whose speech ends before its first token is drawn once and again at most three times."""


class SemanticRow(Row):
    """One text: `tokens` grows as they are kept; `failed` where every draw ended at once, `reached_ceiling` where none ended at all."""

    stage = "semantic"

    def __init__(
        self,
        model: CausalGPT,
        config: BarkConfig,
        text_ids: Sequence[int],
        history: np.ndarray | None,
        generator: torch.Generator,
        max_seconds: float | None,
    ) -> None:
        super().__init__(generator)
        self._model, self._config = model, config
        self._text_ids, self._history = text_ids, history
        self._max_seconds = max_seconds
        self._seconds = 0.0
        self._draws = 0
        self._prefilled = False
        self.tokens: list[int] = []
        self.failed = False
        self.reached_ceiling = False

    def prompt(self) -> tuple[Tensor, int] | None:
        if self._prefilled:
            return None
        self._prefilled = True
        device = self._model.wpe.weight.device
        text, history = semantic_prompt(self._config, self._text_ids, self._history)
        text, history = text.to(device), history.to(device)
        infer = torch.tensor([self._config.semantic_infer_token], dtype=torch.int64, device=device)
        embed = self._model.embed
        return torch.cat([embed(text) + embed(history), embed(infer)]), 0  # (257, C)

    def head(self, ahead: int = 0) -> tuple[int, int]:
        del ahead  # every step draws from the same head
        return 0, self._config.semantic_vocab_size + 1

    def steps_ahead(self) -> int:
        return self._config.max_semantic_steps - len(self.tokens) - 1

    def is_halted(self) -> bool:
        return self.done or not self._prefilled

    def accept(self, index: int) -> None:
        config = self._config
        if index == STOPPED:
            if self.tokens:
                self.done = True
                return
            self._draws += 1
            self._prefilled = False
            self.done = self.failed = self._draws == MAX_DRAWS
            return
        self.token = index
        self.position = config.max_text_tokens + 1 + len(self.tokens)
        self.tokens.append(index)
        # Quirk: the original adds up seconds token by token; at 10.0 s the sum stops one token before a division would.
        self._seconds += 1 / config.semantic_rate_hz
        too_long = self._max_seconds is not None and self._seconds > self._max_seconds
        self.reached_ceiling = not too_long and len(self.tokens) == config.max_semantic_steps
        self.done = too_long or self.reached_ceiling


def semantic_prompt(config: BarkConfig, text_ids: Sequence[int], history: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """Return the two id rows whose embeddings are summed, (256,) each: the text's, offset and padded, and the history's last tokens, padded."""
    window = config.max_text_tokens
    text, past = (
        torch.full((window,), pad, dtype=torch.int64, device="cpu") for pad in (config.text_pad_token, config.semantic_pad_token)
    )
    text[: len(text_ids)] = torch.tensor(text_ids, dtype=torch.int64, device="cpu") + config.text_encoding_offset
    if history is not None:
        kept = torch.from_numpy(np.ascontiguousarray(history[-window:]))
        past[: len(kept)] = kept
    return text, past


def run_semantic(engine: Engine, rows: Sequence[SemanticRow], options: SamplingOptions, min_eos_p: float | None) -> Generator[list[Row]]:
    """Run texts to their ends; yield the rows that took a step, after each step."""
    return decode(engine, rows, options, min_eos_p)
