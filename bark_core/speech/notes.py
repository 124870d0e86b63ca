"""Notes told as Python warnings, at the caller's line. What they say is the business of who adds them to a job."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from bark_core.errors import BarkWarning
from bark_core.stages.jobs import Job
from bark_core.stages.run import OnProgress, Steps, drain

T = TypeVar("T")


def drain_noting(steps: Steps[T], jobs: Sequence[Job], on_progress: OnProgress | None) -> T:
    """Run steps to their end. Warn of what is noted of their jobs: before the work of what the texts gave, after it of the rest."""
    n_known = [len(job.notes) for job in jobs]
    warn_of(note for job in jobs for note in job.notes)
    made = drain(steps, on_progress)
    # Where a filter makes errors of warnings, what is done is not thrown away for one; the notes are in it.
    with suppress(BarkWarning):
        warn_of(note for job, n in zip(jobs, n_known, strict=True) for note in job.notes[n:])
    return made


def warn_of(notes: Iterable[str]) -> None:
    """Give each note as a BarkWarning that points at the line which called into this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "bark_core":
        frame, level = frame.f_back, level + 1
    for note in notes:
        warnings.warn(note, BarkWarning, stacklevel=level)
