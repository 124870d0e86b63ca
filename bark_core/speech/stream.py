"""Speech as it comes: an iterator over chunks of audio, which join to the whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import cast

import numpy as np

from bark_core.speech.assemble import Assembly
from bark_core.speech.generation import Generation
from bark_core.speech.lines import Event
from bark_core.speech.session import Piece, Session
from bark_core.stages.run import OnProgress
from bark_core.types import AudioChunk


class SpeechStream(Iterator[AudioChunk]):
    """Chunks of one text's speech. `generation`: the whole, once the last chunk was given; until then None.

    Each chunk is an utterance with the pause after it. `close`, or leaving it as a context, stops the work.
    """

    def __init__(
        self, session: Session, present: Callable[[Assembly, Session], Generation], on_progress: OnProgress | None = None
    ) -> None:
        self._session, self._present, self._on_progress = session, present, on_progress
        self._events: Generator[Event | Piece] = session.run(is_streamed=True)
        self._position = 0
        self.sample_rate_hz = session.assemblies[0].sample_rate_hz
        self.generation: Generation | None = None

    def __next__(self) -> AudioChunk:
        for event in self._events:
            if isinstance(event[0], str):
                if self._on_progress is not None:
                    self._on_progress(*cast(Event, event))
                continue
            assembly, samples, is_last = cast(Piece, event)
            chunk = AudioChunk(np.asarray(samples), self._position, is_last)
            self._position += len(samples)
            if is_last:
                self.generation = self._present(assembly, self._session)
            return chunk
        raise StopIteration

    def close(self) -> None:
        """Stop the work; what was not given is not made."""
        self._events.close()

    def __enter__(self) -> SpeechStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
