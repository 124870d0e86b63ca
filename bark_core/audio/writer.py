"""A sound file that grows by pieces: under a temporary name until it is whole. Knows nothing of what is in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np

from bark_core.audio.encoders import Chapter, Encoder
from bark_core.audio.files import PendingFile
from bark_core.audio.formats import check_output, format_of_path, open_encoder


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
