"""A stand-in for `torch.cuda`'s capture on the CPU: its graphs are tapes, and it fails where it is told to.

It holds to CUDA's rules as far as they can be seen here: one capture at a time, ended however it went, nobody else at work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from tests.engine.tape import Tape

STAGES = ("stream", "memory", "begin", "body", "end", "pool", "replay", "wrong")
"""Where it can fail. "wrong": a graph that replays something else."""


class FakeCuda:
    """Counts what is captured. `fails`: the stage that goes wrong from capture number `at` on."""

    def __init__(self, patch: pytest.MonkeyPatch, fails: str = "", at: int = 0, free_bytes: int = 16 * 2**30) -> None:
        self.fails, self.at, self.free_bytes = fails, at, free_bytes
        self.n_begun = self.n_ended = 0
        self.capturing: int | None = None  # the thread that does
        self.pools: list[object] = []
        self.streams = 0
        self.on_body: Callable[[], None] = lambda: None
        fakes = {
            "Stream": self._stream,
            "CUDAGraph": lambda: FakeGraph(self),
            "device": self._enter,
            "stream": self._enter,
            "synchronize": self._synchronize,
            "mem_get_info": self._mem_get_info,
            "is_initialized": lambda: True,
        }
        for name, fake in fakes.items():
            patch.setattr(torch.cuda, name, fake)

    def fail(self, stage: str, exception: type[Exception] = RuntimeError) -> None:
        """Raise if this is where it goes wrong."""
        if stage == self.fails and self.n_begun >= self.at:
            raise exception(f"CUDA error: it failed at {stage}\nand more lines")

    def _stream(self, device: torch.device) -> object:
        self.fail("stream", AssertionError)
        self.streams += 1
        return device

    def _mem_get_info(self, *_: object) -> tuple[int, int]:
        self.fail("memory")
        return self.free_bytes, 16 * 2**30

    @contextmanager
    def _enter(self, *_: object) -> Iterator[None]:
        yield

    def _synchronize(self, *_: object) -> None:
        assert self.capturing is None, "a capture does not wait"


class FakeGraph:
    """One graph."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self._tape, self._pool = cuda, Tape(), object()

    def capture_begin(self, pool: object, capture_error_mode: str) -> None:
        cuda = self._cuda
        assert cuda.capturing is None, "another capture is under way"
        assert capture_error_mode == "thread_local"
        assert not torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
        cuda.fail("begin")
        cuda.n_begun += 1
        cuda.capturing = threading.get_ident()
        self._pool = self._pool if pool is None else pool
        if cuda.fails == "body" and cuda.n_begun > cuda.at:
            self._tape = Refusing()
        self._tape.__enter__()
        cuda.on_body()

    def capture_end(self) -> None:
        cuda = self._cuda
        assert cuda.capturing == threading.get_ident(), "a capture ends where it began"
        self._tape.__exit__(None, None, None)
        cuda.capturing = None
        cuda.n_ended += 1
        cuda.fail("end")

    def pool(self) -> Any:
        self._cuda.fail("pool")
        self._cuda.pools.append(self._pool)
        return self._pool

    def replay(self) -> None:
        assert self._cuda.capturing is None
        self._cuda.fail("replay")
        if self._cuda.fails == "wrong" and self._cuda.n_begun > self._cuda.at:
            self._tape.names[:] = []
            return
        self._tape.play()


class Refusing(Tape):
    """Fails as an operation that waits does: at the launch, with the capture still open."""

    def __torch_dispatch__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
