"""Points the coarse model's first layer at the semantic tokens that the next code belongs to, before anything is learned.

Which they are follows from positions alone, since the windows keep both in step; but left to itself a small model first learns
how codes follow each other, which teaches it nothing about what it ought to say. This only sets where learning starts.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bark_core.config import BarkConfig
from bark_core.model.transformer import CausalGPT, SelfAttention

_OFFSETS = (0.0, 4.0, -3.0)
"""Semantic tokens from the one that is spoken, by head: it, what comes next, what was before. Further heads stay free."""

_PERIODS = (3.0, 400.0)  # of the waves that tell positions apart, in semantic tokens
_AMPLITUDE = 0.5
_SHARPNESS = 0.8


def aim_at_tokens(model: CausalGPT, config: BarkConfig) -> None:
    """Set the position table and the first layer's queries and keys, in place, so that codes look at their semantic tokens."""
    width = config.coarse.n_embd // config.coarse.n_head
    n_waves = width // 2 - 1
    rates = 2 * np.pi / np.geomspace(*_PERIODS, n_waves)
    window = config.coarse_semantic_window
    codes = np.arange(config.coarse.block_size - window) / config.coarse_per_semantic
    times = np.concatenate([np.arange(window), codes])[:, None] * rates  # (positions, waves)
    kind = np.where(np.arange(len(times)) < window, 1.0, -1.0)[:, None]
    waves = np.concatenate([np.cos(times), np.sin(times), kind, np.zeros_like(kind)], axis=1)
    projection = cast(nn.Linear, cast(SelfAttention, model.h[0].attn).c_attn).weight
    with torch.no_grad():
        model.wpe.weight[:, :width] = _AMPLITUDE * torch.from_numpy(waves).float()
        for head, offset in enumerate(_OFFSETS[: config.coarse.n_head]):
            rows = slice(head * width, (head + 1) * width)
            projection[rows] = 0
            projection[rows, :width] = _SHARPNESS * _turn(rates, offset)
            keys = slice(config.coarse.n_embd + rows.start, config.coarse.n_embd + rows.stop)
            projection[keys] = 0
            projection[keys, :width] = _SHARPNESS * torch.eye(width)


def _turn(rates: np.ndarray, offset: float) -> Tensor:
    """Return the matrix (D, D) that moves waves ahead by an offset and asks a code for the other kind of position, tokens."""
    cos, sin = np.diag(np.cos(rates * offset)), np.diag(np.sin(rates * offset))
    turned = np.block([[cos, -sin], [sin, cos]])
    whole = np.zeros((len(turned) + 2, len(turned) + 2))
    whole[: len(turned), : len(turned)] = turned
    whole[-2, -2] = -4.0
    return torch.from_numpy(whole).float()
