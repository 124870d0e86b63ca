"""What was spoken into a folder, in an SQLite file in it: what stays done when a run ends, however it ends, and who may write there now.

A line is recorded before its file gets its name and again after it, so that a kill between the two loses neither. The file is locked for as
long as it is open. Knows no models, and trusts no file's name that it holds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark_core.errors import InvalidInput

NAME = "manifest.sqlite"
_APPLICATION, _VERSION = 0x4241524B, 1  # "BARK"

_TABLES = """
CREATE TABLE IF NOT EXISTS lines (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done')), file TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    seed INTEGER NOT NULL, audio_s REAL NOT NULL, wall_s REAL NOT NULL, model TEXT NOT NULL, notes TEXT NOT NULL, run INTEGER NOT NULL
) STRICT;
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, number INTEGER NOT NULL, is_done INTEGER NOT NULL);
CREATE TEMP TABLE failures (number INTEGER NOT NULL, id TEXT, error TEXT NOT NULL);
"""

_FULL = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE", "SQLITE_CANTOPEN"}


class NoRoom(InvalidInput):
    """Something could not be written for lack of room, and nothing of it was; it may be tried again."""


@dataclass(frozen=True)
class Row:
    """What is known of a line that was spoken: its digest, whether its file has its name, and what that file is."""

    digest: str
    state: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Spoken:
    """What is recorded of a line, besides its state. `wall_s`: its share of the time that its batch took."""

    key: str
    id: str
    number: int
    digest: str
    file: str
    size: int
    sha256: str
    seed: int
    audio_s: float
    wall_s: float
    model: str
    notes: Sequence[str]


class Manifest:
    """The manifest of a folder, open and locked."""

    def __init__(self, folder: Path) -> None:
        """Open it, or make it. Raises: InvalidInput where another run has it, where it cannot be written, or is not as this program writes it."""
        self.path = folder / NAME
        self._is_open = False
        with self._explaining():
            self._base = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            with self._explaining():
                self._prepare()
        except BaseException:
            self._base.close()
            raise

    def _prepare(self) -> None:
        base = self._base
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Nothing waits for the disk: a kill loses nothing, and a power cut the last lines, but never the whole.
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("BEGIN EXCLUSIVE")
        application, version = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        is_new = not base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new and (application, version) != (_APPLICATION, _VERSION):
            raise InvalidInput(f"{self.path} was not written by this version of this program. {_MOVE}")
        if not is_new and base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise InvalidInput(f"{self.path} was edited or damaged. {_MOVE}")
        for statement in _TABLES.strip().split(";\n"):
            base.execute(statement)
        if is_new:
            base.execute(f"PRAGMA application_id = {_APPLICATION}")
            base.execute(f"PRAGMA user_version = {_VERSION}")
        # What is not as it was made shows here, before anything is spoken.
        base.execute(f"SELECT {', '.join(_COLUMNS)} FROM lines LIMIT 1").fetchone()
        self.run: int = base.execute("SELECT coalesce(max(run), 0) + 1 FROM lines").fetchone()[0]
        base.execute("COMMIT")
        self._is_open = True

    def close(self) -> None:
        """Let others have it."""
        with suppress(sqlite3.Error):
            self._base.close()

    def see(self, key: str, number: int) -> int | None:
        """Take note of a line of the file; return the number of an earlier one with the same key, or None."""
        with self._explaining():
            found = self._base.execute("SELECT number FROM seen WHERE key = ?", (key,)).fetchone()
            if found is None:
                self._base.execute("INSERT INTO seen VALUES (?, ?, 0)", (key, number))
        return None if found is None else int(found[0])

    def find(self, key: str) -> Row | None:
        """Return what is known of a line."""
        with self._explaining():
            found = self._base.execute("SELECT digest, state, size, sha256 FROM lines WHERE key = ?", (key,)).fetchone()
        return None if found is None else Row(*found)

    def record(self, spoken: Spoken) -> None:
        """Record a line whose file is about to get its name. Raises: NoRoom."""
        values = (*(getattr(spoken, name) for name in _COLUMNS[:-3]), json.dumps(list(spoken.notes), ensure_ascii=False), "pending", self.run)
        self._write(f"REPLACE INTO lines ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", values)

    def finish(self, key: str) -> None:
        """Record that a line's file is there and has its name. Raises: NoRoom."""
        self._write("UPDATE lines SET state = 'done' WHERE key = ? AND state = 'pending'", (key,))
        self._write("UPDATE seen SET is_done = 1 WHERE key = ?", (key,))

    def fail(self, number: int, id: str | None, error: str) -> None:
        """Take note of a line that failed, for this run's report."""
        with self._explaining():
            self._base.execute("INSERT INTO failures VALUES (?, ?, ?)", (number, id, error))

    def count_failures(self) -> int:
        """Return how many lines of this run failed."""
        with self._explaining():
            return int(self._base.execute("SELECT count(*) FROM failures").fetchone()[0])

    def list_failures(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of this run that failed, in the file's order."""
        with self._explaining():
            for number, id, error in self._base.execute("SELECT number, id, error FROM failures ORDER BY number, rowid"):
                yield {"line": number, "id": id, "error": error}

    def list_spoken(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the file that are done, in its order, whichever run spoke them."""
        query = (
            "SELECT seen.number, id, file, size, sha256, seed, audio_s, notes, run FROM seen JOIN lines USING (key) "
            "WHERE is_done ORDER BY seen.number"
        )
        with self._explaining():
            for number, id, file, size, sha256, seed, audio_s, notes, run in self._base.execute(query):
                now = {"line": number, "id": id, "file": file, "bytes": size, "sha256": sha256, "seed": seed, "audio_s": round(audio_s, 3)}
                yield {**now, "notes": json.loads(notes), "now": run == self.run}

    def measure_speed(self, model: str) -> float | None:
        """Return the seconds that a second of speech took in earlier runs of a model's digest; None where there was none."""
        with self._explaining():
            audio_s, wall_s = self._base.execute("SELECT total(audio_s), total(wall_s) FROM lines WHERE model = ?", (model,)).fetchone()
        return wall_s / audio_s if audio_s > 0 and wall_s > 0 else None

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        with self._explaining():
            self._base.execute(statement, values)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_BUSY"):
                raise InvalidInput(f"{self.path.parent} is being written by another run; wait for its end, or give another folder.") from error
            if not self._is_open and (name in _FULL or name.startswith("SQLITE_READONLY")):
                raise InvalidInput(f"{self.path} cannot be written; give a folder that is writable and has room.") from error
            if name in _FULL:
                raise NoRoom(f"{self.path} cannot be written: there is no room. Make some.") from error
            raise InvalidInput(f"{self.path} was edited or damaged ({error}). {_MOVE}") from error
        except ValueError as error:  # notes that are no JSON
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{self.path} was edited or damaged ({error}). {_MOVE}") from error


_MOVE = "Move it away, and every line is spoken again, or give another folder."
_COLUMNS = ("key", "id", "number", "digest", "file", "size", "sha256", "seed", "audio_s", "wall_s", "model", "notes", "state", "run")
