"""How far a GPU's logits are from the CPU's, fp16's from fp32's, a graph's from what is launched, and how often the check at load errs."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from bark_core.engine.graphs import GraphEngine, Replay, Size
from bark_core.engine.modes import computing
from bark_core.engine.record import list_sizes, measure_error, record_steps
from bark_core.engine.runtime import CAUSAL, make_model
from bark_core.model.transformer import CausalGPT
from bark_core.stages.jobs import Randomness
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import SamplingOptions
from benchmarks.gpu.common import Found, Setting, load, make_engine, make_states

N_TOKENS = 64
OPTIONS = (SamplingOptions(0.7), SamplingOptions(1.0, top_k=50), SamplingOptions(0.9, top_p=0.9), SamplingOptions(0))
N_PROBES = 200


def compare_logits(setting: Setting) -> Found:
    """Return errors of the causal stages' logits, relative to their size, and the largest value inside a block."""
    rows, load_state = [], make_states(setting)
    tokens = torch.arange(N_TOKENS, device=setting.device) * 37 % setting.config().coarse.output_vocab_size
    for stage in CAUSAL:
        with torch.device(setting.device):
            model = cast(CausalGPT, make_model(setting.config(), stage)).float().requires_grad_(False)
        model.load_state_dict(load_state(stage))
        exact, peak = run_watched(model, tokens)
        on_cpu, _ = run_watched(model.cpu(), tokens.cpu())
        half, half_peak = run_watched(model.to(setting.device, torch.float16), tokens)
        rows.append(
            {
                "stage": stage,
                "fp32_of_cpu": error_of(exact.cpu(), on_cpu),
                "fp16_of_fp32": error_of(half, exact),
                "fp16_same_best": round(float((half.argmax(-1) == exact.argmax(-1)).float().mean()), 4),
                "largest_fp32": round(peak, 1),
                "largest_fp16": round(half_peak, 1),
                "finite": bool(half.isfinite().all()),
            }
        )
        del model
    return {"stages": rows, "weights": "random"}


@computing()
def run_watched(model: CausalGPT, tokens: Tensor) -> tuple[Tensor, float]:
    """Return the logits (T, V) in float32 of a prompt, and the largest value that any module made of it."""
    peaks = list[Tensor]()
    watched = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.LayerNorm))]
    hooks = [module.register_forward_hook(lambda _, __, made: peaks.append(made.abs().max())) for module in watched]
    try:
        logits = model.lm_head(model(model.embed(tokens)[None])[0]).float()
    finally:
        for hook in hooks:
            hook.remove()
    return logits, float(torch.stack([peak.float() for peak in peaks]).max())


def error_of(found: Tensor, wanted: Tensor) -> float:
    """Return how far a tensor is from another, relative to its size."""
    return float(f"{float((found - wanted).norm() / wanted.norm()):.2e}")


def compare_graphs(setting: Setting) -> Found:
    """Return where a captured step and the same step launched differ, bit for bit: hidden states at every size, tokens for every option and number of rows."""
    runtime, _, _ = load(setting, plain=True)
    unlike, n_sizes, n_runs, worst = list[str](), 0, 0, 0.0
    for stage in CAUSAL:
        engine, plan, capture = make_engine(setting, runtime, stage)
        record_steps(engine, plan, capture, threading.Event())
        for n_rows, n_keys in list_sizes(engine, plan.min_keys):
            captured, wanted = hidden_of(engine, n_rows, n_keys, True), hidden_of(engine, n_rows, n_keys, False)
            n_sizes += 1
            if not torch.equal(captured, wanted):
                worst = max(worst, error_of(captured.float(), wanted.float()))
                unlike.append(f"{stage}: {n_rows} rows, {n_keys} keys")
        if stage == "semantic":
            for rows, options in itertools.product(range(1, min(engine.capacity, setting.scaled(8, 2)) + 1), OPTIONS):
                n_runs += 1
                if draw_tokens(setting, engine, rows, options, True) != draw_tokens(setting, engine, rows, options, False):
                    unlike.append(f"{rows} rows, {options}")
    return {"sizes": n_sizes, "runs": n_runs, "unlike": unlike, "worst": worst}


def launched(engine: GraphEngine) -> dict[Size, Replay]:
    """Return what launches the steps that an engine has graphs of: for as many rows as those pad to, or the products might be other ones."""
    return {size: partial(engine.advance_on_device, *size) for size in engine.graphs}


@computing()
def hidden_of(engine: GraphEngine, n_rows: int, n_keys: int, is_captured: bool) -> Tensor:
    """Return a step's hidden states, by its graph or launched, after the same keys."""
    kept, engine.graphs = engine.graphs, engine.graphs if is_captured else launched(engine)
    for seed, each in enumerate((engine.cache.keys, engine.cache.values)):
        each.normal_(generator=torch.Generator(engine.device).manual_seed(seed))
    try:
        return engine.step([5 + row for row in range(n_rows)], [n_keys - 1 - row for row in range(n_rows)]).clone()
    finally:
        engine.graphs = kept


def draw_tokens(setting: Setting, engine: GraphEngine, n_rows: int, options: SamplingOptions, is_captured: bool) -> list[list[int]]:
    """Return the semantic tokens of some texts, drawn by graphs or by the same steps launched, in engines that begin alike."""
    config = setting.config()
    kept, engine.graphs = engine.graphs, engine.graphs if is_captured else launched(engine)
    engine.n_rows = n_rows
    with computing():
        engine.empty()
    seconds = setting.scaled(60, 8) / config.semantic_rate_hz
    sources = [Randomness(i).on(engine.device) for i in range(n_rows)]
    rows = [SemanticRow(engine.model, config, [7 + i, 8, 9], None, source, seconds) for i, source in enumerate(sources)]
    try:
        for _ in run_semantic(engine, rows, options, None):
            pass
    finally:
        engine.graphs = kept
    return [row.tokens for row in rows]


def probe_check(setting: Setting) -> Found:
    """Return how often the check at load would reject a sound graph, in 200 probes, and how far its errors are from its tolerance."""
    runtime, _, _ = load(setting, plain=True)
    stages = []
    for stage in CAUSAL:
        engine, plan, capture = make_engine(setting, runtime, stage)
        record_steps(engine, plan, capture, threading.Event())
        errors = list[float]()
        sizes = itertools.cycle(list_sizes(engine, plan.min_keys))
        for turn in range(setting.scaled(N_PROBES // 2, 6)):
            with computing():
                for each in (engine.cache.keys, engine.cache.values):
                    each.normal_(generator=torch.Generator(engine.device).manual_seed(turn))
            size = next(sizes)
            errors.append(measure_error(engine, plan, size, engine.graphs[size], turn + 1))
        ordered = sorted(errors)
        found: Found = {"stage": stage, "probes": len(errors), "rejected": sum(not error <= plan.tolerance for error in errors)}
        stages.append(found | {"median": ordered[len(ordered) // 2], "largest": ordered[-1], "tolerance": plan.tolerance})
    return {"stages": stages}
