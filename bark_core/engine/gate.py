"""What all of a process share while its threads compute on GPUs: flags of precision, and that nobody computes beside a capture.

CUDA forbids other work of a process while a graph is captured, on whatever thread; and how exact products and convolutions
are is told by flags of the whole process. Both are kept here, for as long as somebody computes and no longer. Knows
nothing of what is computed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

PATIENCE_S = 60.0
"""How long whoever wants to be alone waits for the others to pause, which they do after every step."""


PAUSE_S = 0.0005
"""How long it waits between two looks."""


class GateBusy(Exception):
    """Others did not pause in time."""


class Gate:
    """Lets any number of threads in, or one alone. What a thread has entered it may enter again.

    A cancel may be thrown into whoever is inside, and comes after a call of a function: so between a thing done and the
    `finally` that undoes it no function is called, and no lock is held but what C holds.
    """

    def __init__(self) -> None:
        self._inside: dict[int, bool] = {}  # threads
        self._closed_by: int | None = None
        self._opened, self._turn, self._flags = threading.Event(), threading.Lock(), threading.Lock()
        self._allow: Callable[[], None] | None = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Wait until nobody else is alone, and keep everyone from being so; meanwhile the flags of precision are ours."""
        thread = threading.get_ident()
        if thread in self._inside:
            yield
            return
        while True:
            # First in, then looked whether that may be; whoever wants to be alone does these the other way round.
            self._inside[thread] = True
            try:
                if self._closed_by in (None, thread):
                    self._take_flags()
                    yield
                    return
            finally:
                self._inside.pop(thread, None)
                self._give_flags_back()
            self._opened.wait()

    @contextmanager
    def alone(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Let nobody else in, and wait until all are out. Not for a thread that is inside. Raises: GateBusy after `patience_s`."""
        thread, end = threading.get_ident(), time.monotonic() + patience_s
        if not self._turn.acquire(timeout=patience_s):
            raise GateBusy("another capture did not end")
        try:
            self._opened.clear()
            self._closed_by = thread
            while self._has_others(thread):
                if time.monotonic() > end:
                    raise GateBusy("others kept the GPU busy")
                time.sleep(PAUSE_S)
            with self.inside():
                yield
        finally:
            self._closed_by = None
            self._opened.set()
            self._turn.release()

    def _has_others(self, thread: int) -> bool:
        living = sys._current_frames()
        return any(other != thread and other in living for other in list(self._inside))

    def _take_flags(self) -> None:
        with self._flags:
            if self._allow is None:
                self._allow = forbid_rounding()

    def _give_flags_back(self) -> None:
        with self._flags:
            if not self._inside and self._allow is not None:
                self._allow()
                self._allow = None


_GATE = Gate()
"""The process's own: CUDA's rule is one for all threads, and so are torch's flags."""


@contextmanager
def using_gpu() -> Iterator[None]:
    """Compute on GPUs, if this process has begun to use one: without TF32, without sums in 16 bits, and not beside a capture."""
    if not torch.cuda.is_initialized():
        yield
        return
    with _GATE.inside():
        yield


@contextmanager
def alone_on_gpu(patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Keep everyone who uses the GPU through `using_gpu` out. Raises: GateBusy where they do not pause in time."""
    with _GATE.alone(patience_s):
        yield


def forbid_rounding() -> Callable[[], None]:
    """Forbid TF32 and sums in 16 bits where they are allowed; return what allows again what was.

    TF32 keeps 10 bits of the codec's fp32, which is heard directly; torch allows it in convolutions unless told. Sums of
    fp16 products in fp16 overflow at 65,504. Where somebody has set TF32 operation by operation, reading the whole is an
    error of torch's, and what they have set stays.
    """
    undo = list[tuple[Any, str, Any]]()
    for module, name in (
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    ):
        with suppress(RuntimeError):
            if getattr(module, name):
                split = getattr(module, f"{name}_split_k", None) if name.endswith("reduction") else None
                setattr(module, name, False)
                undo.append((module, name, True if split is None else (True, split)))

    def allow() -> None:
        for module, name, value in undo:
            setattr(module, name, value)

    return allow
