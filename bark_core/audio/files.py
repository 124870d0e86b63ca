"""Files that are written whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from bark_core.errors import InvalidInput
from bark_core.types import check_path


class PendingFile:
    """A file that is written under another name in its folder and gets its own from `commit`; `discard` takes it away.

    `file` is open for writing and reading. A symbolic link stays one: what it points to is written. What is there and is
    no plain file, a pipe or a device, is kept, and gets the whole at the end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begin. Raises: InvalidInput where such a file could not be written: its folder is missing or read-only, or it is a folder."""
        self.path = check_path(path)
        self._temporary: Path | None = None
        try:
            self._target = self._find_target()
            self.file: IO[bytes] = self._open()
        except OSError as error:
            raise self.explain(error) from error

    def commit(self) -> Path:
        """Give the file its name; return that. Raises: OSError."""
        if self._target is None:
            self.file.seek(0)
            with open(self.path, "wb") as sink:
                shutil.copyfileobj(self.file, sink)
        elif self._temporary is not None:
            self.file.close()
            os.replace(self._temporary, self._target)
        return self.path

    def discard(self) -> None:
        """Close the file and take away what has no name yet."""
        with suppress(OSError):  # what is still to be written has no room either
            self.file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def explain(self, error: OSError) -> InvalidInput:
        """Return the sentence for an error of the system's."""
        return InvalidInput(
            f"{self.path} cannot be written: {error.strerror or error}. Give a path in a folder that exists, is writable and has room."
        )

    def _find_target(self) -> Path | None:
        """Return the file that is to be replaced or made, behind any links; None for what is there and is no plain file."""
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            return Path(os.path.realpath(self.path))
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISREG(mode):
            return Path(os.path.realpath(self.path))
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return None

    def _open(self) -> IO[bytes]:
        if self._target is None:
            return tempfile.TemporaryFile()
        self._temporary = self._target.with_name(f".bark-{secrets.token_hex(8)}.part")
        # Not the tempfile module: its files are readable by their owner alone, whatever the umask allows.
        return open(os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666), "w+b")


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise InvalidInput where a file cannot be written, before anything slow is done for it.

    It tries, since permissions do not tell all: a file of another name is made beside it and taken away.
    """
    PendingFile(path).discard()


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file whole or not at all; return its path. Raises: InvalidInput where it cannot be written."""
    pending = PendingFile(path)
    try:
        pending.file.write(data)
        return pending.commit()
    except OSError as error:
        raise pending.explain(error) from error
    finally:
        pending.discard()
