"""Weights in other forms than they are stored in: 8 bits for products of few rows, tables cast row by row.

Arithmetic only: which models get them is runtime.py's decision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 128


class Int8Linear(nn.Module):
    """A Linear whose weights (N, K) are whole numbers −127 … 127 times one float32 `scale` (N,) an output. Activations keep their type."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(weight.shape, dtype=torch.int8, device=weight.device))
        self.register_buffer("scale", torch.empty(len(weight), dtype=torch.float32, device=weight.device))
        # Some rows at a time, into place: the memory that a whole matrix takes in passing would stay with the process.
        for rows, whole, scale in zip(weight.split(_ROWS), self.weight.split(_ROWS), self.scale.split(_ROWS), strict=True):
            most = rows.float().abs().amax(dim=1).clamp(min=1e-12)
            # Rounded up to what bf16 holds exactly, so that casting the module to bf16 leaves it as it is.
            scale.copy_((most / 127 * (1 + 2**-8)).bfloat16())
            whole.copy_((rows.float() / scale[:, None]).round_())
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x (…, K). The weights are widened for the moment, exactly; the scale goes onto the product."""
        out = F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return out if self.bias is None else out + self.bias


class StoredEmbedding(nn.Module):
    """An Embedding whose table (V, C) stays as it is stored, on the CPU; the rows looked up are cast to `dtype`.

    Of a table mapped from a file only the pages looked at are ever read: the semantic table is as large as all of a small model's layers.
    """

    def __init__(self, table: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.table, self._dtype = table, dtype  # no buffer, so that nothing casts or moves it

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids (…,): (…, C)."""
        return F.embedding(ids, self.table).to(self._dtype)


def quantize_linears(module: nn.Module, on_read: Callable[[Tensor], None] = lambda _: None) -> None:
    """Put Int8Linears in place of every Linear inside `module`, one at a time; `on_read` is given each weight that was."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child.weight, child.bias))
            on_read(child.weight)
        else:
            quantize_linears(child, on_read)
