"""The folder that speech goes to: what is there already, and files that get their names whole or not at all, waiting where there is no room."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from bark_core.audio.files import PendingFile
from bark_core.audio.formats import find_format
from bark_core.batch.manifest import Manifest, NoRoom, Spoken
from bark_core.batch.requests import Request
from bark_core.batch.speaking import Outcome
from bark_core.errors import InvalidInput
from bark_core.types import check_path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEFT_BEHIND = re.compile(r"\.bark-[0-9a-f]{16}\.part")
_RETRY_S = 0.5


class Keeper:
    """A folder of speech and its manifest. One run has it at a time."""

    def __init__(self, folder: str | os.PathLike[str], on_message: Callable[[str], None], room_timeout_s: float = 600.0) -> None:
        """Make the folder where it is not there, take it, and clear away what a killed run was writing. Raises: InvalidInput."""
        self.folder = check_path(folder)
        self._say, self._room_timeout_s = on_message, room_timeout_s
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{self.folder} cannot be made a folder: {error.strerror or error}. Give one that is writable, or not there yet.") from error
        self.manifest = Manifest(self.folder)
        for path in self.folder.iterdir():
            if _LEFT_BEHIND.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def find_path(self, request: Request) -> Path:
        """Return the file of a request: its id and its format's suffix."""
        return self.folder / f"{request.id}{find_format(request.format).suffixes[0]}"

    def holds(self, request: Request) -> bool:
        """Tell whether a line was spoken as it is now, and its file is there whole."""
        row = self.manifest.find(request.key)
        path = self.find_path(request)
        if row is None or row.digest != request.digest or not path.is_file() or path.stat().st_size != row.size:
            return False
        # Where a run was killed between the record and the file's name, the file is the one before.
        if row.state == "pending" and _hash(path) != row.sha256:
            return False
        self.manifest.finish(request.key)
        return True

    def keep(self, outcome: Outcome, model: str) -> None:
        """Write a line's file and record it, waiting for room where there is none. Raises: NoRoom after that, with everything before it whole."""
        end: float | None = None
        while True:
            try:
                self._keep(outcome, model)
            except NoRoom as error:
                if end is None:
                    end = time.monotonic() + self._room_timeout_s
                    if self._room_timeout_s > 0:
                        self._say(f"{error} Waiting up to {self._room_timeout_s:.0f} s; what is done is whole, and stays done.")
                if time.monotonic() >= end:
                    raise
                time.sleep(_RETRY_S)
            else:
                if end is not None:
                    self._say("There is room again; going on.")
                return

    def _keep(self, outcome: Outcome, model: str) -> None:
        request, data = outcome.request, outcome.data
        assert data is not None
        path = self.find_path(request)
        try:
            pending = PendingFile(path)
        except InvalidInput as error:
            raise _sort(error, error.__cause__, self.folder) from error
        try:
            pending.file.write(data)
            pending.file.flush()
            self.manifest.record(
                Spoken(
                    *(request.key, request.id, request.number, request.digest, path.name, len(data), hashlib.sha256(data).hexdigest()),
                    *(outcome.seed, outcome.audio_s, outcome.wall_s, model, outcome.notes),
                )
            )
            pending.commit()
        except OSError as error:
            raise _sort(pending.explain(error), error, self.folder) from error
        finally:
            pending.discard()
        self.manifest.finish(request.key)


def _sort(sentence: InvalidInput, cause: BaseException | None, folder: Path) -> InvalidInput:
    """Return NoRoom for an error that room would help, else the sentence for it."""
    if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
        return NoRoom(f"There is no room in {folder} for what was spoken ({cause.strerror}). Make some.")
    return sentence


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
