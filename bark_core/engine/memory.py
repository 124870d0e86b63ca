"""How much memory there is, and that what was used and is needed no more goes back to the system. Linux only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

from torch import Tensor

_CGROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""What a container may have, what it has, and what of that is files which can go: the names of version 2 and 1."""

_MADV_DONTNEED = 4
"""Advice to forget pages that no file stands behind, now. What they hold is lost: they read as zeros."""

_MADV_PAGEOUT = 21
"""Advice to write pages back to where they came from, now. What they hold stays what it is."""


def release_pages(tensor: Tensor) -> None:
    """Tell the system that a mapped tensor was read and need not stay in memory; it can still be read again.

    Without this a process that converts weights seems to hold them twice. Where there is no file behind the tensor,
    nothing happens.
    """
    # That an old kernel does not know the advice (before 5.4) changes only how much memory is shown.
    _advise(tensor, _MADV_PAGEOUT)


def forget_pages(tensor: Tensor) -> None:
    """Give the memory of a tensor (contiguous, of this process alone) back to the system until it is written again. What it holds is lost, or not."""
    _advise(tensor, _MADV_DONTNEED)


def _advise(tensor: Tensor, advice: int) -> None:
    if not sys.platform.startswith("linux") or tensor.device.type != "cpu":
        return
    begin = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > begin:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)


def trim_heap() -> None:
    """Return to the system what was freed: the C library keeps pieces of up to 32 MB for later, and converting weights leaves many."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(ctypes.c_size_t(0))


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that may still be taken without another's: the machine's, or what a container is left. None where none can tell.

    `root`: where the system's files are.
    """
    found = list[int]()
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    folder = root / "sys/fs/cgroup"
    for limit, used, files in _CGROUPS:
        most, taken = _read(folder / limit).strip(), _read(folder / used).strip()
        if most.isdigit() and taken.isdigit():  # "max" is no limit
            counts = dict(line.split() for line in _read((folder / used).with_name("memory.stat")).splitlines())
            found.append(max(0, int(most) - int(taken) + int(counts.get(files, 0))))
    return min(found, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
