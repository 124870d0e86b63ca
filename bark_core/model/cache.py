"""The keys and values that a causal stage has computed, in memory that never grows. Knows nothing of models or rows' meaning."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_ALIGNMENT = 64
"""Bytes: what the processor reads at once."""


class KVCache:
    """Keys and values of L layers for B rows of up to T positions, allocated once.

    `keys` and `values` are (L, B, T, C). Position p of a row may be read once it is written and before that is zero or
    stale; whoever attends masks what lies beyond its own position. So a row is emptied by starting it again at 0.
    """

    def __init__(self, n_layer: int, n_rows: int, n_positions: int, width: int, dtype: torch.dtype, device: torch.device | str) -> None:
        shape = (n_layer, n_rows, n_positions, width)
        self.keys, self.values = _make_zeros((2, *shape), dtype, torch.device(device)).unbind()
        self.rows = torch.arange(n_rows, dtype=torch.int64, device=device)

    def write_span(self, layer: int, row: int, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (1, T, C) keys and values at start … start + T of a row; return all of that row's up to there, (1, start + T, C)."""
        stop = start + keys.shape[1]
        self.keys[layer, row, start:stop] = keys[0]
        self.values[layer, row, start:stop] = values[0]
        return self.keys[layer, row : row + 1, :stop], self.values[layer, row : row + 1, :stop]

    def write_step(self, layer: int, positions: Tensor, n_keys: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, 1, C) keys and values of rows 0 … B − 1 at their `positions` (B,); return each row's first `n_keys`, (B, n_keys, C)."""
        n_rows = keys.shape[0]
        rows = self.rows[:n_rows]
        self.keys[layer].index_put_((rows, positions), keys[:, 0])
        self.values[layer].index_put_((rows, positions), values[:, 0])
        return self.keys[layer, :n_rows, :n_keys], self.values[layer, :n_rows, :n_keys]

    def move_row(self, source: int, target: int, n_positions: int) -> None:
        """Copy the first `n_positions` of row `source` over row `target`."""
        self.keys[:, target, :n_positions] = self.keys[:, source, :n_positions]
        self.values[:, target, :n_positions] = self.values[:, source, :n_positions]


def _make_zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return zeros that, on a CPU, take no memory before they are written: torch writes its own at once."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    n_bytes = math.prod(shape) * dtype.itemsize
    pages = torch.from_numpy(np.zeros(n_bytes + _ALIGNMENT, np.uint8))
    first = -pages.data_ptr() % _ALIGNMENT
    return pages[first : first + n_bytes].view(dtype).view(shape)
