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

_RECURRENT = 2
"""Layers of the decoder up to the recurrent one, which remembers all that came before."""

_LOOK_BACK = 3
"""Frames that the layers behind it look back at most: one in each upsampling, and less than two in all else."""

_BLOCK = 64
"""Frames decoded in one go, 0.85 s: what they need stays in the processor's caches."""


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
        self.codebooks = nn.Parameter(torch.zeros((config.n_codebooks, config.codebook_size, config.dimension), dtype=torch.float32))
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
        """Decode codes (K', T); return samples (320 T,), not clamped: values beyond ±1 occur.

        What comes behind the recurrent layer looks back less than three frames, so it is run in blocks, each fed a little of
        what was before it: long audio then takes no more memory than short.
        """
        layers: Any = self.decoder.model
        remembered = layers[:_RECURRENT](self.embed(codes))  # (1, C, T)
        hop, blocks = self.config.frame_samples, list[Tensor]()
        for begin in range(0, codes.shape[1], _BLOCK):
            before = min(begin, _LOOK_BACK)
            made = layers[_RECURRENT:](remembered[..., begin - before : begin + _BLOCK])
            blocks.append(made[0, 0, before * hop :])
        return torch.cat(blocks)
