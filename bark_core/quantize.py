"""8-bit weights for products of few rows. Arithmetic only: which models get them is runtime.py's decision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Int8Linear(nn.Module):
    """A Linear whose weights (N, K) are whole numbers −127 … 127 times one float32 `scale` (N,) an output. Activations keep their type."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        wide = weight.float()
        # Rounded up to what bf16 holds exactly, so that casting the module to bf16 leaves it as it is.
        scale = (wide.abs().amax(dim=1).clamp(min=1e-12) / 127 * (1 + 2**-8)).bfloat16().float()
        self.register_buffer("weight", (wide / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x (…, K). The weights are widened for the moment, exactly; the scale goes onto the product."""
        out = F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return out if self.bias is None else out + self.bias


def quantize_linears(module: nn.Module) -> None:
    """Put Int8Linears in place of every Linear inside `module`, one at a time."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child.weight, child.bias))
        else:
            quantize_linears(child)
