"""Texts on their way to speech: planned and checked at once, spoken when it is run, assembled as their utterances come.

Whoever runs it decides what becomes of the pieces: a whole (`Bark.generate`), or a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, suppress

import numpy as np

from bark_core.engine.runtime import Runtime
from bark_core.errors import BarkWarning, InvalidInput
from bark_core.speech.assemble import Assembly
from bark_core.speech.narrate import Event, Line, Listener, Narrator
from bark_core.speech.notes import warn_of
from bark_core.speech.options import SpeechOptions
from bark_core.speech.plan import make_lines, plan_text
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, History
from bark_core.voices.voice import VoiceLike

CHUNKS = 4
"""How many batches of utterances go through a stage together where nobody waits for sound: rows that end early are replaced."""

Piece = tuple[Assembly, np.ndarray, bool]
"""Samples that a text's speech grew by, and whether they are its last."""


class Session:
    """Some texts, each with its voice and seed, and how they are spoken. `assemblies`: what has been spoken of each."""

    def __init__(
        self,
        runtime: Runtime,
        encoder: TextEncoder,
        presets: Collection[str],
        resolve: Callable[[VoiceLike], History | None],
        texts: Sequence[tuple[str, VoiceLike, int]],
        options: GenerateOptions,
        speech: SpeechOptions,
        batch_size: int,
        listener: Listener | None = None,
    ) -> None:
        """Plan what is to be spoken. Warns: BarkWarning of words that are not known. Raises: InvalidInput for anything that cannot be used."""
        self.options, self.speech = options, speech
        self.assemblies: list[Assembly] = []
        self._lines: list[Line] = []
        self._batch_size = batch_size
        for script, (text, voice, seed) in enumerate(texts):
            try:
                plan = plan_text(text, voice, seed, speech, encoder, runtime.config, presets)
                lines, notes = make_lines(plan, script, resolve, encoder)
            except InvalidInput as error:
                if len(texts) == 1:
                    raise
                raise InvalidInput(f"texts[{script}]: {error}") from error
            self._lines += lines
            self.assemblies.append(Assembly(plan, runtime.config))
            self.assemblies[-1].notes += notes
        self._warned = [*(note for each in self.assemblies for note in each.notes), *(note for line in self._lines for note in line.notes)]
        warn_of(self._warned)
        self._narrator = Narrator(runtime, encoder, options, speech.takes, batch_size, listener)

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds that each stage took so far."""
        return self._narrator.seconds

    def run(self, is_streamed: bool = False) -> Generator[Event | Piece]:
        """Speak; yield progress, and pieces as they come. `is_streamed`: the first piece is not made to wait for others."""
        chunk_size = self._batch_size * (1 if is_streamed else CHUNKS)
        with closing(self._narrator.speak(self._lines, chunk_size, is_streamed)) as events:
            for event in events:
                if isinstance(event, tuple):
                    yield event
                    continue
                assembly = self.assemblies[event.script]
                samples = assembly.add(event)
                yield assembly, samples, not self._narrator.count_waiting(event.script)
        # Where a filter makes errors of warnings, what is done is not thrown away for one; the notes are in it.
        with suppress(BarkWarning):
            warn_of(note for each in self.assemblies for note in each.notes if note not in self._warned)
