"""Samples in, the bytes of one file out, piece by piece: WAV and bare PCM by ourselves, FLAC, MP3 and Ogg Opus by soundfile.

An encoder writes into a file object. Where that is a stream, nothing is mended once it is written: a WAV's header says that its
length is unknown, and so do FLAC's and MP3's. Knows nothing of paths.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

import numpy as np

from bark_core.audio.samples import check_audio
from bark_core.audio.tags import OggTagger, Tags, make_id3
from bark_core.audio.wav import MAX_WAV_BYTES, encode_pcm, make_header, pack_chunk, to_pcm16
from bark_core.errors import InvalidInput

Chapter = tuple[str, float]
"""A title, and the seconds from the start of the audio at which it begins."""

SOUNDFILE_KINDS = {"flac": ("FLAC", "PCM_16", None), "mp3": ("MP3", "MPEG_LAYER_III", None), "ogg": ("OGG", "OPUS", 0.8)}
"""libsndfile's container, codec and compression (None: its own choice). MP3: about 55 kbit/s, variable. Opus: about 56."""

_SET_PAGE_LATENCY_MS, _PAGE_LATENCY_MS = 0x1302, 200.0
"""libsndfile's command by which an Ogg stream is sent in shorter pieces than the usual second."""

_BLOCK_SAMPLES = 2**18


class Writable(Protocol):
    """All that an encoder needs of a stream."""

    def write(self, data: bytes, /) -> Any:
        """Take these bytes."""


class Encoder(ABC):
    """One file in the making. `n_samples`: how many it has taken."""

    def __init__(self) -> None:
        self.n_samples = 0

    def write(self, audio: np.ndarray) -> None:
        """Append samples (n,), floats from -1 to 1; what lies beyond is clipped. Raises: InvalidInput for what is no audio."""
        if not np.size(audio):
            return
        samples = check_audio(audio)
        # By blocks, so that an hour is not held a second time in another type.
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            block = samples[start : start + _BLOCK_SAMPLES]
            self._encode(block)
            self.n_samples += len(block)

    def close(self, chunk: bytes | None = None, chapters: Sequence[Chapter] = ()) -> None:
        """Finish the file. `chunk`: what a WAV carries behind its audio. `chapters`: for M4B. Others have no place for them."""
        if not self.n_samples:
            raise InvalidInput("There is no audio to write; give at least one sample.")
        self._finish(chunk, chapters)

    def abandon(self) -> None:  # noqa: B027  where nothing is held there is nothing to let go of
        """Write no more and let go of everything: for a file that nobody wants, and after one that is finished."""

    @abstractmethod
    def _encode(self, block: np.ndarray) -> None: ...

    @abstractmethod
    def _finish(self, chunk: bytes | None, chapters: Sequence[Chapter]) -> None: ...


class PcmEncoder(Encoder):
    """Bare signed 16-bit little-endian samples."""

    def __init__(self, file: Writable) -> None:
        super().__init__()
        self.file = file

    def _encode(self, block: np.ndarray) -> None:
        self.file.write(encode_pcm(block))

    def _finish(self, chunk: bytes | None, chapters: Sequence[Chapter]) -> None: ...


class WavEncoder(PcmEncoder):
    """A 16-bit WAV. One that is streamed says that its length is unknown."""

    def __init__(self, file: BinaryIO, sample_rate_hz: int, is_stream: bool) -> None:
        super().__init__(file)
        self.sink, self.sample_rate_hz, self.is_stream = file, sample_rate_hz, is_stream
        self.start = 0 if is_stream else file.tell()
        file.write(make_header(sample_rate_hz, None if is_stream else 0))

    def _encode(self, block: np.ndarray) -> None:
        if not self.is_stream and 2 * (self.n_samples + len(block)) > MAX_WAV_BYTES:
            raise InvalidInput(f"A WAV holds at most {MAX_WAV_BYTES} bytes of audio, and there is more; choose flac or mp3.")
        super()._encode(block)

    def _finish(self, chunk: bytes | None, chapters: Sequence[Chapter]) -> None:  # noqa: ARG002
        if self.is_stream:
            return
        packed = pack_chunk(chunk)
        self.sink.write(packed)
        end = self.sink.tell()
        self.sink.seek(self.start)
        self.sink.write(make_header(self.sample_rate_hz, self.n_samples, len(packed)))
        self.sink.seek(end)


