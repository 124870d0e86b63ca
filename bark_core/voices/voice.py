"""A voice: the three arrays of what was spoken before, checked, and found from whatever a caller gives for one. Knows no models."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bark_core.audio.files import write_atomically
from bark_core.config import BarkConfig
from bark_core.errors import InvalidInput
from bark_core.types import History, check_path
from bark_core.voices.files import ARRAYS, pack_arrays, read_voice_file
from bark_core.voices.presets import find_preset, list_voices, normalise_name


class Spoken(Protocol):
    """Speech that is a voice, too, as a Generation is."""

    @property
    def voice(self) -> History:
        """Its tokens. Raises: InvalidInput where it is too short to be a voice."""
        ...


VoiceLike = str | os.PathLike[str] | History | Spoken | Mapping[str, Any] | None
"""What a caller may give for a voice: a preset's name, a path, a Voice, a Generation, a dict of the arrays, or None for any."""


class Voice(History):
    """A voice, also called a history prompt: what was spoken before, as semantic (S,), coarse (2, T) and fine (8, T') int64 tokens."""

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any]) -> Voice:
        """Read a voice from an .npz, from a WAV that `Generation.save` wrote, or from a dict of the same three arrays.

        Raises: InvalidInput, in one sentence, for whatever is wrong with it.
        """
        if isinstance(source, Mapping):
            return cls.from_arrays(source, "This voice")
        return cls.from_arrays(read_voice_file(source)[0], str(source))

    @classmethod
    def preset(cls, name: str, folder: str | os.PathLike[str]) -> Voice:
        """Read the preset `name` (v2/en_speaker_6; either slash) from a folder of presets, as a checkpoint's `voices/` is.

        Raises: InvalidInput for an unknown name; it suggests the closest ones.
        """
        folder = check_path(folder)
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
        return write_atomically(path, pack_arrays(self.arrays()).getvalue())


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
    voice: VoiceLike,
    config: BarkConfig,
    present: Sequence[str],
    load_preset: Callable[[str], Mapping[str, Any]],
    owner: str,
) -> Voice | None:
    """Return the voice that a caller gave, checked against `config`; None for none. A name that `owner` has goes before a file of that name."""
    if voice is None:
        return None
    if not isinstance(voice, (str, os.PathLike, Mapping, History)):
        spoken = getattr(voice, "voice", None)
        if not isinstance(spoken, History):
            raise InvalidInput(
                f"A voice of type {type(voice).__name__} was given; it must be a preset's name, a path to an .npz or WAV, a Voice or a Generation."
            )
        voice = spoken
    if isinstance(voice, History):
        voice = Voice(voice.semantic, voice.coarse, voice.fine).arrays()
    if isinstance(voice, Mapping):
        return Voice.from_arrays(voice, "This voice", config)
    if not isinstance(voice, str) or (normalise_name(voice) not in present and _names_file(voice)):
        return Voice.from_arrays(read_voice_file(voice)[0], str(voice), config)
    name = find_preset(voice, present, owner)
    return Voice.from_arrays(load_preset(name), f"The preset {name}", config)


def describe_voice(asked: object, voice: History | None, present: Sequence[str]) -> str | None:
    """Return what to record of the voice that was asked for: a preset's name, "custom" with a digest of its arrays, or None."""
    if voice is None:
        return None
    if isinstance(asked, str) and normalise_name(asked) in present:
        return normalise_name(asked)
    digest = hashlib.sha256()
    for array in (voice.semantic, voice.coarse, voice.fine):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return f"custom:{digest.hexdigest()[:16]}"


def _names_file(voice: str) -> bool:
    """Tell whether a string is a file's name: there is such a file, or it ends as voice files do, and its absence is what to speak of."""
    return os.path.isfile(voice) or voice.lower().endswith((".npz", ".wav"))


def _to_int64(values: Any, key: str, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"{name} has a {key} of type {array.dtype}; it must hold whole numbers.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise InvalidInput(f"{name} has values in {key}, of type {array.dtype}, that are fractions, or no numbers at all; it must hold whole numbers.")
    # What 64 bits cannot hold would become another number without a word. No token is near it.
    if array.dtype.kind != "i" and array.size and max(float(array.max()), -float(array.min())) >= 2.0**62:
        raise InvalidInput(f"{name} has values from {array.min()} to {array.max()} in {key}, which no token has.")
    return array.astype(np.int64)
