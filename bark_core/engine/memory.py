"""Memory that was used and is needed no more goes back to the system. Linux only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import mmap
import sys

from torch import Tensor

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