class SoundfileEncoder(Encoder):
    """FLAC, MP3 or Ogg Opus."""

    def __init__(self, file: BinaryIO, sample_rate_hz: int, name: str, tags: Tags, is_stream: bool) -> None:
        super().__init__()
        kind, subtype, compression = SOUNDFILE_KINDS[name]
        if name == "mp3":
            file.write(make_id3(tags))
        self.sink = _Sink(file, is_stream, OggTagger(tags).add if name == "ogg" else None)
        self.is_exact = subtype == "PCM_16"
        self.sound = import_soundfile(name).SoundFile(
            self.sink, "w", samplerate=sample_rate_hz, channels=1, format=kind, subtype=subtype, compression_level=compression
        )
        if name == "ogg" and is_stream:
            self._shorten_pages()
        if name == "flac":
            for tag, text in (("title", tags.title), ("comment", tags.comment)):
                if text:  # libsndfile refuses empty ones
                    setattr(self.sound, tag, text)

    def _encode(self, block: np.ndarray) -> None:
        self.sink.run(lambda: self.sound.write(to_pcm16(block) if self.is_exact else np.clip(block, -1.0, 1.0)))

    def _finish(self, chunk: bytes | None, chapters: Sequence[Chapter]) -> None:  # noqa: ARG002
        self.sink.run(self.sound.close)

    def _shorten_pages(self) -> None:
        # soundfile passes few of libsndfile's commands on. Where it changes, pages are of a second again.
        with suppress(AttributeError, TypeError):
            import soundfile

            value = soundfile._ffi.new("double*", _PAGE_LATENCY_MS)
            soundfile._snd.sf_command(self.sound._file, _SET_PAGE_LATENCY_MS, value, soundfile._ffi.sizeof("double"))

    def abandon(self) -> None:
        """Write no more, also not when the garbage collector finds libsndfile's file open."""
        self.sink.is_wanted = False
        with suppress(Exception):
            self.sound.close()


class _Sink:
    """The file that libsndfile sees: it begins where ours stands, and errors of ours are kept until Python code runs again.

    A stream, or what is changed by `transform` on its way, only grows: libsndfile's later corrections of its header are dropped.
    """

    def __init__(self, file: BinaryIO, is_stream: bool, transform: Callable[[bytes], bytes] | None) -> None:
        self.file, self.transform = file, transform
        self.only_grows = is_stream or transform is not None
        self.start = 0 if self.only_grows else file.tell()
        self.position = self.size = 0
        self.error: OSError | None = None
        self.is_wanted = True

    def run(self, step: Callable[[], object]) -> None:
        """Do a step of libsndfile's. Raises: OSError where writing failed in it."""
        try:
            step()
        except Exception:
            if self.error is None:
                raise
        if self.error is not None:
            raise self.error

    def write(self, data: bytes) -> int:
        """Write at the position."""
        try:
            if not self.is_wanted:
                pass
            elif not self.only_grows:
                self.file.seek(self.start + self.position)
                self.file.write(data)
            elif self.position == self.size:
                self.file.write(self.transform(data) if self.transform else data)
        except OSError as error:  # raised here it would be printed and lost in C code
            self.error = self.error or error
            return 0
        self.position += len(data)
        self.size = max(self.size, self.position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def tell(self) -> int:
        """Return the position."""
        return self.position


def import_soundfile(name: str) -> Any:
    """Return the package that writes this format. Raises: InvalidInput where it is not there."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there and its library is not
        raise InvalidInput(
            f"{name} needs the package soundfile, which cannot be used here ({error}): pip install soundfile, or choose wav."
        ) from error
    return soundfile
