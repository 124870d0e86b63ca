"""A file of lines into a folder of speech: what is there stays, what is left is spoken, what fails is told, and a report says so.

    speak_file("lines.txt", "speech", LocalSpeaker("demo"), Defaults(seed=7))

Nothing of the file is held but the lines that the next batches are chosen from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bark_core.batch.entries import FIELDS, Defaults, Problem, fold_id, read_entries
from bark_core.batch.keeping import Keeper
from bark_core.batch.manifest import NoRoom
from bark_core.batch.records import read_records
from bark_core.batch.report import Progress, write_report
from bark_core.batch.requests import Request, Requests
from bark_core.batch.speaking import Outcome, Speakers
from bark_core.batch.window import gather_batches
from bark_core.errors import BarkError, InvalidInput
from bark_core.types import check_path

OnProgress = Callable[[Progress], None]


def speak_file(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    speakers: Speakers,
    defaults: Defaults | None = None,
    n_rows: int = 8,
    precision: str = "auto",
    on_message: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
    room_timeout_s: float = 600.0,
) -> Progress:
    """Speak what a file asks for into a folder, a file a line; return how it went, which report.json in the folder says in full.

    `n_rows`: lines that are drawn together. `precision`: what `speakers` were told; where it changes, lines are spoken again. `on_message`
    hears of each line that fails. `room_timeout_s`: how long to wait where the folder is full.
    Raises: InvalidInput for a file or a folder that cannot be used, or one that another run is writing; NoRoom.
    """
    n_lines = count_lines(source)
    keeper = Keeper(folder, on_message or _ignore, room_timeout_s)
    run = Run(check_path(source), keeper, speakers, defaults or Defaults(), precision, on_message or _ignore)
    run.progress.n_lines = n_lines
    try:
        run.speak(n_rows, on_progress or _ignore)
    finally:
        run.close()
    return run.progress


def count_lines(source: str | os.PathLike[str]) -> int:
    """Return how many lines a file has, bad ones among them. Raises: InvalidInput for one that has none, or is no file of lines."""
    n_lines = sum(1 for _ in read_records(source, FIELDS))
    if not n_lines:
        raise InvalidInput(f"{source} has no line to speak; give one a line.")
    return n_lines


class Run:
    """One run over a file. `progress`: how far it is."""

    def __init__(
        self, source: Path, keeper: Keeper, speakers: Speakers, defaults: Defaults, precision: str, on_message: Callable[[str], None]
    ) -> None:
        self._source, self._keeper, self._speakers, self._defaults, self._say = source, keeper, speakers, defaults, on_message
        self._requests = Requests(speakers.facts, precision)
        self._precision = precision
        self._ended = "early: killed, or by an error"
        self.progress = Progress()

    def speak(self, n_rows: int, on_progress: OnProgress) -> None:
        """Speak what is left."""
        begin = time.monotonic()
        on_progress(self.progress)
        try:
            for outcomes in self._speakers.speak(gather_batches(self.find_left(), n_rows)):
                for outcome in outcomes:
                    self._take(outcome)
                self.progress.speaking_s = time.monotonic() - begin
                on_progress(self.progress)
        except KeyboardInterrupt:
            self._ended = "interrupted"
            raise
        except NoRoom:
            self._ended = "for lack of room"
            raise
        self._ended = "whole"

    def find_left(self) -> Iterator[Request]:
        """Yield the lines that are to be spoken; take note of the others."""
        manifest = self._keeper.manifest
        for entry in read_entries(self._source, self._defaults):
            if isinstance(entry, Problem):
                self._fail(entry.number, entry.id, entry.error)
                continue
            first = manifest.see(fold_id(entry.id), entry.number)
            if first is not None:
                self._fail(entry.number, entry.id, f"Its id is that of line {first}, upper and lower case apart; give each line one of its own.")
                continue
            try:
                request = self._requests.make(entry)
            except InvalidInput as error:
                self._fail(entry.number, entry.id, str(error))
                continue
            if self._keeper.holds(request):
                self.progress.n_unchanged += 1
                continue
            yield request

    def close(self) -> None:
        """Write the report, as far as there is room, and let others have the folder."""
        try:
            facts, progress, manifest = self._speakers.facts, self.progress, self._keeper.manifest
            head: dict[str, Any] = {
                "source": str(self._source),
                "ended": self._ended,
                "model": facts.name,
                "model_digest": facts.digest,
                "version": facts.version,
                "precision": self._precision,
                "lines": progress.n_lines,
                "n_spoken": progress.n_spoken,
                "n_unchanged": progress.n_unchanged,
                "n_failed": progress.n_failed,
                "audio_s": round(progress.audio_s, 3),
                "wall_s": round(progress.wall_s, 3),
                "rtf": None if progress.rtf is None else round(progress.rtf, 4),
            }
            write_report(self._keeper.folder, head, manifest.list_failures(), manifest.list_spoken())
        except (BarkError, OSError) as error:
            self._say(f"The report was not written: {error}")
        finally:
            self._keeper.manifest.close()

    def _take(self, outcome: Outcome) -> None:
        request, error = outcome.request, outcome.error
        if error is None:
            try:
                self._keeper.keep(outcome, self._speakers.facts.digest)
            except NoRoom:
                raise
            except InvalidInput as refused:
                error = str(refused)
        if error is not None:
            self._fail(request.number, request.id, error)
            return
        self.progress.n_spoken += 1
        self.progress.audio_s += outcome.audio_s

    def _fail(self, number: int, id: str | None, error: str) -> None:
        self.progress.n_failed += 1
        self._keeper.manifest.fail(number, id, error)
        self._say(f"line {number}{'' if id in (None, f'{number:06d}') else f' ({id})'}: {error}")


def _ignore(_: object) -> None: ...
