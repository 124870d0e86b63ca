"""Capturing at load, with a stand-in for `torch.cuda`: what is captured, who is kept out, and what becomes of failures."""

from __future__ import annotations

import ctypes
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from bark_core.config import PARTS
from bark_core.engine import gate, record, runtime
from bark_core.engine.gate import alone_on_gpu, using_gpu
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.placement import plan_placement
from bark_core.engine.record import GraphsUnavailable, Plan, choose_capacity, record_engines, run_apart
from bark_core.engine.runtime import Runtime
from bark_core.errors import CheckpointError
from bark_core.stages.run import Job, Randomness, Result, drain, speak
from bark_core.types import GenerateOptions
from tests.checkpoints import random_states, tiny_config
from tests.engine.fake_cuda import STAGES, FakeCuda
from tests.near_ties import record_draws

CONFIG = tiny_config()
STATES = random_states(CONFIG)


@contextmanager
def no_probes(places: object) -> Iterator[Any]:
    """Stand for probes that went well."""
    assert places
    yield lambda: None


def load(patch: pytest.MonkeyPatch, states: Any = STATES) -> tuple[Runtime, list[str]]:
    """Load on what is taken for a GPU; return what was warned of."""
    patch.setattr(Runtime, "_stages_on", lambda self, kind: ["semantic", "coarse", "fine"] if kind == "cuda" else [])
    patch.setattr(runtime, "probing", no_probes)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = Runtime(CONFIG, states.__getitem__, plan_placement("cpu", "fp32"))
    return made, [str(warning.message) for warning in told]


def say(made: Runtime, n: int = 1, n_slots: int = 8) -> list[Result]:
    """Speak a few texts."""
    jobs = [Job("…", [3, 4, 5 + i], None, Randomness(i)) for i in range(n)]
    return drain(speak(made, jobs, GenerateOptions(seed=1, max_seconds=0.3, min_eos_p=None), n_slots))


