"""A C++ library for this machine: found in the cache and verified, or compiled and kept there.

A cached library is used only if its SHA-256 is the one written beside it: a file that a crash or a full disk cut short
would end the process, not raise. Knows no models, and not what the library does.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from bark_core.engine.levels import describe_processor

COMPILER_VARIABLE = "CXX"
"""Names the C++ compiler, with its arguments if it needs some; c++ where it is not set."""

LIBRARY_NAME = "bark_kernel.so"
DIGEST_NAME = f"{LIBRARY_NAME}.sha256"


class NativeUnavailable(Exception):
    """The compiled kernel cannot be had here, or not for this model; the message says why."""


class CompilerFailed(NativeUnavailable):
    """There is a compiler, and it cannot compile this, or not with these flags."""


def load_compiled(sources: Sequence[Path], flags: Sequence[str], cache: Path | None = None) -> ctypes.CDLL:
    """Return the library of `sources`, compiled (some twenty seconds) where the cache holds no whole one.

    The first of `sources` is compiled; the others are what it includes. `cache` is a folder, the user's where it is left
    out; one that cannot be written is told in a warning, and the library is then compiled for this process alone.
    Raises: NativeUnavailable, which says what is missing or what failed.
    """
    try:
        key = cache_key(sources, flags)
    except OSError as error:
        raise NativeUnavailable(f"its source cannot be read ({_first_line(error)})") from error
    try:
        folder = (cache or cache_folder()) / key
        if (found := find_library(folder)) is not None:
            return _open(found)
        work = tempfile.TemporaryDirectory(prefix="bark-kernel-", ignore_cleanup_errors=True)
    except OSError as error:
        raise NativeUnavailable(f"there is no temporary folder to compile the kernel in ({_first_line(error)})") from error
    with work:
        made = Path(work.name) / LIBRARY_NAME
        _compile(sources[0], made, flags)
        try:
            made = _keep(made, folder)
        except OSError as error:
            warnings.warn(
                f"The compiled kernel cannot be kept in {folder.parent} ({error.strerror or error}), so that each start compiles it anew, some"
                " twenty seconds. Make that folder writable, or name another with XDG_CACHE_HOME.",
                stacklevel=2,
            )
        return _open(made)


def cache_folder() -> Path:
    """Return where compiled libraries are kept; in a home that the system cannot name it stands as ~."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "bark" / "kernels"


def cache_key(sources: Sequence[Path], flags: Sequence[str]) -> str:
    """Return the name of the folder that keeps a library: one for each source, set of flags and kind of processor. Raises: OSError."""
    text = b"".join(source.read_bytes() for source in sources) + f"{' '.join(flags)} {describe_processor()}".encode()
    return hashlib.sha256(text).hexdigest()[:24]


def find_library(folder: Path) -> Path | None:
    """Return the library that a folder of the cache keeps, if it is whole."""
    library, digest = folder / LIBRARY_NAME, folder / DIGEST_NAME
    try:
        return library if hashlib.sha256(library.read_bytes()).hexdigest() == digest.read_text(encoding="ascii").strip() else None
    except (OSError, ValueError):  # missing, a folder in its place, not text
        return None


def _compile(source: Path, target: Path, flags: Sequence[str]) -> None:
    """Compile one file into a library. Raises: NativeUnavailable."""
    compiler = (os.environ.get(COMPILER_VARIABLE) or "c++").split()
    if shutil.which(compiler[0]) is None:
        raise NativeUnavailable(f"there is no C++ compiler here ({compiler[0]}); install one, such as g++, or name it with {COMPILER_VARIABLE}")
    command = [*compiler, *flags, "-shared", "-fPIC", str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise NativeUnavailable(f"the C++ compiler {compiler[0]} does not start ({_first_line(error)})") from error
    if done.returncode or not target.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"it ended with {done.returncode} and no word"]
        reason = next((line for line in lines if "error" in line.lower()), lines[0])
        raise CompilerFailed(f"the C++ compiler {compiler[0]} failed: {reason.strip()[:200]}")


def _keep(made: Path, folder: Path) -> Path:
    """Put a library and its digest into a folder of the cache, whatever was there; return it there. Raises: OSError.

    Each file takes its place whole, so that processes side by side harm nobody: whoever meets one file of each rebuilds.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
    content = made.read_bytes()
    for name, data in ((LIBRARY_NAME, content), (DIGEST_NAME, hashlib.sha256(content).hexdigest().encode())):
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder, ignore_cleanup_errors=True) as work:
            temporary, target = Path(work) / name, folder / name
            temporary.write_bytes(data)
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            os.replace(temporary, target)
    return folder / LIBRARY_NAME


def _open(library: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise NativeUnavailable(f"the compiled kernel cannot be loaded ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return f"{str(error).strip() or repr(error)}".splitlines()[0][:200]
