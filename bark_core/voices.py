"""Voices: the presets' names, history prompts read from .npz and WAV files, checked before anything trusts them.

Files are untrusted: nothing is unpickled, and sizes are bounded before they are read. Knows no models.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bark_core.audio import read_chunk, write_atomically
from bark_core.config import BarkConfig
from bark_core.errors import InvalidInput
from bark_core.types import History

LANGUAGES = ("en", "de", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh")
"""The languages that Bark was trained to speak."""

PRESETS = (
    "announcer",
    *(f"speaker_{n}" for n in range(10)),
    *(f"{prefix}{language}_speaker_{n}" for prefix in ("v2/", "") for language in LANGUAGES for n in range(10)),
)
"""The names of Suno's 271 presets. Those under v2/ are the better ones."""

ARRAYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
"""The arrays of a voice file, as the original names them."""

MAX_ARRAY_BYTES = 16 * 2**20
"""An array of a voice may not unfold to more: an hour of fine codes in int64 is smaller."""

MAX_ARCHIVE_BYTES = 16 * 2**20
SETTINGS = "settings.json"


class Voice(History):
    """A voice, also called a history prompt: what was spoken before, as semantic (S,), coarse (2, T) and fine (8, T') int64 tokens."""

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any]) -> Voice:
        """Read a voice from an .npz, from a WAV that `Generation.save` wrote, or from a dict of the same three arrays.

        Raises: InvalidInput, in one sentence, for whatever is wrong with it.
        """
        if isinstance(source, Mapping):
            return cls.from_arrays(source, "This voice")
        return cls.from_arrays(_read_file(source)[0], str(source))

    @classmethod
    def preset(cls, name: str, folder: str | os.PathLike[str]) -> Voice:
        """Read the preset `name` (v2/en_speaker_6; either slash) from a folder of presets, as a checkpoint's `voices/` is.

        Raises: InvalidInput for an unknown name; it suggests the closest ones.
        """
        folder = Path(folder)
        present = list_voices(folder)
        found = find_preset(name, present, f"the folder {folder}")
        return cls.load(folder / f"{found}.npz")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], name: str, config: BarkConfig | None = None) -> Voice:
        """Build from `semantic_prompt`, `coarse_prompt` and `fine_prompt`. `name` is what messages call it."""
        missing = [key for key in ARRAYS if key not in arrays]
        if missing:
            raise InvalidInput(f"{name} has no array {missing[0]}; a voice needs {', '.join(ARRAYS)}.")
        voice = cls(*(_to_int64(arrays[key], key, name) for key in ARRAYS))
        check_history(voice, config or BarkConfig(), name)
        return voice

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the three arrays under the original's names."""
        return dict(zip(ARRAYS, (self.semantic, self.coarse, self.fine), strict=True))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an .npz that this program and the original load. Written whole or not at all."""
        return write_atomically(path, _pack_arrays(self.arrays()).getvalue())


def pack_chunk(history: History, settings: Mapping[str, Any]) -> bytes:
    """Return what a WAV carries of the generation that made it: an .npz voice, in 16 bits, with its settings beside the arrays."""
    arrays = (history.semantic, history.coarse, history.fine)
    buffer = _pack_arrays({key: array.astype(np.uint16) for key, array in zip(ARRAYS, arrays, strict=True)})
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        # A ZipInfo without a date, so that the same generation gives the same bytes.
        archive.writestr(zipfile.ZipInfo(SETTINGS), json.dumps(settings, ensure_ascii=False, indent=1))
    return buffer.getvalue()


def read_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings that a WAV or .npz carries, plus `arrays`: the shape of each of its token arrays.

    An .npz of a voice alone has no settings. Raises: InvalidInput where the file cannot be read.
    """
    arrays, settings = _read_file(path)
    return {**settings, "arrays": {key: list(array.shape) for key, array in arrays.items()}}


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the token arrays that a voice file holds, as they are: bounded and never unpickled, but not checked as a voice."""
    return _read_file(path)[0]


def list_voices(folder: Path) -> tuple[str, ...]:
    """Return the names of the presets in a `voices/` folder, with forward slashes, in order."""
    return tuple(sorted(found.relative_to(folder).with_suffix("").as_posix() for found in folder.rglob("*.npz")))


def find_preset(name: str, present: Sequence[str], owner: str) -> str:
    """Return `name` as `present` spells it, either slash. Raises: InvalidInput that names the closest ones that `owner` has."""
    wanted = _normalise(name)
    if wanted in present:
        return wanted
    if not present:
        raise InvalidInput(f"The voice {name!r} was asked for, but {owner} has no presets; give an .npz or a WAV of ours, or no voice.")
    close = difflib.get_close_matches(wanted, present, n=3, cutoff=0.5) or list(present[:3])
    what = f"The voice {name!r} is one of Suno's presets, which {owner} does not have" if wanted in PRESETS else f"{owner} has no voice {name!r}"
    among = f" of its {len(present)}" if len(present) > len(close) else ""
    raise InvalidInput(f"{what[0].upper()}{what[1:]}; the closest{among}: {', '.join(close)}. A path to an .npz or to a WAV of ours works, too.")


def check_history(history: History, config: BarkConfig, name: str) -> None:
    """Raise InvalidInput, in one sentence, where a voice cannot be one for this checkpoint."""
    semantic, coarse, fine = history.semantic, history.coarse, history.fine
    shapes = (("semantic_prompt", semantic, 1, None), ("coarse_prompt", coarse, 2, config.n_coarse_codebooks), ("fine_prompt", fine, 2, config.n_fine_codebooks))
    for key, array, n_axes, n_rows in shapes:
        if array.ndim != n_axes or (n_rows is not None and array.shape[0] != n_rows):
            wanted = "(n,)" if n_rows is None else f"({n_rows}, frames)"
            raise InvalidInput(f"{name} has a {key} of shape {array.shape}; it must be {wanted}.")
        if array.shape[-1] < (2 if n_rows is None else 1):
            raise InvalidInput(f"{name} has a {key} of shape {array.shape}, which is too short to be a voice; a second or more is needed.")
        largest = config.semantic_vocab_size - 1 if n_rows is None else config.codebook_size - 1
        if array.min() < 0 or array.max() > largest:
            raise InvalidInput(f"{name} has values from {array.min()} to {array.max()} in {key}; they must lie in 0 to {largest}.")
    ratio = config.coarse_rate_hz / config.semantic_rate_hz
    found = coarse.shape[1] / len(semantic)
    if round(found, 1) != round(ratio, 1):
        raise InvalidInput(
            f"{name} has {coarse.shape[1]} coarse frames for {len(semantic)} semantic tokens, {found:.2f} each; "
            f"a voice has {round(ratio, 1)}, rounded, so the arrays are not of the same speech, or it is too short to tell."
        )


def check_tokens(values: Any, name: str, n_rows: int | None, vocab_size: int) -> np.ndarray:
    """Return a stage's tokens as int64, (n,) where `n_rows` is None, else (n_rows, n). Raises: InvalidInput in one sentence."""
    array = _to_int64(values, f"{name} array", "What was given")
    wanted = "(n,)" if n_rows is None else f"({n_rows}, n)"
    if array.ndim != (1 if n_rows is None else 2) or (n_rows is not None and array.shape[0] != n_rows) or not array.size:
        raise InvalidInput(f"The {name} tokens have the shape {array.shape}; they must be {wanted} with n of at least 1.")
    if array.min() < 0 or array.max() >= vocab_size:
        raise InvalidInput(f"The {name} tokens run from {array.min()} to {array.max()}; they must lie in 0 to {vocab_size - 1}.")
    return array


