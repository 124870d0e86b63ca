"""Brings a named release's files into huggingface_hub's cache: resumed, verified once, of one commit, complete or not at all.

Nothing is asked of the network while the cache has it all. What each fault means is explain.py's to say. Knows no models
and no layouts.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bark_core.checkpoint.explain import FetchError, explain, is_transient, no_copy
from bark_core.checkpoint.hashes import Hashes, OnMessage
from bark_core.checkpoint.registry import Release, RemoteFile, load_registry
from bark_core.checkpoint.tensorfiles import read_json, resolve_inside
from bark_core.errors import CheckpointError
from bark_core.voices.files import ARRAYS

ATTEMPTS, PAUSE_S = 3, 1.0
"""How often a file is asked for when the connection breaks, and the seconds between. huggingface_hub itself resumes before that."""

HASHES = Path("bark", "hashes.json")
"""Where the hashes of fetched files are, in the cache's home."""

N_CONNECTIONS = 8
"""Voices are eight hundred small files: most of their time is waiting."""

STALE_S = 3600.0
"""Seconds after which a partial download that nobody writes to is a killed process's."""


def fetch_release(release: Release, on_message: OnMessage, need_voices: bool = False) -> list[Path]:
    """Return the cache's folders with a release's files, and its companion's, downloading what is not there and verifying what is new.

    `need_voices`: whether voices that cannot be downloaded are an error; else the model goes on with those that are there.
    Raises: CheckpointError where that cannot be done. A file with wrong bytes is not kept.
    """
    from huggingface_hub import constants

    with Hashes(Path(constants.HF_HOME) / HASHES, str(release.repository)) as hashes:
        folder = find_cached(release)
        if folder is None:
            folder = _download(release, on_message)
        for file in release.files:
            if (folder / file.path).is_file():
                hashes.verify(file, folder / file.path, on_message)
        if release.voices is not None:
            try:
                _fetch_voices(release, folder, on_message)
            except FetchError as error:
                if need_voices:
                    raise
                on_message(f"Some voices could not be fetched; going on with those that are here. {error}")
            _verify_voices(release, folder, hashes, on_message)
    return [folder, *(fetch_release(release.companion, on_message, need_voices) if release.companion else ())]


def hub_folder() -> Path:
    """Return where huggingface_hub keeps what it downloads."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def find_hashes(folder: Path) -> dict[Path, str]:
    """Return the SHA-256 that files of a folder in the cache must have: those that the registry names, and else those of the first fetch."""
    from huggingface_hub import constants

    found: dict[Path, str] = {}
    for release in load_registry().values():
        for each in (release, *([release.companion] if release.companion else [])):
            if each.repository is None or folder.parents[1].name != f"models--{each.repository.replace('/', '--')}":
                continue
            with Hashes(Path(constants.HF_HOME) / HASHES, each.repository) as hashes:
                found.update({folder / path: sha256 for path, sha256 in hashes.known().items()})
            found.update({folder / file.path: file.sha256 for file in each.files if file.sha256})
    return {path: sha256 for path, sha256 in found.items() if path.is_file()}


def check_room(folder: Path, n_bytes: int) -> None:
    """Raise CheckpointError where fewer than `n_bytes` are free on the disk of `folder` or of what will hold it."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise CheckpointError(f"{folder} has {free / 1e9:.2f} GB free and {n_bytes / 1e9:.2f} GB are needed; make room or use another disk.")


def find_cached(release: Release) -> Path | None:
    """Return the snapshot in the cache that has all the files that must be there, or None. Asks nothing of the network."""
    from huggingface_hub import try_to_load_from_cache

    folder: Path | None = None
    for file in release.files:
        found = try_to_load_from_cache(str(release.repository), file.path, revision=release.revision)
        if isinstance(found, str):
            folder = Path(found).parents[file.path.count("/")]
        elif not file.optional:
            return None
    return folder


def _download(release: Release, on_message: OnMessage) -> Path:
    """Download a release's files, all of one commit; return their snapshot."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise no_copy(release, "HF_HUB_OFFLINE forbids to download it")
    cache = hub_folder()
    check_room(cache, release.size)
    on_message(f"Fetching {release.repository}{f' ({release.size / 1e9:.2f} GB)' if release.size else ''} into {cache} …")
    folder, revision = None, release.revision
    # Small files first: the first one tells which commit the revision is, and the others are taken from that.
    for file in sorted(release.files, key=lambda file: (file.optional, file.size or 0)):
        path = _download_file(release, file.path, revision, file.optional)
        if path is not None:
            folder = folder or path.parents[file.path.count("/")]
            revision = folder.name
    if folder is None:
        raise CheckpointError(f"The registry names no files for {release.name}; take the registry of this version of the project.")
    _sweep(folder)
    return folder


def _download_file(release: Release, path: str, revision: str, optional: bool = False) -> Path | None:
    """Return a file's place in the cache, downloading it if need be; None where it may be missing and is."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, FileMetadataError

    def download() -> Path:
        repository = str(release.repository)
        # Asked first, since this tells at once where there is no network; hf_hub_download would try for half a minute.
        metadata = get_hf_file_metadata(hf_hub_url(repository, path, revision=revision))
        if metadata.commit_hash is None or metadata.etag is None:
            raise FileMetadataError(f"{metadata.location} answers without a commit or an etag")
        return Path(hf_hub_download(repository, path, revision=revision))

    try:
        return _with_retries(release, path, download)
    except FetchError as error:
        if optional and isinstance(error.__cause__, EntryNotFoundError) and not isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _with_retries(release: Release, path: str, action: Callable[[], Any]) -> Any:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except Exception as error:  # huggingface_hub's own, its HTTP package's by version, and the system's
            if attempt == ATTEMPTS or not is_transient(error):
                raise explain(error, release, path) from error
        time.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def _fetch_voices(release: Release, folder: Path, on_message: OnMessage) -> None:
    """Download the voices that the release's index names, where they are not there. Those that the repository lacks are left out."""
    index = folder / str(release.voices)
    if not index.is_file() and _download_file(release, str(release.voices), folder.name, optional=True) is None:
        on_message(f"{release.repository} has no {release.voices}, so the model comes without voices.")
        return
    wanted = [path for path in _voice_files(index) if not resolve_inside(folder, path, index).is_file()]
    if not wanted:
        return
    on_message(f"Fetching {len(wanted)} voice files …")
    with _no_bars(), ThreadPoolExecutor(N_CONNECTIONS) as pool:
        try:
            found = list(pool.map(lambda path: _download_file(release, path, folder.name, optional=True), wanted))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    missing = [path for path, place in zip(wanted, found, strict=True) if place is None]
    if missing:
        on_message(f"{release.repository} lacks {len(missing)} of the voice files that its index names, {missing[0]} for one; their voices are left out.")


def _verify_voices(release: Release, folder: Path, hashes: Hashes, on_message: OnMessage) -> None:
    index = folder / str(release.voices)
    if not index.is_file():
        return
    for path in (str(release.voices), *_voice_files(index)):
        if resolve_inside(folder, path, index).is_file():
            hashes.verify(RemoteFile(path), folder / path, on_message)


def _voice_files(index: Path) -> list[str]:
    entries = (entry for entry in read_json(index).values() if isinstance(entry, dict))
    return [str(entry[key]) for entry in entries for key in ARRAYS if key in entry]


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep huggingface_hub from drawing a progress bar for each of hundreds of small files."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _sweep(folder: Path) -> None:
    """Delete what killed downloads of this repository left behind: the files are complete, so nobody will go on with it."""
    for partial in (folder.parent.parent / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE_S:
                partial.unlink()
