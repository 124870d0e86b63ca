"""The host's memory that a GPU reads by itself: weights that come and go move from there at the bus's speed. Knows no models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

BLOCK_BYTES = 64 * 2**20
"""Tensors share blocks of this size, a power of two: torch rounds what it pins up to one, which each by itself would cost up to half."""

ALIGNMENT = 256

Allocate = Callable[[int], Tensor]
"""Returns so many bytes (N,) uint8."""


def allocate_pinned(n_bytes: int) -> Tensor:
    """Return pinned memory. Raises: RuntimeError where the system gives none."""
    return torch.empty(n_bytes, dtype=torch.uint8, device="cpu", pin_memory=True)


def pin_tensors(tensors: Mapping[str, Tensor], allocate: Allocate = allocate_pinned) -> dict[str, Tensor]:
    """Return copies of tensors in pinned memory; those that the system has no room for stay where they are."""
    pinned, block, used = dict[str, Tensor](), torch.empty(0, dtype=torch.uint8, device="cpu"), 0
    for name, tensor in tensors.items():
        n_bytes = tensor.numel() * tensor.element_size()
        if used + n_bytes > len(block):
            try:
                block, used = allocate(max(BLOCK_BYTES, n_bytes)), 0
            except RuntimeError:  # slower to move, and no reason to fail
                pinned[name] = tensor
                continue
        pinned[name] = block[used : used + n_bytes].view(tensor.dtype).view(tensor.shape).copy_(tensor)
        used = -(-(used + n_bytes) // ALIGNMENT) * ALIGNMENT
    return pinned