def resolve_voice(
    voice: str | os.PathLike[str] | History | Mapping[str, Any] | None,
    config: BarkConfig,
    present: Sequence[str],
    load_preset: Callable[[str], Mapping[str, Any]],
    owner: str,
) -> Voice | None:
    """Return the voice that a caller gave (a preset of `owner`, a path, a Voice, a dict of arrays), checked against `config`; None for none."""
    if voice is None:
        return None
    if isinstance(voice, History):
        voice = Voice(voice.semantic, voice.coarse, voice.fine).arrays()
    if isinstance(voice, Mapping):
        return Voice.from_arrays(voice, "This voice", config)
    if isinstance(voice, os.PathLike) or (isinstance(voice, str) and voice.lower().endswith((".npz", ".wav"))):
        return Voice.from_arrays(_read_file(voice)[0], str(voice), config)
    if not isinstance(voice, str):
        raise InvalidInput(f"A voice of type {type(voice).__name__} was given; it must be a preset's name, a path to an .npz or WAV, or a Voice.")
    name = find_preset(voice, present, owner)
    return Voice.from_arrays(load_preset(name), f"The preset {name}", config)


def describe_voice(asked: object, voice: History | None, present: Sequence[str]) -> str | None:
    """Return what to record of the voice that was asked for: a preset's name, "custom" with a digest of its arrays, or None."""
    if voice is None:
        return None
    if isinstance(asked, str) and _normalise(asked) in present:
        return _normalise(asked)
    digest = hashlib.sha256()
    for array in (voice.semantic, voice.coarse, voice.fine):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return f"custom:{digest.hexdigest()[:16]}"


def _pack_arrays(arrays: Mapping[str, Any]) -> io.BytesIO:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer


def _normalise(name: str) -> str:
    return name.strip().replace("\\", "/")


def _to_int64(values: Any, key: str, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InvalidInput(f"{name} has a {key} of type {array.dtype}; it must hold whole numbers.")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise InvalidInput(f"{name} has values up to {array.max()} in {key}, which no token has.")
    return array.astype(np.int64)


def _read_file(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the settings that a voice file holds, whichever kind it is."""
    name = str(path)
    try:
        if not Path(path).is_file():
            raise InvalidInput(f"There is no file {name}. Give a path to an .npz voice or to a WAV written by this program.")
        with open(path, "rb") as file:
            magic = file.read(4)
            if magic == b"RIFF":
                return _read_archive(io.BytesIO(read_chunk(file, name)), name)
            if magic[:2] != b"PK":
                raise InvalidInput(f"{name} is neither an .npz voice nor a WAV: it begins with {magic!r}.")
            size = file.seek(0, os.SEEK_END)
            if size > MAX_ARCHIVE_BYTES:
                raise InvalidInput(f"{name} has {size} bytes; a voice has at most {MAX_ARCHIVE_BYTES}.")
            return _read_archive(file, name)
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror or error}.") from error


def _read_archive(file: BinaryIO, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            present = set(archive.namelist())
            arrays = {key: _read_array(_read_member(archive, f"{key}.npy", name), key, name) for key in ARRAYS if f"{key}.npy" in present}
            settings = json.loads(_read_member(archive, SETTINGS, name)) if SETTINGS in present else {}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, struct.error) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{name} is damaged or no .npz voice: {error}. Use an undamaged copy.") from error
    if not isinstance(settings, dict):
        raise InvalidInput(f"{name} carries settings that are not a set of names and values, so it was not written by this program.")
    return arrays, settings


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
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise InvalidInput(f"{name} holds pickled objects in {key}, which are never loaded; save plain arrays of whole numbers.")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise InvalidInput(f"{name} is damaged: {key} claims the shape {shape} and holds {len(data) - file.tell()} bytes. Use an undamaged copy.")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
