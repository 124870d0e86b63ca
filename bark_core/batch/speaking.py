"""Batches of lines → speech, on a model that is held here: each line comes out as it would alone, and one that fails takes no other with it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bark_core import __version__
from bark_core.batch.requests import Facts, Request
from bark_core.errors import BarkError, BarkWarning
from bark_core.types import choose_seed

if TYPE_CHECKING:
    from bark_core.speech.bark import Bark

OnMessage = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one request: the bytes of its file, or the sentence that says why there are none.

    `wall_s`: its share, by length, of the seconds that its batch took.
    """

    request: Request
    data: bytes | None = None
    error: str | None = None
    seed: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    notes: tuple[str, ...] = ()


class Speakers(Protocol):
    """Whoever speaks batches: one model here, or many elsewhere. `n_workers`: how many batches are spoken at a time."""

    n_workers: int

    @property
    def facts(self) -> Facts:
        """What the model is."""
        ...

    def speak(self, batches: Iterable[Sequence[Request]]) -> Iterator[list[Outcome]]:
        """Take batches one by one as they can be spoken; yield what became of each, in any order, and every request once."""
        ...


class LocalSpeaker:
    """One model in this process. It is loaded when the first batch comes: what is done already needs none."""

    n_workers = 1

    def __init__(
        self, model: str, device: str = "auto", precision: str = "auto", n_rows: int = 8, on_message: OnMessage | None = None
    ) -> None:
        """Find the model. Raises: CheckpointError where it is not there."""
        from bark_core.checkpoint.open import open_checkpoint

        self._model, self._device, self._precision, self._n_rows, self._on_message = model, device, precision, n_rows, on_message
        checkpoint = open_checkpoint(model, on_message)
        self.facts = Facts(checkpoint.name, checkpoint.digest, tuple(checkpoint.voices), __version__)
        self._bark: Bark | None = None

    def speak(self, batches: Iterable[Sequence[Request]]) -> Iterator[list[Outcome]]:
        """Speak batches, one after the other."""
        from bark_core.speech.bark import Bark

        for batch in batches:
            if self._bark is None:
                self._bark = Bark.load(self._model, device=self._device, precision=self._precision, on_message=self._on_message)
            yield speak_batch(self._bark, batch, self._n_rows)


def speak_batch(bark: Bark, batch: Sequence[Request], n_rows: int) -> list[Outcome]:
    """Speak requests of one group, `n_rows` at a time; return what became of each. What one line raises is that line's outcome."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarkWarning)  # they are in the notes
        outcomes = _speak(bark, batch, n_rows)
    audio_s = sum(outcome.audio_s for outcome in outcomes)
    per_second = (time.perf_counter() - begin) / audio_s if audio_s else 0.0
    return [replace(outcome, wall_s=outcome.audio_s * per_second) for outcome in outcomes]


def _speak(bark: Bark, batch: Sequence[Request], n_rows: int) -> list[Outcome]:
    """Speak requests together; where that fails, each half apart, until the line is alone that did it."""
    try:
        generations = bark.generate_batch(
            [request.text for request in batch],
            voice=[request.voice for request in batch],
            seed=[choose_seed() if request.seed is None else request.seed for request in batch],
            batch_size=n_rows,
            **batch[0].asked,
        )
    except Exception as error:
        if len(batch) == 1:
            return [Outcome(batch[0], error=explain(error))]
        middle = len(batch) // 2
        return [*_speak(bark, batch[:middle], n_rows), *_speak(bark, batch[middle:], n_rows)]
    from bark_core.stages.jobs import explain_failure  # with torch, which a dry run has no use for

    outcomes: list[Outcome] = []
    for request, speech in zip(batch, generations, strict=True):
        if not len(speech.audio):
            outcomes.append(Outcome(request, error=explain_failure(request.text)))
            continue
        try:
            data = speech.encode(replace(request.output, format=request.format))
        except Exception as error:
            outcomes.append(Outcome(request, error=explain(error)))
        else:
            outcomes.append(Outcome(request, data, None, speech.seed, speech.timings.audio_s, 0.0, tuple(speech.notes)))
    return outcomes


def explain(error: Exception) -> str:
    """Return the sentence for an error: ours are sentences, any other is named."""
    return str(error) if isinstance(error, BarkError) else f"{type(error).__name__}: {error}"
