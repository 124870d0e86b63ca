"""Samples to files: one that grows by pieces, under a temporary name until it is whole, and the whole way from samples to a file.

Knows nothing of what the samples say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np

from bark_core.audio.encoders import Chapter, Encoder
from bark_core.audio.files import PendingFile
from bark_core.audio.formats import Format, check_output, format_of_path, open_encoder
from bark_core.audio.loudness import check_loudness, find_gain
from bark_core.audio.samples import Resampler, measure_peak
from bark_core.config import SAMPLE_RATE

_PIECE_SAMPLES = 2**18


class FileWriter:
    """A file that grows by pieces under a temporary name and gets its own when it is whole. Where it is not finished, nothing stays.

    with FileWriter("speech.mp3", 24_000) as writer:
        writer.write(samples)
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate_hz: int, format: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Begin. `format`: the suffix decides where None. Raises: InvalidInput as `encode`, and where the folder cannot be written to."""
        name = check_output(format or format_of_path(path), sample_rate_hz).name
        self.pending = PendingFile(path)
        self.encoder: Encoder | None = None
        self.is_finished = False
        try:
            self.encoder = open_encoder(cast("BinaryIO", self.pending.file), sample_rate_hz, name, settings)
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError):
                raise self.pending.explain(error) from error
            raise

    def write(self, audio: np.ndarray) -> None:
        """Append samples (n,), floats from -1 to 1. Raises: InvalidInput for what is no audio, and where there is no room for it."""
        assert self.encoder is not None
        try:
            self.encoder.write(audio)
        except OSError as error:
            raise self.pending.explain(error) from error

    def finish(self, chunk: bytes | None = None, chapters: Sequence[Chapter] = ()) -> Path:
        """End the file and give it its name. `chunk`, `chapters`: as in `encode`. Raises: InvalidInput where it has no audio or no room."""
        assert self.encoder is not None
        try:
            self.encoder.close(chunk, chapters)
            self.pending.commit()
            self.is_finished = True
        except OSError as error:
            raise self.pending.explain(error) from error
        finally:
            self.abandon()
        return self.pending.path

    def abandon(self) -> None:
        """Leave nothing of a file that was not finished."""
        if self.encoder is not None:
            self.encoder.abandon()
        self.pending.discard()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Finish the file, unless that was done or something failed; then leave nothing."""
        if kind is None and not self.is_finished:
            self.finish()
        self.abandon()


@dataclass(frozen=True)
class Output:
    """What a file is to be. `format`: None where its suffix says it. `loudness_lufs`: None to leave the gain as it is.

    `fits`: without a loudness, one gain over the whole so that no sample is beyond full scale; else what is beyond is clipped.
    """

    format: str | None = None
    sample_rate_hz: int = SAMPLE_RATE
    loudness_lufs: float | None = None
    fits: bool = False

    def check(self, path: str | os.PathLike[str]) -> Format:
        """Return the format of a file at this path: what is called before anything slow.

        Raises: InvalidInput for a format, a rate or a loudness that cannot be had, or a package for it that is not installed.
        """
        if self.loudness_lufs is not None:
            check_loudness(self.loudness_lufs)
        return check_output(self.format or format_of_path(path), self.sample_rate_hz)


def save_audio(
    path: str | os.PathLike[str],
    audio: np.ndarray,
    sample_rate_hz: int = SAMPLE_RATE,
    output: Output | None = None,
    settings: Mapping[str, Any] | None = None,
    chunk: bytes | None = None,
    chapters: Sequence[Chapter] = (),
) -> list[str]:
    """Write samples (N,) at `sample_rate_hz` to a file, whole or not at all; return what its reader should know of it.

    `settings`, `chunk`, `chapters`: as in formats.encode. The samples are changed and encoded piece by piece: nothing of their length is
    held beside them. Raises: InvalidInput as `Output.check`, and for what is no audio or cannot be written.
    """
    output = output or Output()
    name = output.check(path).name
    gain, note = 1.0, None
    if output.loudness_lufs is not None:
        gain, note = find_gain(audio, sample_rate_hz, output.loudness_lufs)
    elif output.fits:
        gain = min(1.0, 1.0 / max(measure_peak(audio), 1.0))
    resampler = Resampler(sample_rate_hz, output.sample_rate_hz)
    with FileWriter(path, output.sample_rate_hz, name, settings) as writer:
        for start in range(0, len(audio), _PIECE_SAMPLES):
            piece = audio[start : start + _PIECE_SAMPLES]
            writer.write(resampler.add(piece if gain == 1 else piece * np.float32(gain)))
        writer.write(resampler.finish())
        writer.finish(chunk, chapters)
    return [note] if note else []
