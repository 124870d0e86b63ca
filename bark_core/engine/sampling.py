"""One sampler for all stages: filters, probabilities and a pick whose noise is an argument. No models, no host sync of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bark_core.errors import GenerationError
from bark_core.types import SamplingOptions


def draw_noise(out: Tensor, generator: torch.Generator) -> Tensor:
    """Fill `out` with Exp(1) noise from `generator`, in the order in which `torch.multinomial` takes its own; return it."""
    return out.exponential_(1, generator=generator)


def pick(probs: Tensor, noise: Tensor) -> Tensor:
    """Draw one index a row: probs (…, V) with Exp(1) noise of the same shape → (…,) int64.

    Bit for bit what `torch.multinomial(probs, 1)` draws where the noise is what it would have taken.
    """
    return (probs / noise).argmax(dim=-1)


def draw(logits: Tensor, options: SamplingOptions, noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """Draw one index for each row of logits (…, V); return the indices (…,) and the probabilities (…, V) they came from.

    Greedy (temperature 0) takes the best of the filtered logits and no noise; its probabilities are those at
    temperature 1.
    """
    logits = filter_logits(logits.float(), options)
    if options.temperature == 0:
        return logits.argmax(dim=-1), logits.softmax(dim=-1)
    assert noise is not None
    probs = (logits / options.temperature).softmax(dim=-1)
    return pick(probs, noise), probs


def probs_of(probs: Tensor, indices: Tensor) -> Tensor:
    """Return the probabilities (…,) of drawn indices (…,).

    Where a logit is no number, or infinite, all of its row's probabilities are no numbers: so each tells of all.
    """
    return probs.gather(-1, indices[..., None])[..., 0]


def explain_nan(part: str, what: str = "probabilities") -> GenerationError:
    """Return the error for a part of the model that gave no numbers."""
    return GenerationError(
        f"The {part} stage gave {what} that are not numbers: its weights are damaged, or its precision is too low for them. "
        "Use an undamaged checkpoint, or load in fp32."
    )


def filter_logits(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Put −inf in place of what top-p, then top-k, rules out, on logits (…, V) before temperature. Never in place."""
    if options.top_p is not None:
        logits = _keep_top_p(logits, options.top_p)
    if options.top_k is not None:
        worst = logits.topk(min(options.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    return logits


def _keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keep entries until the softmax of those before them exceeds `top_p`; the best always stays.

    Quirk: the original sums in numpy's float32, one by one; torch's cumsum cuts elsewhere about once in 300 steps. So
    on a CPU this sums as numpy does. On an accelerator, where nothing is exact, it stays there.
    """
    if logits.device.type == "cpu":
        rows = logits.numpy().reshape(-1, logits.shape[-1])
        return torch.from_numpy(np.stack([_keep_top_p_row(row, top_p) for row in rows])).reshape(logits.shape)
    ordered, order = logits.sort(dim=-1, descending=True)
    probs = ordered.softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs
    removed = (before > top_p).scatter(-1, order, before > top_p)
    return logits.masked_fill(removed, -torch.inf)


def _keep_top_p_row(logits: np.ndarray, top_p: float) -> np.ndarray:
    from scipy.special import softmax  # takes a while, and few ask for top-p

    order = np.argsort(logits)[::-1]
    with np.errstate(all="ignore"):  # what is too unlikely for float32 is 0, and no error even where the caller makes errors of it
        exceeds = np.cumsum(softmax(logits[order])) > top_p
    kept = logits.copy()
    kept[order[1:][exceeds[:-1]]] = -np.inf
    return kept
