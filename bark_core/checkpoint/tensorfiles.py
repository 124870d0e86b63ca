"""Files of tensors, read without trusting them: mapped into memory, never unpickled beyond tensors and plain values.

Whatever is wrong with a file is one sentence. Knows no names, sizes or layouts of Bark.
"""

from __future__ import annotations

import _codecs
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bark_core.errors import CheckpointError
from bark_core.filekinds import describe_file

MAX_JSON_BYTES = 16 * 2**20
"""A config or an index is a few kilobytes; a file that has more is not one."""

MAX_NPY_BYTES = 16 * 2**20
"""One array of a voice; an hour of fine codes in int64 is smaller."""

_ZIP_MAGIC = b"PK\x03\x04"

_NUMPY_SCALARS = tuple(np.dtype(code) for code in ("f2", "f4", "f8", "i4", "i8", "u4", "u8", "?"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises: CheckpointError where it is missing, too large, damaged or no object."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size} bytes, far more than such a file needs; fetch the checkpoint again.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}; it must be an object of names and values.")
    return values


def read_safetensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, mapped, in their stored dtype. Raises: CheckpointError."""
    return _with_safetensors(path, lambda file: {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)})  # noqa: SIM118


def read_first_dtype(path: Path) -> str:
    """Return the stored type of a safetensors file's first tensor ("F32", "F16", …), from its header alone."""
    return _with_safetensors(path, lambda file: next((str(file.get_slice(name).get_dtype()) for name in file.keys()), ""))  # noqa: SIM118


def _with_safetensors(path: Path, read: Callable[[Any], Any]) -> Any:
    try:
        with safe_open(path, "pt") as file:
            return read(file)
    except Exception as error:  # safetensors raises its own error, OSError, ValueError or MemoryError by what is broken
        raise _unreadable(path, error) from error


def read_torch(path: Path) -> Any:
    """Return what a file of torch.save holds, its tensors mapped, not read. Raises: CheckpointError.

    Only tensors, plain values and numpy's plain numbers are ever made; a file that wants anything else is refused.
    """
    try:
        with open(path, "rb") as file:
            # Files of before torch 1.6 are no archives and cannot be mapped.
            can_map = file.read(4) == _ZIP_MAGIC
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=can_map)
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise _unreadable(path, error) from error


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an .npy file. Raises: CheckpointError where it is damaged, pickled or too large."""
    try:
        if path.stat().st_size > MAX_NPY_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size} bytes; a voice has at most {MAX_NPY_BYTES}.")
        # Mapped, so that a header which claims more than the file has is refused before anything is allocated.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy raises whatever a damaged header leads to
        raise _unreadable(path, error) from error


def resolve_inside(folder: Path, relative: str, index: Path) -> Path:
    """Return the path of a file that `index` names. Raises: CheckpointError where it leads out of the checkpoint's folder."""
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in relative:
        raise CheckpointError(f"{index} names {relative!r}, which lies outside of the checkpoint; use a checkpoint that you trust.")
    return folder / parts


def _safe_globals() -> list[Any]:
    """Return what the original's checkpoints name besides tensors: a float64 as numpy pickles it, by its old name and its new one."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*((scalar, name) for name in names), np.dtype, _codecs.encode, *{type(dtype) for dtype in _NUMPY_SCALARS}]


def _unreadable(path: Path, error: BaseException) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"The checkpoint has no file {path}. Fetch it again, or put the file there.")
    if (stand_in := describe_file(path)) is not None:
        return CheckpointError(f"{path} is {stand_in}.")
    reason = str(getattr(error, "strerror", None) or error).strip().split("\n")[0][:200] or type(error).__name__
    if "Weights only load failed" in reason or "WeightsUnpickler" in str(error):
        reason = "it holds something other than tensors and plain values, or is damaged"
    return CheckpointError(f"{path} cannot be read: {reason.rstrip('.')}. Use an undamaged copy; fetching the checkpoint again makes one.")