def same(one: list[Result], other: list[Result]) -> bool:
    return all(np.array_equal(a.semantic, b.semantic) and np.array_equal(a.coarse, b.coarse) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def wanted() -> list[Result]:
    plain = Runtime(CONFIG, STATES.__getitem__, plan_placement("cpu", "fp32"), plain=True)
    with record_draws() as draws:
        found = say(plain, 3)
    draws.check_margins()
    return found


@pytest.mark.slow
def test_all_steps_are_captured_at_load_and_none_later(monkeypatch: pytest.MonkeyPatch, wanted: list[Result]) -> None:
    cuda = FakeCuda(monkeypatch)
    made, told = load(monkeypatch)
    assert not told and made.describe_code()["semantic"] == made.describe_code()["coarse"] == "graphs"
    engines = [made._engines[stage].recorded for stage in ("semantic", "coarse")]
    n_graphs = sum(len(engine.graphs) for engine in engines if engine is not None)
    assert cuda.n_begun == cuda.n_ended == n_graphs <= 24
    assert len(set(cuda.pools)) == cuda.streams == 2, "an engine's graphs never run side by side, and two engines' may"
    for n_slots in (1, 3, 8):
        assert same(say(made, 3, n_slots), wanted)
    assert cuda.n_begun == n_graphs


@pytest.mark.parametrize(("stage", "at"), [*((stage, 0) for stage in STAGES), ("body", 3), ("end", 14), ("replay", 3)])
def test_a_capture_that_fails_leaves_a_service_that_works(stage: str, at: int, monkeypatch: pytest.MonkeyPatch, wanted: list[Result]) -> None:
    cuda = FakeCuda(monkeypatch, stage, at)
    made, told = load(monkeypatch)
    why = {"body": "operation not permitted when stream is capturing", "wrong": "logits of 8 rows and .* are off by"}.get(stage, f"it failed at {stage}")
    assert len(told) == 1 and re.search(f"capture as a CUDA graph failed here: .*{why}", told[0]) and "\n" not in told[0]
    assert cuda.capturing is None and cuda.n_begun == cuda.n_ended
    assert made.describe_code()["semantic"] == made.describe_code()["coarse"] == "torch"
    begun = cuda.n_begun
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(say(made, 3), wanted)
    assert cuda.n_begun == begun, "what failed is not tried again"


def test_too_little_memory_is_found_out_before(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch, free_bytes=100 * 2**20)
    _, told = load(monkeypatch)
    assert "only 100 MiB of the GPU's memory are free" in told[0] and cuda.n_begun == 0


def test_room_is_made_for_as_many_rows_as_memory_allows() -> None:
    with torch.device("meta"):
        model = record.CausalGPT(runtime.BarkConfig().coarse).half()
    row_bytes = 2 * 24 * 1024 * 1024 * 2
    assert [choose_capacity(model, n * row_bytes) for n in (8, 15, 16, 32)] == [2, 2, 4, 8]
    with pytest.raises(GraphsUnavailable, match="are free"):
        choose_capacity(model, 2**29)


def test_damaged_weights_are_named_not_taken_for_a_bad_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(monkeypatch)
    states = random_states(CONFIG)
    states["coarse"]["h.1.mlp.c_proj.weight"].view(-1)[7] = float("nan")
    with pytest.raises(CheckpointError, match="not numbers in h.1.mlp.c_proj.weight of its coarse part"):
        load(monkeypatch, states)


def test_rounding_is_no_difference_and_a_wrong_mask_is(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(monkeypatch)
    model = runtime.make_model(CONFIG, "coarse")
    assert isinstance(model, record.CausalGPT)
    model.requires_grad_(False)
    plan = Plan("coarse", model, 258, 1e-4)
    advance = GraphEngine.advance_on_device

    def round_more(engine: GraphEngine, n_rows: int, n_keys: int) -> None:
        advance(engine, n_rows, n_keys)
        engine._hidden.mul_(1 + 1e-5)

    monkeypatch.setattr(GraphEngine, "advance_on_device", round_more)
    record_engines([plan])
    monkeypatch.setattr(GraphEngine, "advance_on_device", lambda engine, n_rows, n_keys: advance(engine, n_rows, n_keys // 2))
    with pytest.raises(GraphsUnavailable, match="logits of 8 rows and 1024 keys of the coarse stage are off by .* of their size"):
        record_engines([plan])


def test_a_second_generation_beside_the_first_is_launched_step_by_step(monkeypatch: pytest.MonkeyPatch, wanted: list[Result]) -> None:
    cuda = FakeCuda(monkeypatch)
    made, _ = load(monkeypatch)
    begun = cuda.n_begun
    with made.lend_engine("semantic", 2) as one, made.lend_engine("semantic", 2) as other:
        assert one is made._engines["semantic"].recorded and isinstance(other, GraphEngine) and not other.graphs
    with made.lend_engine("semantic", 1) as again:
        assert again is one and again.n_rows == 1
    with made.lend_engine("semantic", 9) as more:
        assert more.n_rows == 9
    assert same(say(made, 3), wanted) and cuda.n_begun == begun


def test_what_a_run_borrowed_is_free_again_however_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(monkeypatch)
    made, _ = load(monkeypatch)
    recorded = made._engines["semantic"].recorded
    assert recorded is not None

    def fail() -> None:
        with made.lend_engine("semantic", 1) as engine:
            assert engine is recorded
            engine.cache.keys.fill_(float("nan"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not recorded.cache.keys.any(), "what is no number would stay in the way of every later run"
    abandoned = made.lend_engine("semantic", 1)
    abandoned.__enter__()
    del abandoned
    with made.lend_engine("semantic", 1) as engine:
        assert engine is recorded


@pytest.mark.slow
def test_nobody_computes_beside_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    made, _ = load(monkeypatch)
    seen, halted = list[bool](), threading.Event()

    def generate() -> None:
        while not halted.is_set():
            for _ in speak(made, [Job("…", [3, 4, 5], None, Randomness(1))], GenerateOptions(seed=1, max_seconds=0.3, min_eos_p=None)):
                pass

    def look(*given: Any) -> Any:
        seen.append(cuda.capturing in (None, threading.get_ident()))
        return step(*given)

    step = record.CausalGPT.step
    monkeypatch.setattr(record.CausalGPT, "step", look)
    cuda.on_body = lambda: time.sleep(0.01)  # long enough for the others to come, were they let in
    threads = [threading.Thread(target=generate) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        other = Runtime(CONFIG, STATES.__getitem__, plan_placement("cpu", "fp32"))  # beside the first's generations
    finally:
        halted.set()
        for thread in threads:
            thread.join()
    assert other.describe_code()["semantic"] == "graphs"
    assert len(seen) > 50 and all(seen)


class Cancelled(BaseException):
    """What a server throws into the thread of a prediction that is not wanted any more."""


def test_a_cancel_waits_for_the_capture_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    caller, inside = threading.get_ident(), threading.Event()

    def cancel() -> None:
        inside.wait(60)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(caller), ctypes.py_object(Cancelled))

    def body() -> None:
        if cuda.n_begun == 2:
            inside.set()
            time.sleep(0.05)
        assert threading.get_ident() != caller

    cuda.on_body = body
    killer = threading.Thread(target=cancel)
    killer.start()
    with pytest.raises(Cancelled):
        load(monkeypatch)
    killer.join()
    assert cuda.capturing is None and cuda.n_begun == cuda.n_ended >= 2
    with alone_on_gpu(1):
        pass  # nobody is left inside


def test_what_is_thrown_stops_the_work_and_comes_after_its_end() -> None:
    ended = list[str]()

    def work(is_stopped: threading.Event) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.main_thread().ident or 0), ctypes.py_object(Cancelled))
        assert is_stopped.wait(60)
        ended.append("work")

    if threading.current_thread() is not threading.main_thread():
        pytest.skip("tests run on another thread here")
    with pytest.raises(Cancelled):
        run_apart(work)
    assert ended == ["work"]
    assert run_apart(lambda _: 5) == 5
    with pytest.raises(KeyError):
        run_apart(lambda _: {}[1])


def test_who_is_inside_keeps_a_capture_out_until_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    entered, leave = threading.Event(), threading.Event()

    def compute() -> None:
        with using_gpu(), using_gpu():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=compute)
    thread.start()
    entered.wait(60)
    with pytest.raises(gate.GateBusy, match="kept the GPU busy"), alone_on_gpu(0.05):
        pass
    with using_gpu():
        pass  # others are let in again
    leave.set()
    thread.join()
    with alone_on_gpu(5), using_gpu():
        pass


def test_who_is_thrown_out_in_any_moment_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    own, n_entered, n_thrown, chance = gate.Gate(), [0], 0, np.random.default_rng(0)
    monkeypatch.setattr(gate, "_GATE", own)

    def compute() -> None:
        try:
            while True:
                with using_gpu(), using_gpu():
                    n_entered[0] += 1
        except Cancelled:
            pass

    for _ in range(100):
        thread = threading.Thread(target=compute)
        thread.start()
        before = n_entered[0]
        while n_entered[0] == before:
            time.sleep(0)
        time.sleep(chance.random() * 1e-3)
        assert thread.ident is not None
        n_thrown += ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Cancelled))
        thread.join(60)
        assert not thread.is_alive() and not own._inside
    assert n_thrown == 100
    with alone_on_gpu(5), using_gpu():
        pass


def test_precision_is_not_rounded_away_while_something_computes_and_the_callers_flags_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul

    def flags() -> tuple[bool, bool, bool]:
        return cudnn.allow_tf32, matmul.allow_tf32, matmul.allow_fp16_reduced_precision_reduction

    def set_flags(tf32: bool, matmul_tf32: bool, half: bool) -> None:
        cudnn.allow_tf32, matmul.allow_tf32, matmul.allow_fp16_reduced_precision_reduction = tf32, matmul_tf32, half

    before = flags()
    try:
        for given in ((True, True, True), (False, False, False), (True, False, True), (False, True, False)):
            set_flags(*given)
            with using_gpu():
                assert flags() == given, "without a GPU, they are the caller's"
            with monkeypatch.context() as patch:
                patch.setattr(torch.cuda, "is_initialized", lambda: True)
                with record.computing(), record.loading():
                    assert flags() == (False, False, False)
                assert flags() == given
    finally:
        set_flags(*before)


def test_every_part_is_loaded_only_once_where_it_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(monkeypatch)
    loaded = list[str]()
    monkeypatch.setattr(Runtime, "_stages_on", lambda self, kind: ["semantic", "coarse", "fine"] if kind == "cuda" else [])
    monkeypatch.setattr(runtime, "probing", no_probes)
    Runtime(CONFIG, lambda part: (loaded.append(part), STATES[part])[1], plan_placement("cpu", "fp32"))
    assert loaded == list(PARTS)
