"""Writes a checkpoint's folder in this project's own layout: whole or not at all, one part in memory at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bark_core.checkpoint.hashes import write_sums
from bark_core.checkpoint.layouts import CONFIG, VOICES
from bark_core.checkpoint.states import check_state
from bark_core.config import PARTS, BarkConfig
from bark_core.errors import CheckpointError
from bark_core.text.wordpiece import READING
from bark_core.types import check_path
from bark_core.voices.voice import Voice

SOURCE = "source.json"
"""Where a folder's weights came from, for whoever asks; nothing reads it."""

_LOCK = ".lock"


def save_checkpoint(
    folder: str | os.PathLike[str],
    config: BarkConfig,
    load_state: Callable[[str], Mapping[str, Tensor]],
    tokenizer_file: Path,
    voices: Iterable[tuple[str, Mapping[str, np.ndarray]]] = (),
    half: bool = False,
    source: Mapping[str, Any] | None = None,
    replace: bool = False,
    extra_files: Iterable[Path] = (),
) -> Path:
    """Write `folder` and return it. It appears under its name when it is complete; two writers of one folder take turns.

    `load_state(part)` returns a part's canonical state and is called for one part at a time; `half` stores it in fp16.
    `voices`: names (v2/en_speaker_6) with semantic_prompt, coarse_prompt and fine_prompt. `source` is kept in source.json.
    `replace`: whether a folder that is there already gives way; else it is left alone and returned as it is.
    `extra_files` (a README, a licence) are copied beside the rest.
    Raises: CheckpointError where a state is not what `config` describes, or where the folder cannot be written.
    """
    target = check_path(folder)

    def write(building: Path) -> None:
        _write_json(building / CONFIG, config.to_dict())
        if source is not None:
            _write_json(building / SOURCE, source)
        # The suffix tells a tokenizer.json from a vocab.txt.
        shutil.copyfile(tokenizer_file, building / ("vocab.txt" if tokenizer_file.suffix == ".txt" else "tokenizer.json"))
        if (reading := tokenizer_file.with_name(READING)).is_file():
            shutil.copyfile(reading, building / READING)
        for extra in extra_files:
            shutil.copyfile(extra, building / extra.name)
        for name, arrays in voices:
            path = building / VOICES / f"{name}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            Voice.from_arrays(arrays, f"The voice {name}", config).save(path)
        for part in PARTS:
            _write_part(building / f"{part}.safetensors", load_state(part), config, part, half)
        written = [path for path in building.rglob("*") if path.is_file() and path.name not in (_LOCK, *(extra.name for extra in extra_files))]
        write_sums(building, written)

    try:
        return _build_folder(target, write, replace)
    except OSError as error:
        raise _unwritable(target, error) from error


def check_writable(target: Path) -> None:
    """Raise CheckpointError where a folder could not be made, before anything slow is done for it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent):
            pass
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{target} cannot be written: {error.strerror or error}. Give a folder on a disk that is writable and has room; nothing was left there."
    )


def _write_part(path: Path, state: Mapping[str, Tensor], config: BarkConfig, part: str, half: bool) -> None:
    check_state(state, config, part, "The checkpoint to be saved")
    dtypes = {name: torch.float16 if half else tensor.dtype for name, tensor in state.items()}
    ready = {name: tensor.detach().to("cpu", dtypes[name]).contiguous() for name, tensor in state.items()}
    for name, tensor in ready.items():
        if half and not torch.isfinite(tensor).all():
            raise CheckpointError(f"The tensor {name} of the {part} part has values that 16 bits cannot hold; keep these weights in 32 bits.")
    try:
        save_file(ready, path, metadata={"format": "pt"})
    except Exception as error:  # safetensors raises its own error around the system's
        raise OSError(f"{path.name}: {error}") from error
    # The package makes files that only their owner can read; the config beside it has what the umask allows.
    shutil.copymode(path.parent / CONFIG, path)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _build_folder(target: Path, write: Callable[[Path], None], replace: bool) -> Path:
    """Call `write` on a hidden folder beside `target` and rename it at the end; another process at the same waits for this one."""
    building = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(building):
        if target.exists() and not replace and any(target.iterdir()):
            shutil.rmtree(building)
            return target
        try:
            write(building)
            _swap(building, target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return target


def _swap(building: Path, target: Path) -> None:
    """Put a finished folder into its place; an older one there goes."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(building, target)
    (target / _LOCK).unlink()
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(building: Path) -> Iterator[None]:
    """Hold the one lock on a folder that is being built. What a killed process left in it is cleared away.

    The lock is a file in the folder, so that it disappears with it: who waited for it then finds that it moved, and asks anew.
    """
    while True:
        with contextlib.ExitStack() as stack:
            building.mkdir(exist_ok=True)
            try:
                file: IO[bytes] = stack.enter_context(open(building / _LOCK, "wb"))
            except FileNotFoundError:
                continue
            _wait_for(file)
            if not _is_same(file, building / _LOCK):
                continue
            for entry in building.iterdir():
                if entry.name != _LOCK:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            yield
            return


def _wait_for(file: IO[bytes]) -> None:
    """Lock a file, waiting for whoever holds it. The lock ends with its process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not a Unix: two writers at once are then not told apart
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _is_same(file: IO[bytes], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
