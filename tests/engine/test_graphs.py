"""The GPU's engine, without a GPU: what it draws, what it leaves in the generators, and that its step can be captured."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bark_core.config import BarkConfig, GPTConfig
from bark_core.engine.graphs import GraphEngine, GraphsUnavailable, Step, check_graphs
from bark_core.engine.loop import Engine
from bark_core.model.transformer import CausalGPT
from bark_core.stages.coarse import CoarseRow, run_coarse
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import SamplingOptions
from tests.near_ties import record_draws

CONFIG = BarkConfig(
    semantic_vocab_size=100,
    codebook_size=1024,
    text_encoding_offset=110,
    text_pad_token=290,
    semantic_pad_token=100,
    semantic_infer_token=299,
    coarse_semantic_pad_token=2150,
    coarse_infer_token=2151,
    max_text_tokens=16,
    max_semantic_steps=70,
    semantic=GPTConfig(n_layer=2, n_head=2, n_embd=64, input_vocab_size=300, output_vocab_size=101, block_size=96),
    coarse=GPTConfig(n_layer=2, n_head=2, n_embd=64, input_vocab_size=2152, output_vocab_size=2148),
)


def make(config: GPTConfig, seed: int, end_bias: float = 0.0) -> CausalGPT:
    torch.manual_seed(seed)
    model = CausalGPT(config).requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(4)
    if end_bias:
        # The end is likelier in some contexts than in others, so that rows end at different steps, and some at once.
        model.lm_head.weight[-1] += end_bias * torch.randn(config.n_embd)
    return model


def speak(make_engine: Callable[[CausalGPT, int], Engine], n_slots: int, options: SamplingOptions, end_bias: float) -> list[tuple[list[int], Any]]:
    """Run seven texts over `n_slots` slots; return each one's tokens and its generator's next number."""
    model = make(CONFIG.semantic, 1, end_bias)
    rows = [SemanticRow(model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(20 + i), 0.9 if i == 2 else None) for i in range(7)]
    for _ in run_semantic(make_engine(model, n_slots), rows, options, 0.3):
        pass
    return [(row.tokens, torch.rand(1, generator=row.generator).item()) for row in rows]


def ahead(model: CausalGPT, n_rows: int) -> Engine:
    return GraphEngine(model, n_rows, capture=False)


@pytest.mark.parametrize("options", [SamplingOptions(0.7), SamplingOptions(1.0, top_k=20), SamplingOptions(1.0, top_p=0.8), SamplingOptions(0)])
@pytest.mark.parametrize("end_bias", [0.0, 0.6])
@pytest.mark.parametrize("n_slots", [1, 3])
def test_running_ahead_draws_the_same_and_gives_unused_noise_back(n_slots: int, options: SamplingOptions, end_bias: float) -> None:
    with record_draws() as draws:
        plain = speak(Engine, n_slots, options, end_bias)
    draws.check_margins()
    assert speak(ahead, n_slots, options, end_bias) == plain
    if options.temperature:
        lengths = {len(tokens) for tokens, _ in plain}
        assert len(lengths) > (3 if end_bias else 1), "the rows should end at different steps"


@pytest.mark.parametrize("n_slots", [1, 2])
def test_coarse_windows_run_ahead_to_their_edges(n_slots: int) -> None:
    model, rng = make(CONFIG.coarse, 2), np.random.default_rng(3)
    semantic = [rng.integers(0, 100, n) for n in (45, 3, 61)]

    def run(make_engine: Callable[[CausalGPT, int], Engine]) -> list[tuple[Any, Any]]:
        rows = [CoarseRow(model, CONFIG, tokens, None, torch.Generator().manual_seed(len(tokens))) for tokens in semantic]
        for _ in run_coarse(make_engine(model, n_slots), rows, SamplingOptions(0.8)):
            pass
        return [(row.codes().tolist(), torch.rand(1, generator=row.generator).item()) for row in rows]

    with record_draws() as draws:
        plain = run(Engine)
    draws.check_margins()
    assert run(ahead) == plain


def prepared(n_rows: int, options: SamplingOptions, n_keys: int = 64) -> tuple[GraphEngine, Step]:
    engine = GraphEngine(make(CONFIG.semantic, 1), n_rows, capture=False)
    engine._load([1] * n_rows, [20 + row for row in range(n_rows)])
    engine._noise[101] = torch.ones(n_rows, 101)
    engine._set_options(options, 0.3)
    assert engine._kind is not None
    return engine, (n_rows, 0, 101, n_keys, *engine._kind)


def test_one_graph_serves_every_temperature_and_end_probability() -> None:
    engine = GraphEngine(make(CONFIG.semantic, 1), 2, capture=False)

    def speak_once(options: SamplingOptions, limit: float) -> set[Step]:
        rows = [SemanticRow(engine.model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(i), None) for i in range(2)]
        for _ in run_semantic(engine, rows, options, limit):
            pass
        return set(engine._graphs)

    made = speak_once(SamplingOptions(0.7), 0.3)
    assert 0 < len(made) < 10
    assert speak_once(SamplingOptions(0.9), 0.5) >= made, "other numbers should find the graphs that there are"
    other = speak_once(SamplingOptions(0.9, top_k=5), 0.5)
    assert not other & made, "graphs of other filters should not pile up"


class Watch(TorchDispatchMode):
    """Refuses operations that wait for the device, and keeps watch over every storage that is made."""

    SYNCS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_to_copy", "lift_fresh", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[Any]] = []
        self.shapes: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.SYNCS, f"{name} waits for the device or copies across"
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(each, Tensor):
                self.made.append(weakref.ref(each))
                self.shapes.append((name, tuple(each.shape)))
        return out


@pytest.mark.parametrize("options", [SamplingOptions(0.7), SamplingOptions(0.7, top_k=20), SamplingOptions(0)])
def test_step_neither_waits_nor_keeps_what_it_makes_and_its_shapes_stand_still(options: SamplingOptions) -> None:
    engine, step = prepared(2, options)
    seen = []
    with torch.inference_mode():
        for _ in range(3):
            with Watch() as watch:
                engine.step_on_device(step)
            gc.collect()
            assert not [ref for ref in watch.made if (kept := ref()) is not None and kept._base is None and kept.numel() > 2]
            seen.append(watch.shapes)
    assert len(seen[0]) > 20
    assert seen[0] == seen[1] == seen[2]


def test_watch_would_see_a_wait() -> None:
    with pytest.raises(AssertionError, match="waits for the device"), Watch():
        torch.ones(1).item()


@pytest.mark.parametrize("options", [SamplingOptions(0.7), SamplingOptions(0.7, top_k=20), SamplingOptions(0)])
def test_step_is_one_graph(options: SamplingOptions) -> None:
    engine, step = prepared(2, options)
    explained = torch._dynamo.explain(engine.step_on_device)(step)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons
    wanted, _ = prepared(2, options)
    wanted.step_on_device(step)
    fresh, _ = prepared(2, options)
    torch.compile(fresh.step_on_device, fullgraph=True, backend="eager")(step)
    assert torch.equal(fresh._tokens, wanted._tokens) and torch.equal(fresh._positions, wanted._positions)


def test_check_at_load_passes_what_is_right_and_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(CONFIG.semantic, 1)
    with torch.inference_mode():
        check_graphs(model, capture=False)
    with pytest.raises(GraphsUnavailable):
        check_graphs(model, capture=True)  # there is nothing here to capture with
    right = GraphEngine.step_on_device

    def wrong(engine: GraphEngine, step: Step) -> None:
        right(engine, step)
        engine._drawn[0].sub_(1)

    monkeypatch.setattr(GraphEngine, "step_on_device", wrong)
    with pytest.raises(GraphsUnavailable, match="where torch draws"):
        check_graphs(model, capture=False)
