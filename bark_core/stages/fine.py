"""Stage 3: the codes of codebooks 0 and 1 → all eight, in overlapping windows. Tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.engine.modes import resumed_computing
from bark_core.engine.sampling import draw, draw_noise, explain_nan, probs_of
from bark_core.model.transformer import FineGPT
from bark_core.types import History, SamplingOptions


class FineRow:
    """One array of codes being filled: (frames, 8) with the voice's last frames before it and padding behind."""

    def __init__(self, config: BarkConfig, coarse: np.ndarray, history: History | None, generator: torch.Generator) -> None:
        self.generator = generator
        self._n_new = coarse.shape[1]
        past = np.zeros((config.n_fine_codebooks, 0), np.int64) if history is None else history.fine[:, -config.fine_history :]
        self._n_history = past.shape[1]
        pad = config.codebook_size
        empty = np.full((config.n_fine_codebooks - coarse.shape[0], self._n_new), pad)
        codes = np.concatenate([past, np.concatenate([coarse, empty])], axis=1)  # (8, n_history + n_new)
        missing = max(0, config.fine_window - codes.shape[1])
        self._codes = torch.from_numpy(np.pad(codes, ((0, 0), (0, missing)), constant_values=pad).T.copy())  # (frames, 8)
        self._window, self._hop = config.fine_window, config.fine_history
        beyond = self._n_new - (self._window - self._n_history)
        self.n_loops = max(0, math.ceil(beyond / self._hop)) + 1
        self.n_done = 0
        self._logprob_sum, self._n_drawn = 0.0, 0

    @property
    def logprob(self) -> float:
        """The mean log-probability of what was drawn, without padding."""
        return self._logprob_sum / max(1, self._n_drawn)

    def open_window(self) -> tuple[Tensor, int]:
        """Return a copy of the next window's codes (1024, 8) and the first position in it to fill."""
        start, fill = self._bounds()
        return self._codes[start : start + self._window].clone(), fill - start

    def count_frames(self) -> int:
        """Return how many of the next window's positions to fill are frames, not padding."""
        start, fill = self._bounds()
        return min(start + self._window, self._n_history + self._n_new) - fill

    def count_logprob(self, total: float, n_drawn: int) -> None:
        """Add the log-probabilities of what was drawn for a window. Raises: GenerationError where they are not numbers."""
        if not math.isfinite(total):
            raise explain_nan("fine")
        self._logprob_sum += total
        self._n_drawn += n_drawn

    def close_window(self, codes: Tensor) -> None:
        """Take back the window that `open_window` gave, filled."""
        start, fill = self._bounds()
        self._codes[fill : start + self._window] = codes[fill - start :]
        self.n_done += 1

    def _bounds(self) -> tuple[int, int]:
        total, step = len(self._codes), self.n_done * self._hop
        return min(step, total - self._window), min(self._n_history + step, total - self._hop)

    def codes(self) -> np.ndarray:
        """Return the filled codes without history and padding, (8, T) int64."""
        return self._codes[self._n_history : self._n_history + self._n_new].numpy().T.copy()


@resumed_computing
def fill_windows(model: FineGPT, config: BarkConfig, rows: Sequence[FineRow], options: Sequence[SamplingOptions]) -> Generator[None]:
    """Fill the next window of each row together, each with its own options; yield after each codebook.

    Raises: GenerationError where the model gives probabilities that are not numbers.
    """
    device, n_drawn = model.wpe.weight.device, config.n_fine_codebooks - config.n_coarse_codebooks
    windows, firsts = zip(*(row.open_window() for row in rows), strict=True)
    counts = [row.count_frames() for row in rows]
    codes = torch.stack(windows).to(device)  # (B, 1024, 8)
    logprobs = torch.zeros(len(rows), dtype=torch.float32, device=device)
    x: Tensor | None = None
    for codebook in range(config.n_fine_codebooks):
        if codebook >= config.n_coarse_codebooks:
            assert x is not None
            # The sum that the model reads holds this codebook as it stands: padding, or what an earlier window drew.
            x_now = x + model.embed(codes[..., codebook], codebook)
            logits = model(x_now, codebook, min(firsts), config.codebook_size)  # (B, 1024 − first, 1024)
            for i, (row, first, n_frames, how) in enumerate(zip(rows, firsts, counts, options, strict=True)):
                codes[i, first:, codebook], probs = _draw_codes(logits[i, first - min(firsts) :], how, row.generator)
                logprobs[i] += probs[:n_frames].log().sum()
            yield
        embedded = model.embed(codes[..., codebook], codebook)
        x = embedded if x is None else x + embedded
    # Read with the codes, a window at a time: before, a GPU would be waited for.
    for row, window, n_frames, logprob in zip(rows, codes.cpu(), counts, logprobs.tolist(), strict=True):
        row.count_logprob(logprob, n_drawn * n_frames)
        row.close_window(window)


def _draw_codes(logits: Tensor, options: SamplingOptions, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw one code for each of the positions at once: logits (T, 1024) → codes (T,) and their probabilities (T,).

    The shape decides how the generator moves on.
    """
    noise = torch.empty(logits.shape, dtype=torch.float32, device=logits.device) if options.temperature else None
    codes, probs = draw(logits, options, None if noise is None else draw_noise(noise, generator))
    return codes, probs_of(probs, codes)
