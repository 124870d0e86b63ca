"""Stage 4: codes of all eight codebooks → audio. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import torch

from bark_core.engine.modes import computing
from bark_core.engine.sampling import explain_nan
from bark_core.model.codec import Codec


def decode_codes(codec: Codec, codes: np.ndarray) -> np.ndarray:
    """Return the audio (320 T,) float32 of codes (8, T). Raises: GenerationError where it is something other than numbers."""
    with computing():
        audio = codec(torch.from_numpy(codes).to(codec.codebooks.device)).float().cpu().numpy()
    if not np.isfinite(audio).all():
        raise explain_nan("codec", "samples")
    return audio
