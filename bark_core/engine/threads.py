"""How many threads torch's operations take, for the calling thread alone and for a moment.

torch keeps that number for each thread, in OpenMP, and one more, which threads begin with. `torch.set_num_threads` sets
both: a number lowered with it for a moment would stay with whatever thread begins meanwhile. OpenMP's own function sets
the calling thread's only. Knows nothing of what is run.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar

import torch

from bark_core.errors import GenerationError

P = ParamSpec("P")
T = TypeVar("T")


_computing: list[int] = []
"""The process that this one's copy of OpenMP has computed in: a fork finds its parent here."""


def claim_process() -> None:
    """Say that this process computes. Raises: GenerationError in a fork of one that did, with more than one thread.

    OpenMP's threads stay with the parent, and the fork would wait for them for ever. With one thread it waits for none.
    """
    if not _computing:
        _computing.append(os.getpid())
    if os.getpid() != _computing[0] and torch.get_num_threads() > 1:
        raise GenerationError(
            f"This process ({os.getpid()}) is a fork of one ({_computing[0]}) that has computed with several threads, which a fork does not have. Fork before "
            'anything is loaded, start processes afresh (multiprocessing.set_start_method("spawn")), or call torch.set_num_threads(1) in the fork.'
        )


def run_with_threads(n: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns; meanwhile torch takes `n` threads for this thread's operations.

    Nothing is kept between calls and nothing is shared. Where an exception is thrown into this thread from outside, it
    comes after a call of a function, and what surrounds `work` here is C, which leaves no place to come in between.
    """
    set_threads, before = _find_setter(), torch.get_num_threads()
    try:
        set_threads(n)
        return work(*args, **kwargs)
    finally:
        set_threads(before)


@cache
def _find_setter() -> Callable[[int], object]:
    """Return OpenMP's function where torch's own OpenMP has it, else one that changes nothing: torch then only runs slower."""
    try:
        setter = ctypes.PyDLL(None).omp_set_num_threads
    except (AttributeError, OSError, TypeError):  # no OpenMP here, or (Windows) no way to look for it
        return _leave
    setter.argtypes, setter.restype = [ctypes.c_int], None
    before = torch.get_num_threads()
    try:
        setter(before + 1)
        is_torchs = torch.get_num_threads() == before + 1
    finally:
        setter(before)
    return setter if is_torchs else _leave


def _leave(n: int) -> None:
    """Stand in for a function that sets the number of threads."""
