"""Checkpoints: found by name or path, in any layout, fetched where need be; their parts loaded strictly, by canonical name."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bark_core.checkpoint.convert import check_writable, save_checkpoint
from bark_core.checkpoint.fetch import check_room, fetch_release
from bark_core.checkpoint.layouts import CONFIG, Layout, find_layout
from bark_core.checkpoint.registry import default_target, find_folder, find_release, load_registry
from bark_core.checkpoint.states import check_state
from bark_core.config import PARTS, BarkConfig
from bark_core.engine.modes import loading
from bark_core.errors import CheckpointError, InvalidInput
from bark_core.types import check_path
from bark_core.voices.voice import Voice

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
    def folders(self) -> tuple[Path, ...]:
        """That folder, and those that its voices or its tokenizer may be in."""
        return self._layout.folders

    @property
    def is_half(self) -> bool:
        """Whether the weights are stored in 16 bits."""
        with loading():
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

    def load_state(self, part: str, allow_nan: bool = False) -> dict[str, Tensor]:
        """Return one part's tensors ("semantic", "coarse", "fine", "codec"), mapped from the file, in their stored dtype.

        Raises: CheckpointError that names the tensor where one is missing, extra or misshapen, or (unless `allow_nan`) where what is read of it is no numbers.
        """
        with loading():
            state = self._layout.read_part(part)
            check_state(state, self.config, part, str(self.folder))
            self._digests.setdefault(part, _digest(state, part, "" if allow_nan else str(self.folder)))
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

    A name is looked for in the weights folders (BARK_WEIGHTS, beside the package, ./weights), then in Hugging Face's cache,
    and else fetched into that. `on_message` hears of what takes long.
    Raises: CheckpointError where there is none, or where it is not understood.
    """
    if not isinstance(name_or_path, str) or not _is_name(name_or_path):
        layout = find_layout(check_path(name_or_path))
        return Checkpoint(layout, layout.config.name)
    folder = find_folder(name_or_path)
    if folder is None:
        release = find_release(name_or_path)
        if release.repository is None:
            raise CheckpointError(f"The model {release.name} comes with this project, but weights/{release.name} is missing; take it from there.")
        folder, *beside = fetch_release(release, on_message or _ignore)
        return Checkpoint(find_layout(folder, beside), name_or_path)
    return Checkpoint(find_layout(folder), name_or_path)


def fetch_checkpoint(
    name: str, to: str | os.PathLike[str] | None = None, half: bool = False, on_message: OnMessage | None = None
) -> Path:
    """Download a named checkpoint, verify it, convert it to this project's layout in the folder `to`, and return that.

    `to`: weights/NAME by default. `half`: in 16 bits, which halves the disk and gives other tokens than the original's.
    A folder that already holds a checkpoint is returned as it is. `on_message` hears of what takes long.
    Raises: CheckpointError, with what to do, where a file cannot be had, is not what it should be, or finds no room.
    """
    say = on_message or _ignore
    release = find_release(name)
    target = default_target(name) if to is None else check_path(to)
    if release.repository is None:
        here = find_folder(name)
        raise CheckpointError(f"The model {name} comes with this project, in {here or 'weights'}; there is nothing to fetch.")
    if _is_there(target, half, say):
        return target
    check_writable(target)
    check_room(target, release.size // 2 if half else release.size)
    folder, *beside = fetch_release(release, say, need_voices=True)
    checkpoint = Checkpoint(find_layout(folder, beside), name)
    say(f"Converting to {target}{' in 16 bits' if half else ''} …")
    source = {"repository": release.repository, "commit": checkpoint.folder.name, "licence": release.licence, "half": half}
    config = dataclasses.replace(checkpoint.config, name=name)
    tokenizer = checkpoint.load_tokenizer_file()
    return save_checkpoint(target, config, checkpoint.load_state, tokenizer, _valid_voices(checkpoint, say), half, source)


def _is_name(given: str) -> bool:
    """Tell whether the registry has a name. A project without its registry still loads checkpoints by path."""
    try:
        return given in load_registry()
    except CheckpointError:
        if Path(given).exists():
            return False
        raise


def _is_there(target: Path, half: bool, say: OnMessage) -> bool:
    """Tell whether a target is a checkpoint already. Raises: CheckpointError where it is something else, or of another precision."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not (target / CONFIG).is_file():
        raise CheckpointError(f"{target} is there and is no checkpoint; give a folder that is empty or not there yet.")
    is_half = find_layout(target).is_half
    if is_half != half:
        raise CheckpointError(f"{target} is there already, in {16 if is_half else 32} bits; delete it to fetch it in {16 if half else 32} bits.")
    say(f"{target} is there already; delete it to fetch it anew.")
    return True


def _valid_voices(checkpoint: Checkpoint, say: OnMessage) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield a checkpoint's voices, but for those that no one could use."""
    for name in checkpoint.voices:
        try:
            yield name, Voice.from_arrays(checkpoint.load_voice_arrays(name), f"The voice {name}", checkpoint.config).arrays()
        except InvalidInput as error:
            say(f"Left out: {error}")


def _ignore(message: str) -> None:
    """Stand in for a listener."""


def _digest(state: dict[str, Tensor], part: str, owner: str) -> str:
    """Digest the ends of each tensor, as float32. Convolutions are left out: weight norm is folded on different machines, to different last bits.

    Raises: CheckpointError where they are not numbers, unless there is no `owner` to name: what is read anyway is checked.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        flat = state[name].reshape(-1)
        ends = torch.cat((flat[:_SAMPLED], flat[-_SAMPLED:])).float().numpy()
        if owner and not np.isfinite(ends).all():
            raise CheckpointError(f"{owner} has values that are not numbers in {name} of its {part} part. Use an undamaged copy.")
        digest.update(f"{name}{tuple(state[name].shape)}".encode())
        if not name.endswith(("conv.conv.weight", "convtr.convtr.weight")):
            digest.update(ends.tobytes())
    return digest.hexdigest()
