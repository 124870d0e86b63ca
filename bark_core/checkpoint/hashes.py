"""The hashes of fetched files: what the registry names is held against it, anything else against what it was at first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bark_core.audio.files import write_atomically
from bark_core.checkpoint.registry import RemoteFile
from bark_core.checkpoint.tensorfiles import read_json, read_npy, resolve_inside
from bark_core.errors import BarkError, CheckpointError
from bark_core.filekinds import describe_file

OnMessage = Callable[[str], None]

SUMS = "SHA256SUMS"
"""The hashes of a folder's files as they were when it was written, in the form that `sha256sum -c` reads."""

LARGE_BYTES = 2**28
"""A file from which on hashing takes long enough to say so."""


class Hashes:
    """The SHA-256 of each file of a repository that was ever verified here, kept beside the cache.

    A file is read once: as long as its size and time are the same, so is its hash.
    """

    def __init__(self, path: Path, repository: str) -> None:
        self.path = path
        self._prefix = f"{repository}/"
        self._known: dict[str, Any] = {}
        self._new: dict[str, Any] = {}

    def __enter__(self) -> Hashes:
        self._known = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is new. A cache that cannot be written keeps working; its files are then hashed each time."""
        if self._new:
            with contextlib.suppress(OSError, BarkError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self.path, json.dumps({**self._read(), **self._new}, indent=1).encode())

    def known(self) -> dict[str, str]:
        """Return the hash of each file of the repository that was ever verified here, by its path there."""
        entries = ((key.removeprefix(self._prefix), entry.get("sha256")) for key, entry in self._known.items() if key.startswith(self._prefix))
        return {path: sha256 for path, sha256 in entries if isinstance(sha256, str)}

    def verify(self, file: RemoteFile, path: Path, on_message: OnMessage) -> None:
        """Raise CheckpointError, and delete the file, where its bytes are not those that the registry or the first fetch had."""
        key = self._prefix + file.path
        known = self._known.get(key, {})
        stat = path.stat()
        seen = {"file": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        if seen.items() <= known.items():
            found = str(known["sha256"])
        else:
            if stat.st_size > LARGE_BYTES:
                on_message(f"Verifying {file.path} …")
            found = hash_file(path)
        wanted = file.sha256 or known.get("sha256")
        if wanted is not None and found != wanted:
            _discard(path)
            origin = "registry.toml names" if file.sha256 else f"it had when it was first fetched, by {self.path}"
            raise CheckpointError(
                f"{key} has the SHA-256 {found}, not {wanted}, which {origin}. The file was not kept; fetch again. "
                "If it stays so, the file has changed where it comes from: make sure that you want that, then change the entry."
            )
        if file.sha256 is None and not known:
            _parse(path)
        if known != (entry := {"sha256": found, **seen}):
            self._new[key] = entry

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}. Delete it; hashes are then recorded anew.") from error
        return {key: entry for key, entry in values.items() if isinstance(entry, dict)} if isinstance(values, dict) else {}


def write_sums(folder: Path, paths: Iterable[Path]) -> None:
    """Write the hashes of files below `folder` into it."""
    lines = [f"{hash_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in sorted(paths)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def read_sums(folder: Path) -> dict[Path, str]:
    """Return the hash that each file of a folder had when it was written; nothing where that was not recorded. Raises: CheckpointError."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Delete it, and the files are no longer held against it.") from error
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    if not all(found):
        raise CheckpointError(f"{path} has a line that is no hash and name, as sha256sum writes them. Take it from where the checkpoint is from.")
    return {resolve_inside(folder, match[2], path): match[1] for match in found if match}


def _parse(path: Path) -> None:
    """Raise CheckpointError, and delete the file, where one without a known hash is not even of its kind."""
    try:
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".npy":
            read_npy(path)
        elif not path.stat().st_size:
            raise CheckpointError(f"{path} is empty; fetch it again.")
        elif (stand_in := describe_file(path)) is not None:
            raise CheckpointError(f"{path} is {stand_in}.")
    except CheckpointError:
        _discard(path)
        raise


def _discard(path: Path) -> None:
    """Delete a file of the cache: what the snapshot's link points to, and the link."""
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
