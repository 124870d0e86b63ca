"""AAC: bare in ADTS, in MP4 (M4A), and M4B audiobooks with chapters. By PyAV, which brings its own FFmpeg."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from bark_core.audio.encoders import Chapter, Encoder
from bark_core.audio.tags import Tags, make_id3
from bark_core.errors import InvalidInput

BIT_RATE = 64_000
"""Bits a second: speech in AAC is clear from there on."""

CONTAINERS = {"aac": "adts", "m4a": "ipod", "m4b": "ipod"}
AUDIOBOOK = "2"
"""The media type by which players shelve a file under books."""


class AacEncoder(Encoder):
    """AAC. `aac` can be streamed; `m4a` and `m4b` have their index written when they are finished."""

    def __init__(self, file: BinaryIO, sample_rate_hz: int, name: str, tags: Tags) -> None:
        super().__init__()
        self.av, self.name, self.sample_rate_hz, self.title = import_av(name), name, sample_rate_hz, tags.title
        if name == "aac":
            file.write(make_id3(tags))
        self.container = self.av.open(file, "w", format=CONTAINERS[name])
        self.stream = self.container.add_stream("aac", rate=sample_rate_hz)
        self.stream.layout = "mono"
        # AAC holds at most 6144 bits in each frame of 1024 samples.
        self.stream.bit_rate = min(BIT_RATE, 5 * sample_rate_hz)
        self.container.metadata.update({name: text for name, text in (("title", tags.title), ("comment", tags.comment)) if text})
        if name == "m4b":
            self.container.metadata["media_type"] = AUDIOBOOK

    def _encode(self, block: np.ndarray) -> None:
        frame = self.av.AudioFrame.from_ndarray(np.clip(block, -1.0, 1.0)[np.newaxis], format="fltp", layout="mono")  # (1, n)
        frame.sample_rate = self.sample_rate_hz
        frame.pts = self.n_samples
        frame.time_base = Fraction(1, self.sample_rate_hz)
        self.container.mux(self.stream.encode(frame))

    def _finish(self, chunk: bytes | None, chapters: Sequence[Chapter]) -> None:  # noqa: ARG002
        if chapters and self.name != "aac":
            self.container.set_chapters(self._place(check_chapters(chapters, self.n_samples / self.sample_rate_hz)))
        self.container.mux(self.stream.encode(None))
        self.container.close()

    def abandon(self) -> None:
        """Let go of the file."""
        with suppress(Exception):
            self.container.close()

    def _place(self, chapters: Sequence[Chapter]) -> list[dict[str, Any]]:
        """Return chapters as PyAV wants them, each up to the next. What is before the first becomes one with the file's title."""
        if chapters[0][1] > 0:
            chapters = [(self.title, 0.0), *chapters]
        starts_ms = [round(start_s * 1000) for _, start_s in chapters]
        ends_ms = [*starts_ms[1:], math.ceil(self.n_samples * 1000 / self.sample_rate_hz)]
        return [
            {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
            for number, ((title, _), start, end) in enumerate(zip(chapters, starts_ms, ends_ms, strict=True), 1)
        ]


def check_chapters(chapters: Sequence[Chapter], duration_s: float) -> Sequence[Chapter]:
    """Return chapters that lie in the audio and in order. Raises: InvalidInput, which names the first that does not."""
    previous_s = -1.0
    for title, start_s in chapters:
        if not previous_s < start_s < duration_s or start_s < 0:
            raise InvalidInput(
                f"The chapter {title!r} begins at {start_s!r} s; chapters begin one after the other from 0 s up, within the {duration_s:.3f} s of the audio."
            )
        previous_s = start_s
    return chapters


def import_av(name: str) -> Any:
    """Return the package that writes this format. Raises: InvalidInput, which names the extra, where it is not there."""
    try:
        import av
    except ImportError as error:
        raise InvalidInput(
            f"{name} needs the package av, which is not installed: pip install 'bark-core[book]', or choose another format."
        ) from error
    return av
