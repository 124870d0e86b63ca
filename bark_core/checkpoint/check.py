"""A checkpoint read from end to end: every weight, voice, tokenizer and known hash. What is wrong is collected, not raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bark_core.checkpoint.fetch import find_cached, find_hashes
from bark_core.checkpoint.hashes import OnMessage, hash_file, read_sums
from bark_core.checkpoint.layouts import find_layout
from bark_core.checkpoint.open import Checkpoint
from bark_core.checkpoint.registry import Release, find_folder, load_registry
from bark_core.config import PARTS
from bark_core.errors import BarkError
from bark_core.text.wordpiece import TextEncoder
from bark_core.voices.voice import Voice


@dataclass(frozen=True)
class Held:
    """A named checkpoint: where it is, if it is here, and in a sentence what is wrong with it, if something is."""

    name: str
    folder: Path | None
    fault: str | None
    size_gb: float
    """What fetching it would download, about."""


MAX_NAMED = 3
"""Tensors that are named of those of one part with the same fault."""


@dataclass
class Check:
    """What was read, and `problems`: a sentence for each thing that is wrong."""

    n_tensors: int = 0
    n_values: int = 0
    n_voices: int = 0
    n_hashed: int = 0
    """Files whose bytes are known, and were compared."""
    problems: list[str] = field(default_factory=list)


def check_checkpoint(checkpoint: Checkpoint, on_message: OnMessage) -> Check:
    """Read all that a checkpoint has, one part in memory at a time. `on_message` hears what is being read."""
    found = Check()
    for part in PARTS:
        on_message(f"Reading {part} …")
        try:
            state = checkpoint.load_state(part, allow_nan=True)  # to name all of them
        except BarkError as error:
            found.problems.append(str(error))
            continue
        found.n_tensors += len(state)
        found.n_values += sum(tensor.numel() for tensor in state.values())
        found.problems += describe_unusable(state, part, checkpoint.folder)
    try:
        TextEncoder.load(checkpoint.load_tokenizer_file(), checkpoint.config.max_text_tokens)
    except BarkError as error:
        found.problems.append(str(error))
    for name in checkpoint.voices:
        found.n_voices += 1
        try:
            Voice.from_arrays(checkpoint.load_voice_arrays(name), f"The voice {name}", checkpoint.config)
        except BarkError as error:
            found.problems.append(str(error))
    _check_hashes(checkpoint, found, on_message)
    return found


def list_held() -> list[Held]:
    """Return all named checkpoints, those that are here looked at: every tensor's name and shape, the tokenizer; no values are read.

    Raises: CheckpointError where there is no registry.
    """
    return [_look_at(release) for release in load_registry().values()]


def _look_at(release: Release) -> Held:
    folder, fault = find_folder(release.name), None
    beside = list[Path]()
    if folder is None and release.repository is not None:
        folder = find_cached(release)
        beside = [found for each in (release.companion,) if each is not None and (found := find_cached(each)) is not None]
    if folder is not None:
        try:
            checkpoint = Checkpoint(find_layout(folder, beside), release.name)
            for part in PARTS:
                checkpoint.load_state(part)
            TextEncoder.load(checkpoint.load_tokenizer_file(), checkpoint.config.max_text_tokens)
        except BarkError as error:
            fault = str(error)
    return Held(release.name, folder, fault, round(release.size / 1e9, 2))


def describe_unusable(state: Mapping[str, Tensor], part: str, folder: Path) -> list[str]:
    """Return a sentence where weights of a part are not finite: no model can speak with those."""
    counts = {name: n for name, tensor in state.items() if (n := int((~torch.isfinite(tensor)).sum()))}
    if not counts:
        return []
    named = ", ".join(f"{name} ({n} of {state[name].numel()})" for name, n in list(counts.items())[:MAX_NAMED])
    more = f" and {len(counts) - MAX_NAMED} more" if len(counts) > MAX_NAMED else ""
    return [f"{folder} has weights in its {part} part that are infinite or no numbers, in {named}{more}. Use an undamaged copy."]


def _check_hashes(checkpoint: Checkpoint, found: Check, on_message: OnMessage) -> None:
    for folder in checkpoint.folders:
        try:
            known = {**find_hashes(folder), **read_sums(folder)}
        except BarkError as error:
            found.problems.append(str(error))
            continue
        if known:
            on_message(f"Hashing {len(known)} files …")
        for path, wanted in known.items():
            found.n_hashed += 1
            if not path.is_file():
                found.problems.append(f"{path} is missing. Use a complete copy.")
            elif (actual := hash_file(path)) != wanted:
                found.problems.append(f"{path} has the SHA-256 {actual}, not {wanted}, which it had where it came from. Use an undamaged copy.")
