"""torch's number of threads while the kernel decodes: lowered in the thread that decodes, there only, and given back whatever happens."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
import torch

from bark_core.config import GPTConfig
from bark_core.engine import loop, threads
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.loop import decode
from bark_core.engine.native import NativeEngine, load_library
from bark_core.engine.threads import run_with_threads
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions
from tests.engine.test_loop import Counting

N_CANCELS = 2000


class Cancelled(BaseException):
    """What is thrown into a thread that decodes."""


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def can_set() -> None:
    if threads._find_setter() is threads._leave:
        pytest.skip("torch's OpenMP is not to be found here, so its number of threads is left as it is")


def in_new_thread(work: Callable[[], int]) -> int:
    found = list[int]()
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def make_engine(width: int) -> NativeEngine:
    torch.manual_seed(2)
    sizes = GPTConfig(n_layer=1, n_head=width // 32, n_embd=width, input_vocab_size=50, output_vocab_size=50, block_size=64)
    try:
        return NativeEngine(CausalGPT(sizes).requires_grad_(False), 1, load_library())
    except NativeUnavailable as error:
        pytest.skip(f"no compiled step on this machine: {error}")


@pytest.mark.usefixtures("can_set")
def test_only_the_thread_that_asks_is_told_and_gets_its_number_back() -> None:
    def look() -> tuple[int, int]:
        return torch.get_num_threads(), in_new_thread(torch.get_num_threads)

    assert run_with_threads(1, look) == (1, 3)
    assert run_with_threads(1, lambda: (run_with_threads(2, look), look())) == ((2, 3), (1, 3))
    with pytest.raises(Cancelled):
        run_with_threads(1, cancel)
    assert look() == (3, 3)
    assert in_new_thread(lambda: (run_with_threads(1, look), torch.get_num_threads())[1]) == 3


def cancel() -> None:
    raise Cancelled


@pytest.mark.usefixtures("can_set")
def test_draws_have_one_thread_and_a_prompt_that_is_left_to_torch_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen = make_engine(96), list[tuple[str, int]]()  # of this width the kernel runs no windows
    prefill, draw = engine.model.prefill, loop.draw

    def watch(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (seen.append((name, torch.get_num_threads())), original(*given))[1]

    monkeypatch.setattr(engine.model, "prefill", watch("prompt", prefill))
    monkeypatch.setattr(loop, "draw", watch("draw", draw))
    for _ in decode(engine, [Counting(engine.model, 0, 3)], SamplingOptions(1.0), -1.0):
        assert torch.get_num_threads() == 3
    assert seen == [("prompt", 3), ("draw", 1), ("draw", 1), ("draw", 1)]


@pytest.mark.slow
def test_no_exception_from_outside_leaves_a_thread_or_a_new_one_with_fewer_threads() -> None:
    engine, stopping = make_engine(64), False
    begun, seen = SimpleQueue[bool](), SimpleQueue[int]()

    def work() -> None:
        while not stopping:
            try:
                begun.put(True)
                while not stopping:
                    for _ in decode(engine, [Counting(engine.model, 0, 8)], SamplingOptions(1.0), -1.0):
                        pass
            except Cancelled:
                seen.put(torch.get_num_threads())

    thread, interval = threading.Thread(target=work), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that exceptions arrive everywhere, not only where a thread waits for another
    thread.start()
    try:
        for k in range(N_CANCELS):
            begun.get(timeout=20)
            time.sleep(k % 7 * 1e-5)
            assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Cancelled)) == 1
            assert seen.get(timeout=20) == 3
            assert k % 20 or in_new_thread(torch.get_num_threads) == 3
    finally:
        sys.setswitchinterval(interval)
        stopping = True
        thread.join()
