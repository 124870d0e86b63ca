"""Texts on their way to speech: planned and checked at once, spoken when it is run, assembled as their utterances come.

Whoever runs it decides what becomes of the pieces: a whole (`Bark.generate`), or a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, suppress

import numpy as np

from bark_core.engine.runtime import Runtime
from bark_core.errors import BarkWarning, GenerationError, InvalidInput
from bark_core.speech.assemble import Assembly
from bark_core.speech.lines import Event, Line, Listener
from bark_core.speech.narrate import Narrator
from bark_core.speech.notes import warn_of
from bark_core.speech.options import SpeechOptions
from bark_core.speech.plan import make_lines, plan_text
from bark_core.speech.scheduler import Scheduler
from bark_core.stages.jobs import explain_failure
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, History
from bark_core.voices.voice import VoiceLike

CHUNKS = 4
"""How many batches of utterances are on their way at a time where nobody waits for sound: rows that end early are replaced."""

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
        self._runtime, self._batch_size = runtime, batch_size
        spoken = list[Line]()
        for script, (text, voice, seed) in enumerate(texts):
            try:
                plan = plan_text(text, voice, seed, speech, encoder, runtime.config, presets)
                lines, notes = make_lines(plan, script, resolve, encoder)
            except InvalidInput as error:
                if len(texts) == 1:
                    raise
                raise InvalidInput(f"texts[{script}]: {error}") from error
            spoken += lines
            self.assemblies.append(Assembly(plan, runtime.config))
            self.assemblies[-1].notes += notes
        self._warned = [*(note for each in self.assemblies for note in each.notes), *(note for line in spoken for note in line.notes)]
        warn_of(self._warned)
        self._is_told = False
        self._narrator = Narrator(runtime.config, encoder, options, speech.takes, spoken, listener)

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds that each stage took so far."""
        return self._narrator.seconds

    def run(self, is_streamed: bool = False) -> Generator[Event | Piece]:
        """Speak; yield progress, and pieces as they come. `is_streamed`: the first piece is not made to wait for others.

        Raises: GenerationError where the model would not speak, or gives something other than numbers.
        """
        with closing(Scheduler(self._runtime, self._batch_size)) as scheduler:
            self.join(scheduler, is_streamed)
            while not self.is_done:
                scheduler.step()
                yield from self.take_events()

    def join(self, scheduler: Scheduler, is_streamed: bool = False, is_shared: bool = False) -> None:
        """Let a scheduler speak this. `is_shared`: others are served beside it, and it takes no more than its share of their places."""
        scheduler.add(self._narrator, self._batch_size * (1 if is_streamed or is_shared else CHUNKS), is_streamed)

    def leave(self, scheduler: Scheduler) -> None:
        """Have a scheduler stop speaking this."""
        scheduler.drop(self._narrator)

    @property
    def is_done(self) -> bool:
        """Tell whether nothing more is to come, and all of it was taken."""
        return self._narrator.is_done and not self._narrator.events

    def take_events(self) -> Generator[Event | Piece]:
        """Yield the progress and the pieces that have come since. Raises: what ended the speech."""
        events = self._narrator.events
        while events:
            event = events.popleft()
            if isinstance(event, tuple):
                yield event
                continue
            assembly = self.assemblies[event.line.script]
            yield assembly, assembly.add(event.line), event.is_last
        if self._narrator.error is not None:
            raise self._narrator.error
        if self._narrator.is_done and not self._is_told:
            self._is_told = True
            # Where a filter makes errors of warnings, what is done is not thrown away for one; the notes are in it.
            with suppress(BarkWarning):
                warn_of(note for each in self.assemblies for note in each.notes if note not in self._warned)
            if len(self.assemblies) == 1 and not self.assemblies[0].spoken:
                raise GenerationError(explain_failure(self.assemblies[0].plan.text))
