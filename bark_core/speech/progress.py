"""One progress bar over a whole generation, fed by `on_progress(stage, done, total)`. Knows the stages' names and nothing of their work."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from bark_core.config import PARTS

SHARES: dict[str, int] = dict(zip(PARTS, (15, 62, 22, 1), strict=True))
"""How many hundredths of a generation's time each stage takes, about, on a CPU. The bar's total is their sum."""

_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class ProgressBar:
    """Draws one bar, 0 to 100, on `file` (standard error where None); call it with (stage, done, total).

    On a terminal the bar stays on its line. Anywhere else, a server's log for one, each state is a line of its own,
    which begins with the percentage: the form in which log readers look for progress.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._done: dict[str, float] = {}
        stream = sys.stderr if file is None else file
        on_terminal = stream.isatty()
        self._bar = _Bar(
            total=sum(SHARES.values()),
            position=0,  # another bar that is drawn meanwhile is another prediction's, and not on the line above
            file=stream if on_terminal else _LineWriter(stream),
            mininterval=0.1 if on_terminal else 1.0,
            bar_format=_FORMAT,
        )

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of a stage are behind us."""
        self._done[stage] = SHARES[stage] * done / max(total, 1)
        now = int(sum(self._done.values()))
        self._bar.set_postfix_str(stage, refresh=False)
        if now > self._bar.n:
            self._bar.update(now - self._bar.n)

    def close(self) -> None:
        """Draw the last state and end the line."""
        self._bar.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Bar(tqdm):
    # tqdm would start a thread to watch bars that stand still; a server that is cancelled mid-way should have none.
    monitor_interval = 0


class _LineWriter:
    """A text stream that turns tqdm's redrawing of one line into lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""
        self.encoding = getattr(stream, "encoding", None)

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line and line != self._last:
            self._stream.write(line + "\n")
            self._last = line

    def flush(self) -> None:
        self._stream.flush()
