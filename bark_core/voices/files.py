"""Voice files: the arrays and settings that an .npz or a WAV of ours holds, as they are.

Files are untrusted: nothing is unpickled, and sizes are bounded before they are read. Whether arrays are a voice is voice.py's question.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from bark_core.audio.wav import read_chunk
from bark_core.errors import InvalidInput
from bark_core.filekinds import N_BYTES, describe_sound, describe_stand_in
from bark_core.types import History, check_path

ARRAYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
"""The arrays of a voice file, as the original names them."""

MAX_ARRAY_BYTES = 16 * 2**20
"""An array of a voice may not unfold to more: an hour of fine codes in int64 is smaller."""

MAX_HEADER_BYTES = 1024
"""What an array says of its kind and shape takes a tenth of this."""

MAX_ARCHIVE_BYTES = 16 * 2**20
SETTINGS = "settings.json"


def pack_chunk(history: History, settings: Mapping[str, Any]) -> bytes:
    """Return what a WAV carries of the generation that made it: an .npz voice, in 16 bits, with its settings beside the arrays."""
    arrays = (history.semantic, history.coarse, history.fine)
    buffer = pack_arrays({key: array.astype(np.uint16) for key, array in zip(ARRAYS, arrays, strict=True)})
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        # A ZipInfo without a date, so that the same generation gives the same bytes.
        archive.writestr(zipfile.ZipInfo(SETTINGS), json.dumps(settings, ensure_ascii=False, indent=1))
    return buffer.getvalue()


def read_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings that a WAV or .npz carries, plus `arrays`: the shape of each of its token arrays.

    An .npz of a voice alone has no settings. Raises: InvalidInput where the file cannot be read.
    """
    arrays, settings = read_voice_file(path)
    return {**settings, "arrays": {key: list(array.shape) for key, array in arrays.items()}}


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the token arrays that a voice file holds, as they are: bounded and never unpickled, but not checked as a voice."""
    return read_voice_file(path)[0]


def pack_arrays(arrays: Mapping[str, Any]) -> io.BytesIO:
    """Return the bytes of an .npz of these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer


def read_voice_file(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the settings that a voice file holds, whichever kind it is."""
    path = check_path(path)
    name = str(path)
    try:
        if not path.is_file():
            raise InvalidInput(f"There is no file {name}. Give a path to an .npz voice or to a WAV written by this program.")
        with open(path, "rb") as file:
            start = file.read(N_BYTES)
            if start[:4] == b"RIFF":
                chunk = read_chunk(file, name)
                if chunk is None:
                    raise _no_cloning(name, "a WAV file without a voice in it (editing or converting one of ours loses it)")
                return _read_archive(io.BytesIO(chunk), name)
            if start[:2] != b"PK":
                if (stand_in := describe_stand_in(start)) is not None:
                    raise InvalidInput(f"{name} is {stand_in}.")
                if (sound := describe_sound(start)) is not None:
                    raise _no_cloning(name, sound)
                raise InvalidInput(f"{name} is neither an .npz voice nor a WAV: it begins with {start[:4]!r}.")
            size = file.seek(0, os.SEEK_END)
            if size > MAX_ARCHIVE_BYTES:
                raise InvalidInput(f"{name} has {size} bytes; a voice has at most {MAX_ARCHIVE_BYTES}.")
            return _read_archive(file, name)
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror or error}.") from error


def _no_cloning(name: str, kind: str) -> InvalidInput:
    return InvalidInput(
        f"{name} is {kind}, and a voice is not cloned from a recording: it is the tokens of what the model itself spoke, and the part of Bark that would "
        "make them of a recording was never released; give an .npz voice, or a WAV of ours as it was written."
    )


def _read_archive(file: BinaryIO, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            present = set(archive.namelist())
            if not present & {SETTINGS, *(f"{key}.npy" for key in ARRAYS)}:
                raise InvalidInput(_describe_contents(archive.namelist(), name))
            arrays = {key: _read_array(_read_member(archive, f"{key}.npy", name), key, name) for key in ARRAYS if f"{key}.npy" in present}
            settings = json.loads(_read_member(archive, SETTINGS, name)) if SETTINGS in present else {}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, struct.error) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{name} is damaged or no .npz voice: {error}. Use an undamaged copy.") from error
    if not isinstance(settings, dict):
        raise InvalidInput(f"{name} carries settings that are not a set of names and values, so it was not written by this program.")
    return arrays, settings


def _describe_contents(members: list[str], name: str) -> str:
    """Return a sentence on an archive that holds none of a voice's arrays where they belong."""
    files = [member for member in members if not member.endswith("/")]
    shown = ", ".join(repr(member[:60]) for member in files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
    what = f"{name} is no .npz voice but a zip archive that holds {shown or 'nothing'}"
    if any(member.lower().endswith((".npz", ".wav")) for member in files):
        return f"{what}; unpack it and give the voice that is in it."
    return f"{what}; a voice holds {', '.join(f'{key}.npy' for key in ARRAYS)}, in no folder: save it anew with numpy.savez."


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    """Read one file of an archive, at most MAX_ARRAY_BYTES of it, whatever size its header claims."""
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidInput(f"{name} is compressed in a way that .npz files are not; save it with numpy.savez or numpy.savez_compressed.")
    with archive.open(member) as file:
        data = file.read(MAX_ARRAY_BYTES + 1)
    if len(data) > MAX_ARRAY_BYTES:
        raise InvalidInput(f"{name} unfolds to more than {MAX_ARRAY_BYTES} bytes in {member}; no voice is that long.")
    return data


def _read_array(data: bytes, key: str, name: str) -> np.ndarray:
    """Parse an .npy. Its header is checked against the bytes that are there, since numpy allocates what the header claims."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # numpy has Python parse what is written there, which raises whatever it likes
        raise InvalidInput(f"{name} is damaged: {key} does not begin as an .npy does. Use an undamaged copy.") from error
    if dtype.hasobject:
        raise InvalidInput(f"{name} holds pickled objects in {key}, which are never loaded; save plain arrays of whole numbers.")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise InvalidInput(f"{name} is damaged: {key} claims the shape {shape} and holds {len(data) - file.tell()} bytes. Use an undamaged copy.")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
