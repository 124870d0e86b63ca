"""The checkpoints that have a name: where their folders may be, and which files of which repository they are made of."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark_core.errors import CheckpointError

WEIGHTS_VARIABLE = "BARK_WEIGHTS"
"""Names a folder of checkpoints that goes before the others; fetched ones are put there."""

REGISTRY = "registry.toml"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path there, its SHA-256 where it is known, its size in bytes (about), whether it may be missing."""

    path: str
    sha256: str | None = None
    size: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Release:
    """A checkpoint with a name. `repository` is None for one that comes with this project.

    `voices` is the index of the voices in the repository. `companion`: another repository's files that go with these.
    """

    name: str
    licence: str
    repository: str | None = None
    revision: str = "main"
    files: tuple[RemoteFile, ...] = ()
    voices: str | None = None
    companion: Release | None = None

    @property
    def size(self) -> int:
        """Bytes to download, about."""
        return sum(file.size or 0 for file in self.files)


def weights_folders() -> list[Path]:
    """Return the folders that may hold checkpoints by name, first the one that BARK_WEIGHTS names, if any."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    beside_the_package = Path(__file__).resolve().parents[2] / "weights"
    folders = [*([Path(named)] if named else []), beside_the_package, Path("weights")]
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def find_folder(name: str) -> Path | None:
    """Return the folder of a named checkpoint that is here in this project's layout, or None."""
    return next((folder / name for folder in weights_folders() if (folder / name / "config.json").is_file()), None)


def default_target(name: str) -> Path:
    """Return where a named checkpoint goes that is fetched without saying where."""
    return weights_folders()[0] / name


def load_registry() -> dict[str, Release]:
    """Return all named checkpoints. Raises: CheckpointError where the registry is missing or not understood."""
    path = next((folder / REGISTRY for folder in weights_folders() if (folder / REGISTRY).is_file()), None)
    if path is None:
        looked = " nor ".join(str(folder) for folder in weights_folders())
        raise CheckpointError(f"There is no {REGISTRY} in {looked}; run from the project's folder, or name its weights folder in {WEIGHTS_VARIABLE}.")
    try:
        return {name: _parse(name, entry) for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be understood: {error}. Take the file of this version of the project.") from error


def find_release(name: str) -> Release:
    """Return the named checkpoint. Raises: CheckpointError that lists the names there are."""
    releases = load_registry()
    if name not in releases:
        raise CheckpointError(f"There is no model {name!r}; the names are {', '.join(releases)}. A checkpoint's folder can be given by its path.")
    return releases[name]


def _parse(name: str, entry: dict[str, Any]) -> Release:
    files = tuple(RemoteFile(**file) for file in entry.get("files", ()))
    companion = _parse(name, {"licence": entry["licence"], **entry["companion"]}) if "companion" in entry else None
    return Release(name, **{**entry, "files": files, "companion": companion})
