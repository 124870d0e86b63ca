"""Checkpoints: found by name or path, in any layout, fetched where need be; their parts loaded strictly, by canonical name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bark_core.config import PARTS, BarkConfig
from bark_core.errors import CheckpointError
from bark_core.layouts import Layout, find_layout
from bark_core.registry import find_folder, load_registry
from bark_core.states import check_state

OnMessage = Callable[[str], None]

_SAMPLED = 32
"""Values at either end of each tensor that the digest takes in."""


class Checkpoint:
    """A checkpoint that was found. Cheap to open: no weights are read before they are asked for."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._digests: dict[str, str] = {}
        self.name = name
        self.config: BarkConfig = layout.config
        self.voices = layout.voices

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._layout.folder

    @property
    def is_half(self) -> bool:
        """Whether the weights are stored in 16 bits."""
        return self._layout.is_half

    @property
    def digest(self) -> str:
        """16 hex digits that identify the weights, the same in whatever layout they are stored.

        A digest of the first and last values of each tensor: told in a moment, however large the weights.
        """
        for part in PARTS:
            if part not in self._digests:
                self.load_state(part)
        return hashlib.sha256("".join(self._digests[part] for part in PARTS).encode()).hexdigest()[:16]

    def load_state(self, part: str) -> dict[str, Tensor]:
        """Return one part's tensors ("semantic", "coarse", "fine", "codec"), mapped from the file, in their stored dtype.

        Raises: CheckpointError that names the tensor where one is missing, extra or misshapen.
        """
        state = self._layout.read_part(part)
        check_state(state, self.config, part, str(self.folder))
        self._digests.setdefault(part, _digest(state))
        return state

    def load_voice_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return a preset's semantic_prompt, coarse_prompt and fine_prompt, not yet checked as a voice."""
        if name not in self.voices:
            raise CheckpointError(f"The checkpoint {self.name} has no voice {name!r}; it has {len(self.voices)}: {', '.join(self.voices[:3])} …")
        return self._layout.read_voice(name)

    def load_tokenizer_file(self) -> Path:
        """Return the path of its tokenizer.json or vocab.txt. Raises: CheckpointError where it has neither."""
        return self._layout.tokenizer_file()


def open_checkpoint(name_or_path: str | os.PathLike[str], on_message: OnMessage | None = None) -> Checkpoint:
    """Open "large", "small" or "demo", or any checkpoint by its folder or one of its files.

    A name is looked for in the weights folders (BARK_WEIGHTS, beside the package, ./weights). `on_message` hears of what takes long.
    Raises: CheckpointError where there is none, or where it is not understood.
    """
    del on_message
    if isinstance(name_or_path, str) and name_or_path in load_registry():
        folder = find_folder(name_or_path)
        if folder is None:
            raise CheckpointError(f"The model {name_or_path} is not here.")
        return Checkpoint(find_layout(folder), name_or_path)
    layout = find_layout(Path(name_or_path))
    return Checkpoint(layout, layout.config.name)


def _digest(state: dict[str, Tensor]) -> str:
    """Digest the ends of each tensor, as float32. Convolutions are left out: weight norm is folded on different machines, to different last bits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        if not name.endswith(("conv.conv.weight", "convtr.convtr.weight")):
            flat = tensor.reshape(-1)
            digest.update(torch.cat((flat[:_SAMPLED], flat[-_SAMPLED:])).float().numpy().tobytes())
    return digest.hexdigest()
