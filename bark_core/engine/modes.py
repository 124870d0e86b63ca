"""Torch's modes as our own work needs them, whatever the caller has set: grad, inference mode, autocast, the default device.

They belong to the thread that calls, and a generator runs in those of whoever resumes it, so each time anew they are set
here. The default dtype is the process's own and cannot be set for a moment without other threads seeing it: against that
one every tensor that is made says what it is. Knows nothing of what is run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from bark_core.engine.gate import using_gpu

KINDS = ("cpu", "cuda")
"""The kinds of devices that anything here runs on."""

P = ParamSpec("P")
Y = TypeVar("Y")
R = TypeVar("R")


@contextmanager
def loading() -> Iterator[None]:
    """Make ordinary tensors without gradients, on the CPU where no device is named."""
    with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"), _undisturbed():
        yield


@contextmanager
def computing() -> Iterator[None]:
    """Compute without gradients, in the types that tensors have."""
    with torch.inference_mode(), _undisturbed():
        yield


def compute(work: Callable[[], R]) -> R:
    """Return what `work` returns, done as in `computing`, which takes longer: this is for every token."""
    with torch.inference_mode():
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda") or torch.cuda.is_initialized():
            with _undisturbed():
                return work()
        return work()


def resumed_computing(make: Callable[P, Generator[Y, None, R]]) -> Callable[P, Generator[Y, None, R]]:
    """Decorate a generator function: each step of its generators runs as in `computing`, and whoever gets what it yields has modes of their own."""

    @wraps(make)
    def make_resumed(*args: P.args, **kwargs: P.kwargs) -> Generator[Y, None, R]:
        steps = make(*args, **kwargs)
        try:
            while True:
                try:
                    event = compute(steps.__next__)
                except StopIteration as end:
                    return end.value
                yield event
        finally:
            steps.close()

    return make_resumed


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep autocast out; and on a GPU, flags of precision and captures."""
    with ExitStack() as stack:
        stack.enter_context(using_gpu())
        for kind in KINDS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
