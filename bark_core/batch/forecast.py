"""How much speech a file of lines is, and how long that takes, without keeping anything."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bark_core.batch.entries import Defaults
from bark_core.batch.keeping import Keeper
from bark_core.batch.manifest import NAME
from bark_core.batch.report import Progress, tell_time
from bark_core.batch.requests import Request
from bark_core.batch.run import Run, count_lines
from bark_core.batch.speaking import Speakers
from bark_core.errors import BarkError
from bark_core.types import check_path

SAMPLE = 8
"""How many lines are spoken, and kept nowhere, to measure how fast that is, where no run before tells."""


@dataclass(frozen=True)
class Forecast:
    """What is to come: lines left, about how many seconds of speech they are, and how many a second of speech takes, measured `how`."""

    progress: Progress
    n_left: int
    speech_s: float
    rtf: float
    how: str
    n_workers: int

    def __str__(self) -> str:
        done = self.progress
        counts = f"{done.n_lines:,} lines: {self.n_left:,} to speak, {done.n_unchanged:,} as they were, {done.n_failed:,} that cannot be spoken."
        if not self.n_left:
            return f"{counts} Nothing is left to do."
        workers = f" by {self.n_workers} workers" if self.n_workers > 1 else ""
        return (
            f"{counts} About {tell_time(self.speech_s)} of speech, in about {tell_time(self.speech_s * self.rtf / self.n_workers)}{workers}: "
            f"{self.rtf:.2f} × its length, {self.how}."
        )


def forecast(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    speakers: Speakers,
    defaults: Defaults,
    precision: str = "auto",
    on_message: Callable[[str], None] = lambda _: None,
) -> Forecast:
    """Read a file of lines, and say what speaking it into a folder would be; `on_message` hears of each line that cannot be spoken.

    The folder is not made, and nothing is written to one that is there but what a killed run left undone. Raises: InvalidInput as `speak_file`.
    """
    n_lines = count_lines(source)
    folder = check_path(folder)
    with tempfile.TemporaryDirectory(prefix="bark-") as elsewhere:
        keeper = Keeper(folder if (folder / NAME).is_file() else Path(elsewhere), on_message)
        try:
            run = Run(check_path(source), keeper, speakers, defaults, precision, on_message)
            run.progress.n_lines = n_lines
            n_left, speech_s, sample = _read(run)
            rtf, how = keeper.manifest.measure_speed(speakers.facts.digest), "as in the runs before"
        finally:
            keeper.manifest.close()
    if rtf is None and sample:
        rtf, how = _measure(speakers, sample), f"measured by speaking {len(sample)} of them"
    return Forecast(run.progress, n_left, speech_s, rtf or 0.0, how, speakers.n_workers)


def _read(run: Run) -> tuple[int, float, list[Request]]:
    """Return how many lines are left, how long they are, and some of them: each as likely as any other of the first's group."""
    n_left, n_alike, speech_s, sample = 0, 0, 0.0, list[Request]()
    chance = random.Random(0)
    for request in run.find_left():
        n_left += 1
        speech_s += request.seconds
        if sample and request.group != sample[0].group:
            continue
        n_alike += 1
        if len(sample) < SAMPLE:
            sample.append(request)
        elif (place := chance.randrange(n_alike)) < SAMPLE:
            sample[place] = request
    return n_left, speech_s, sample


def _measure(speakers: Speakers, sample: list[Request]) -> float:
    """Return the seconds that a second of speech takes. Raises: BarkError where none of the lines can be spoken."""
    outcomes = [outcome for made in speakers.speak([[replace(each, seed=each.seed or 0) for each in sample]]) for outcome in made]
    audio_s = sum(outcome.audio_s for outcome in outcomes)
    if not audio_s:
        raise BarkError(f"None of {len(sample)} lines could be spoken to measure how fast that is: {outcomes[0].error}")
    return sum(outcome.wall_s for outcome in outcomes) / audio_s
