"""EnCodec's decoder: codes in, samples out. The network is the `encodec` package's; only its way in is here.

Knows nothing of files. Holds the one place where `encodec` is imported.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_core.config import CodecConfig


def import_seanet() -> Any:
    """Import `encodec.modules.seanet`.

    `encodec` imports torchaudio for file helpers that are never called here, and torchaudio's binary does not load
    beside every torch (a CPU build, or a newer one). Where it does not, an empty module stands in for it during the
    import and is taken away again, since a module without a `__spec__` breaks others' look-ups.
    """
    try:
        importlib.import_module("torchaudio")
        return importlib.import_module("encodec.modules.seanet")
    except (ImportError, OSError, RuntimeError, AttributeError):
        for name in [name for name in sys.modules if name.split(".")[0] in ("torchaudio", "encodec")]:
            del sys.modules[name]
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    try:
        return importlib.import_module("encodec.modules.seanet")
    finally:
        del sys.modules["torchaudio"]


def fold_weight_norm(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Return the weight that weight norm computes from its two parts (`weight_g`, `weight_v`), the norm over all but the first axis."""
    return torch.ops.aten._weight_norm(direction, magnitude, 0)


class Codec(nn.Module):
    """Residual codebooks (K, entries, width) and the SEANet decoder without its weight norm (folded at load)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.codebooks = nn.Parameter(torch.zeros(config.n_codebooks, config.codebook_size, config.dimension))
        self.decoder = import_seanet().SEANetDecoder(
            channels=1,
            dimension=config.dimension,
            n_filters=config.n_filters,
            n_residual_layers=config.n_residual_layers,
            ratios=list(config.ratios),
            lstm=config.n_lstm_layers,
            norm="none",
            causal=True,
        )

    def embed(self, codes: Tensor) -> Tensor:
        """Return the sum of the codebooks' vectors for codes (K', T), K' ≤ K: (1, width, T)."""
        vectors = sum(F.embedding(row, self.codebooks[k]) for k, row in enumerate(codes))  # (T, width)
        assert isinstance(vectors, Tensor)
        return vectors.T[None]

    def forward(self, codes: Tensor) -> Tensor:
        """Decode codes (K', T) in one pass; return samples (320 T,), not clamped: values beyond ±1 occur."""
        return self.decoder(self.embed(codes))[0, 0]
