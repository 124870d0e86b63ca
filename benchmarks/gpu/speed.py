"""Steps, kernels, stages and captures: what each takes, and what share of the card's bandwidth that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bark_core.engine.graphs import GraphEngine, round_to_bucket
from bark_core.engine.modes import computing
from bark_core.engine.record import Capture, list_sizes, record_steps
from bark_core.engine.runtime import CAUSAL, Runtime
from bark_core.stages.coarse import CoarseRow, run_coarse
from bark_core.stages.jobs import Randomness
from bark_core.types import SamplingOptions
from benchmarks.gpu.card import measure_rates
from benchmarks.gpu.common import Found, Setting, load, make_engine, make_voice, say, time_calls, time_stages
from benchmarks.shapes import N_SEMANTIC
from benchmarks.t4_model import step_cost

CONTEXT = 600
"""Positions before the step that is timed: about the middle of a coarse window."""


def time_steps(setting: Setting) -> Found:
    """Return steps a second and the share of the copy rate, for 1 to 8 rows: by graphs and launched, the transformer alone and with the draw."""
    runtime, warned, _ = load(setting)
    copy_gb_s, rows = measure_rates(setting)["copy_gb_s"], []
    config = runtime.config.coarse
    for n_rows in (1, 2, 3, 4, 8) if setting.has_card else (1, 2):
        with runtime.lend_engine("coarse", n_rows) as engine:
            assert isinstance(engine, GraphEngine) or not setting.has_card
            if not isinstance(engine, GraphEngine):
                engine = make_engine(setting, runtime, "coarse")[0]
            found: Found = {"rows": n_rows, "graphs": len(engine.graphs)}
            n_bytes, _ = step_cost(config, 1024, round_to_bucket(CONTEXT), n_rows, setting.precision)
            for name, is_captured in (("graph", True), ("launched", False)):
                with using_graphs(engine, is_captured), computing():
                    engine.step([1] * n_rows, [CONTEXT] * n_rows)
                    step_s = time_calls(setting, lambda e=engine, n=n_rows: e._advance(n, CONTEXT + 1), setting.scaled(100, 3))
                    begin = time.perf_counter()
                    for _ in range(20):
                        engine._advance(n_rows, CONTEXT + 1)
                    host_s = (time.perf_counter() - begin) / 20
                    decode_s = time_decode(setting, runtime, engine, n_rows)
                found |= {f"{name}_step_ms": round(step_s * 1e3, 3), f"{name}_host_us": round(host_s * 1e6, 1)}
                found |= {f"{name}_tokens_per_s": round(n_rows / decode_s, 1), f"{name}_of_copy": round(n_bytes / step_s / 1e9 / copy_gb_s, 3)}
            rows.append(found)
    return {"copy_gb_s": copy_gb_s, "warned": warned, "steps": rows, "kernels": list_kernels(setting, runtime)}


def time_decode(setting: Setting, runtime: Runtime, engine: GraphEngine, n_rows: int) -> float:
    """Return the seconds of a step with its draw and all that goes with it, of the coarse stage without a voice: its prompts count, too."""
    n_semantic = setting.scaled(N_SEMANTIC // 2, 6)
    semantic = (torch.arange(n_semantic) * 31 % 997).numpy()
    sources = [Randomness(i).on(engine.device) for i in range(n_rows)]
    rows = [CoarseRow(engine.model, runtime.config, semantic, None, source) for source in sources]
    engine.n_rows = n_rows
    begin = time.perf_counter()
    for _ in run_coarse(engine, rows, SamplingOptions()):
        pass
    return (time.perf_counter() - begin) / rows[0].n_steps


@contextmanager
def using_graphs(engine: GraphEngine, is_captured: bool) -> Iterator[None]:
    """Let an engine use its graphs, or launch."""
    kept, engine.graphs = engine.graphs, engine.graphs if is_captured else {}
    try:
        yield
    finally:
        engine.graphs = kept


def list_kernels(setting: Setting, runtime: Runtime) -> list[Found]:
    """Return the ten kernels that take the longest in a step of one row, launched."""
    if not setting.has_card:
        return []
    engine = make_engine(setting, runtime, "coarse")[0]
    engine.n_rows, n_steps = 1, 20
    with computing():
        engine.step([1], [CONTEXT])
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            for _ in range(n_steps):
                engine._advance(1, CONTEXT + 1)
            torch.cuda.synchronize()
    events: list[Any] = [each for each in found.key_averages() if str(each.device_type).endswith("CUDA")]
    ordered = sorted(events, key=lambda each: each.self_device_time_total, reverse=True)
    return [
        {"kernel": each.key[:90], "calls_a_step": each.count / n_steps, "us_a_step": round(each.self_device_time_total / n_steps, 1)}
        for each in ordered[:10]
    ]


def time_speech(setting: Setting) -> Found:
    """Return seconds a stage of five seconds of speech, with and without a voice, for one text and for eight: by graphs, plain, and offloaded."""
    rows, warned = list[Found](), list[str]()
    for name in ("graphs", "plain", "offload"):
        runtime, told, load_s = load(setting, name == "plain", name == "offload")
        warned += told
        time_stages(setting, runtime, 1, None)  # so that libraries are set up
        for n_rows in (1, 8) if name == "graphs" and setting.has_card else (1,):
            for voice in (None, make_voice(runtime.config)):
                seconds = time_stages(setting, runtime, n_rows, voice)
                total, audio_s = sum(seconds.values()), n_rows * setting.scaled(N_SEMANTIC, 12) / runtime.config.semantic_rate_hz
                found: Found = {"how": name, "rows": n_rows, "voice": "full" if voice else "none"}
                found |= {stage: round(each, 3) for stage, each in seconds.items()}
                rows.append(found | {"sum": round(total, 3), "audio_s_per_s": round(audio_s / total, 2), "load_s": round(load_s, 1)})
        if setting.has_card:
            del runtime
            torch.cuda.empty_cache()
    return {"stages": rows, "warned": warned, "semantic_tokens": setting.scaled(N_SEMANTIC, 12)}


def measure_captures(setting: Setting) -> Found:
    """Return how many graphs are captured, ms and MB each, and what memory does over 20 generations with changing options."""
    setting.need_card()
    runtime, _, _ = load(setting, plain=True)
    stages = list[Found]()
    for stage in CAUSAL:
        engine, plan, capture = make_engine(setting, runtime, stage)
        before, times = torch.cuda.mem_get_info(setting.device)[0], list[float]()
        record_steps(engine, plan, timed(capture, times), threading.Event())
        held_mb = (before - torch.cuda.mem_get_info(setting.device)[0]) / 2**20
        n_graphs = len(list_sizes(engine, plan.min_keys))
        found: Found = {"stage": stage, "rows": engine.capacity, "graphs": n_graphs, "ms_each": round(1e3 * sum(times) / n_graphs, 1)}
        stages.append(found | {"ms_longest": round(1e3 * max(times), 1), "mb_each": round(held_mb / n_graphs, 1)})
        del engine, plan, capture
    del runtime
    return {"stages": stages, "generations": watch_memory(setting)}


def timed(capture: Capture, times: list[float]) -> Capture:
    """Return what captures, and notes the seconds of each."""

    def take(work: Any) -> Any:
        begin = time.perf_counter()
        try:
            return capture(work)
        finally:
            times.append(time.perf_counter() - begin)

    return take


def watch_memory(setting: Setting) -> Found:
    """Speak 20 times with changing options; return what memory grew by after the fifth, and whether anything more was captured."""
    runtime, warned, _ = load(setting)
    engines = [engine for engine in (runtime._engines[stage].recorded for stage in CAUSAL) if engine is not None]
    n_graphs, used = sum(len(engine.graphs) for engine in engines), list[int]()
    for k in range(20):
        sampling = SamplingOptions(0.3 + 0.05 * k, top_k=[None, 50, 5][k % 3], top_p=[None, 0.9][k % 2])
        say(runtime, 1 + k % 4, None, sampling, 40, seed=k)
        free, total = torch.cuda.mem_get_info(setting.device)
        used.append(total - free)
    more = sum(len(engine.graphs) for engine in engines) - n_graphs
    return {"graphs": n_graphs, "captured_later": more, "grew_mb": round((used[-1] - used[4]) / 2**20, 1), "used_gb": round(used[-1] / 1e9, 2), "warned": warned}


