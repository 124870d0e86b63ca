"""How far a run is, and what became of every line at its end: `report.json`, written line by line. Knows no models."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bark_core.audio.files import PendingFile

NAME = "report.json"


@dataclass
class Progress:
    """How far a run is. `n_lines`: of the file; `seconds_left`: None where nothing was spoken yet."""

    n_lines: int = 0
    n_spoken: int = 0
    n_unchanged: int = 0
    n_failed: int = 0
    audio_s: float = 0.0
    speaking_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def n_done(self) -> int:
        """How many lines are behind us, whatever became of them."""
        return self.n_spoken + self.n_unchanged + self.n_failed

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @property
    def rtf(self) -> float | None:
        """Seconds for a second of speech, since speaking began."""
        return self.speaking_s / self.audio_s if self.audio_s else None

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, if it is like what was spoken."""
        return self.speaking_s / self.n_spoken * (self.n_lines - self.n_done) if self.n_spoken else None

    def __str__(self) -> str:
        parts = [f"{self.n_done:,} of {self.n_lines:,} lines"]
        if self.n_unchanged:
            parts.append(f"{self.n_unchanged:,} as they were")
        if self.n_failed:
            parts.append(f"{self.n_failed:,} failed")
        parts.append(f"{tell_time(self.audio_s)} of speech" + ("" if self.rtf is None else f" in {self.rtf:.2f} × its length"))
        if self.seconds_left:
            parts.append(f"about {tell_time(self.seconds_left)} left")
        return ", ".join(parts)


def tell_time(seconds: float) -> str:
    """Return a number of seconds as people say it: 12 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def write_report(folder: Path, head: dict[str, Any], failed: Iterable[dict[str, Any]], spoken: Iterable[dict[str, Any]]) -> Path:
    """Write report.json, whole or not at all: `head`, and the lists "failed" and "spoken", an item a line. Raises: InvalidInput, OSError."""
    pending = PendingFile(folder / NAME)
    try:
        for piece in _compose(head, failed, spoken):
            pending.file.write(piece.encode())
        return pending.commit()
    finally:
        pending.discard()


def _compose(head: dict[str, Any], failed: Iterable[dict[str, Any]], spoken: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    for name, items in (("failed", failed), ("spoken", spoken)):
        yield f',\n "{name}": ['
        separator = "\n  "
        for item in items:
            yield separator + json.dumps(item, ensure_ascii=False)
            separator = ",\n  "
        yield "\n ]"
    yield "\n}\n"
