"""Residual k-means: what turns log-mel frames into the codec's eight codes a frame and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dct
from torch import Tensor

ENVELOPE = 24
"""The cosines of a frame that say how loud which part of the spectrum is; the others say where the harmonics lie."""

HARMONICS_WEIGHT = 0.35
"""How much an error of these others counts beside one of the envelope, by which phones are told apart. Counting both alike, as sums of
squares do by themselves, spends most of the first codebooks on pitch, and words are lost."""


@lru_cache(maxsize=1)
def weighting(bands: int) -> Tensor:
    """Return what frames (T, D) are multiplied by before they are compared: (D, D), to weighted cosines."""
    weights = np.where(np.arange(bands) < ENVELOPE, 1.0, HARMONICS_WEIGHT)[:, None]
    return torch.from_numpy((weights * dct(np.eye(bands), norm="ortho", axis=0)).T.astype(np.float32).copy())


def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """Return the index of the nearest entry (V, D) to each of the vectors (N, D): (N,) int64."""
    offsets = entries.square().sum(dim=1) / 2
    return torch.cat([(block @ entries.T - offsets).argmax(dim=1) for block in vectors.split(8192)])


def k_means(vectors: Tensor, n_entries: int, n_rounds: int, generator: torch.Generator) -> Tensor:
    """Return n_entries centres (n_entries, D) of vectors (N, D); a centre that nothing is near to moves onto a random vector."""
    picked = torch.randint(len(vectors), (n_entries,), generator=generator)
    centres = vectors[picked].clone()
    for _ in range(n_rounds):
        index = nearest(vectors, centres)
        counts = torch.bincount(index, minlength=n_entries)
        sums = torch.zeros_like(centres).index_add_(0, index, vectors)
        centres = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero()[:, 0]
        centres[empty] = vectors[torch.randint(len(vectors), (len(empty),), generator=generator)]
    return centres


@dataclass(frozen=True, eq=False)
class Quantiser:
    """Normalisation and codebooks: mean (D,), scale (), codebooks (K, V, D). What the decoder sees is the sum of codebook vectors."""

    mean: Tensor
    scale: Tensor
    codebooks: Tensor

    @classmethod
    def train(cls, frames: Tensor, n_used: int, n_codebooks: int, n_entries: int, n_rounds: int, generator: torch.Generator) -> Quantiser:
        """Learn from log-mel frames (N, D); print how much of their variance each codebook leaves.

        Only the first `n_used` codebooks are learned. The rest are zeros, whose code is always 0: what they would add is too
        fine for a small model to guess, and a wrong guess is a noise.
        """
        mean = frames.mean(dim=0)
        scale = (frames - mean).std()
        weights = weighting(frames.shape[1])
        back = torch.linalg.inv(weights)
        residual = (frames - mean) / scale @ weights
        codebooks = []
        for k in range(n_used):
            entries = k_means(residual, n_entries, n_rounds, generator)
            residual = residual - entries[nearest(residual, entries)]
            codebooks.append(entries @ back)
            print(f"codebook {k}: {100 * float((residual @ back).square().mean()):.2f} % of the variance left", flush=True)
        return cls(mean, scale, F.pad(torch.stack(codebooks), (0, 0, 0, 0, 0, n_codebooks - n_used)))

    def encode(self, frames: Tensor) -> Tensor:
        """Return the codes (K, T) int64 of log-mel frames (T, D)."""
        weights = weighting(frames.shape[1])
        residual = (frames - self.mean) / self.scale @ weights
        codes = []
        for entries in self.codebooks @ weights:
            index = nearest(residual, entries)
            residual = residual - entries[index]
            codes.append(index)
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the log-mel frames (T, D) that codes (K', T), K' ≤ K, stand for."""
        normal = torch.stack([self.codebooks[k][row] for k, row in enumerate(codes)]).sum(dim=0)
        return normal * self.scale + self.mean

    def state(self) -> dict[str, Tensor]:
        """Return the tensors to save."""
        return {"mean": self.mean, "scale": self.scale, "codebooks": self.codebooks}
