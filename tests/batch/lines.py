"""Files of lines for the tests, and speakers that need no model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bark_core.batch.requests import Facts, Request
from bark_core.batch.speaking import Outcome

SHORT = {"max_seconds": 0.3, "retry": False, "split": False}
"""Options under which random weights speak for a moment, and no take is drawn again."""

SHORT_WORDS = ("--max-seconds", "0.3", "--no-retry", "--split", "never", "--precision", "fp32")
"""The same on the command line."""


class Parrot:
    """Speakers that need no model: a line's bytes are its text. `heard`: the batches that it was given."""

    n_workers = 1
    facts = Facts("parrot", "0123456789abcdef", ("demo_speaker_0", "demo_speaker_1"), "0")

    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    def speak(self, batches: Iterable[Sequence[Request]]) -> Iterator[list[Outcome]]:
        """Give back what is to be said."""
        for batch in batches:
            self.heard.append([request.id for request in batch])
            yield [Outcome(request, request.text.encode(), None, request.seed or 0, 1.0, 0.5) for request in batch]


def write_lines(path: Path, *lines: dict[str, Any] | str) -> Path:
    """Write a .jsonl of objects, or of whatever lines."""
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines), encoding="utf-8")
    return path


def read_report(folder: Path) -> dict[str, Any]:
    """Return a folder's report."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def read_speech(folder: Path) -> dict[str, bytes]:
    """Return the files of speech of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".mp3")}


def list_words(source: Path, folder: Path, model: Path, *words: str) -> list[str]:
    """Return the command's words for a file of lines."""
    return ["batch", str(source), "--out", str(folder), "--model", str(model), "--seed", "7", *SHORT_WORDS, *words]


def start(root: Path, source: Path, folder: Path, model: Path, *words: str, **given: Any) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "bark_core", *list_words(source, folder, model, *words)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for the command's end; return what it said."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    return said


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait until something holds while the command runs."""
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
