"""What all of a process share while its threads compute on GPUs: flags of precision, and that nobody computes beside a capture.

CUDA forbids other work of a process while a graph is captured, on whatever thread; and how exact products and convolutions
are is told by flags of the whole process. Both are kept here, for as long as somebody computes and no longer. Knows
nothing of what is computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

PATIENCE_S = 60.0
"""How long whoever wants to be alone waits for the others to pause, which they do after every step."""


class GateBusy(Exception):
    """Others did not pause in time."""


def _leave() -> None:
    """Change nothing."""


class Gate:
    """Lets any number of threads in, or one alone. What a thread has entered it may enter again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_inside, self._is_closed = 0, False
        self._own = threading.local()
        self._restore: Callable[[], None] = _leave

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Wait until nobody is alone, and keep everyone from being so; meanwhile the flags of precision are ours."""
        depth = getattr(self._own, "depth", 0)
        if depth == 0:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_closed)
                if self._n_inside == 0:
                    self._restore = forbid_rounding()
                self._n_inside += 1
        self._own.depth = depth + 1
        try:
            yield
        finally:
            self._own.depth = depth
            if depth == 0:
                with self._changed:
                    self._n_inside -= 1
                    if self._n_inside == 0:
                        self._restore()
                        self._changed.notify_all()

    @contextmanager
    def alone(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Let nobody else in, and wait until all are out. Not for a thread that is inside. Raises: GateBusy after `patience_s`."""
        end = time.monotonic() + patience_s
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_closed, patience_s):
                raise GateBusy("another capture did not end")
            self._is_closed = True
            is_empty = self._changed.wait_for(lambda: self._n_inside == 0, max(0.0, end - time.monotonic()))
            if not is_empty:
                self._is_closed = False
                self._changed.notify_all()
                raise GateBusy("others kept the GPU busy")
            restore = forbid_rounding()
        self._own.depth = 1  # what is computed alone is computed inside, too
        try:
            yield
        finally:
            self._own.depth = 0
            with self._changed:
                restore()
                self._is_closed = False
                self._changed.notify_all()


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

