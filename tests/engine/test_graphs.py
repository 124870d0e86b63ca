"""The GPU's engine, without a GPU: what it draws, what it leaves in the generators, and that its step can be captured."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bark_core.config import BarkConfig, GPTConfig
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.loop import Batch, Engine
from bark_core.engine.record import Plan, list_sizes, record_steps
from bark_core.model.transformer import CausalGPT
from bark_core.stages.coarse import CoarseRow, run_coarse
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import SamplingOptions
from benchmarks.t4_model import OPERATIONS_A_DRAW, OPERATIONS_A_LAYER, OPERATIONS_A_STEP
from tests.engine.tape import Tape, tape
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

OPTIONS = [SamplingOptions(0.7), SamplingOptions(1.0, top_k=20), SamplingOptions(1.0, top_p=0.8), SamplingOptions(0)]


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


def run_windows(make_engine: Callable[[CausalGPT, int], Engine], n_slots: int, options: SamplingOptions) -> list[tuple[Any, Any, int]]:
    """Run texts of several windows; return each one's codes, its generator's next number, and how many positions its prompts fed."""
    model, rng = make(CONFIG.coarse, 2), np.random.default_rng(3)
    rows = [CoarseRow(model, CONFIG, rng.integers(0, 100, n), None, torch.Generator().manual_seed(n)) for n in (45, 3, 61)]
    for _ in run_coarse(make_engine(model, n_slots), rows, options):
        pass
    return [(row.codes().tolist(), torch.rand(1, generator=row.generator).item(), row.prefilled) for row in rows]


def taped(model: CausalGPT, n_rows: int) -> GraphEngine:
    """Return an engine whose every step was taped before anything is drawn, with room for more rows than it may run."""
    engine = GraphEngine(model, 8)
    record_steps(engine, Plan("semantic", model, 17, 1e-4), tape, threading.Event())
    assert set(engine.graphs) == set(list_sizes(engine, 17))
    engine.n_rows = n_rows
    engine.advance_on_device = _refuse  # pyright: ignore[reportAttributeAccessIssue]
    return engine


def _refuse(n_rows: int, n_keys: int) -> None:
    raise AssertionError(f"a step of {n_rows} rows and {n_keys} keys was not taped")


CASES = [(n_slots, options, end_bias, GraphEngine) for n_slots in (1, 3) for options in OPTIONS for end_bias in (0.0, 0.6)]


@pytest.mark.slow
@pytest.mark.parametrize(("n_slots", "options", "end_bias", "make_engine"), [*CASES, *((3, options, 0.6, taped) for options in OPTIONS)])
def test_running_ahead_draws_the_same_and_gives_unused_noise_back(
    n_slots: int, options: SamplingOptions, end_bias: float, make_engine: Callable[[CausalGPT, int], Engine]
) -> None:
    with record_draws() as draws:
        plain = speak(Engine, n_slots, options, end_bias)
    draws.check_margins()
    assert speak(make_engine, n_slots, options, end_bias) == plain
    if options.temperature:
        lengths = {len(tokens) for tokens, _ in plain}
        assert len(lengths) > (3 if end_bias else 1), "the rows should end at different steps"


@pytest.mark.parametrize("make_engine", [GraphEngine, taped])
@pytest.mark.parametrize("n_slots", [1, 2])
def test_coarse_windows_run_ahead_to_their_edges(n_slots: int, make_engine: Callable[[CausalGPT, int], Engine]) -> None:
    with record_draws() as draws:
        plain = run_windows(Engine, n_slots, SamplingOptions(0.8))
    draws.check_margins()
    assert run_windows(make_engine, n_slots, SamplingOptions(0.8)) == plain


def test_running_ahead_keeps_the_prefixes_that_windows_share() -> None:
    """250 semantic tokens without a voice: 13 windows, of which three need a prompt."""

    class Counted(GraphEngine):
        n_prompts = 0

        def prefill(self, x: torch.Tensor, slot: int, start: int) -> torch.Tensor:
            self.n_prompts += 1
            return super().prefill(x, slot, start)

    model = make(CONFIG.coarse, 2)
    engine = Counted(model, 1)
    row = CoarseRow(model, CONFIG, np.arange(250) % 100, None, torch.Generator().manual_seed(1))
    for _ in run_coarse(engine, [row], SamplingOptions(0.7)):
        pass
    assert (engine.n_prompts, row.prefilled) == (3, 2031)


def test_one_set_of_tapes_serves_every_option_and_number_of_rows() -> None:
    model = make(CONFIG.semantic, 1)
    engine = taped(model, 8)
    made = dict(engine.graphs)
    assert len(made) == 4, "one number of keys, and 8, 4, 2 and 1 rows"
    for n_rows in range(1, 9):
        for options, limit in ((OPTIONS[n_rows % 4], 0.3), (SamplingOptions(0.9), None), (SamplingOptions(0.1 * n_rows), 0.02 * n_rows)):
            found = []
            for each in (Engine(model, n_rows), engine):
                engine.n_rows = n_rows
                rows = [SemanticRow(model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(i), 0.5) for i in range(n_rows)]
                for _ in run_semantic(each, rows, options, limit):
                    pass
                found.append([(row.tokens, row.logprob) for row in rows])
            assert [tokens for tokens, _ in found[0]] == [tokens for tokens, _ in found[1]]
            assert [sum_ for _, sum_ in found[0]] == pytest.approx([sum_ for _, sum_ in found[1]], rel=1e-4)
    assert engine.graphs == made, "nothing is captured while something is spoken"


@pytest.mark.parametrize(("keys", "wanted"), [(96, [96]), (1024, [1024, 768, 512])])
def test_graphs_are_as_few_as_the_released_models_need(keys: int, wanted: list[int]) -> None:
    engine = GraphEngine(make(CONFIG.semantic if keys == 96 else CONFIG.coarse, 1), 8)
    sizes = list_sizes(engine, 258 if keys == 1024 else 18)
    assert sizes == [(n_rows, n_keys) for n_rows in (8, 4, 2, 1) for n_keys in wanted]


def prepared(model: CausalGPT, n_rows: int) -> GraphEngine:
    engine = GraphEngine(model, n_rows)
    engine._place([1] * n_rows, [20 + row for row in range(n_rows)])
    return engine


def test_step_neither_waits_nor_keeps_what_it_makes_and_its_shapes_stand_still() -> None:
    engine, seen = prepared(make(CONFIG.semantic, 1), 2), []
    with torch.no_grad():
        for _ in range(3):
            with Tape() as watch:
                engine.advance_on_device(2, 64)
            engine._positions.add_(1)
            watch.forget()
            gc.collect()
            assert not [ref for ref in watch.made if (kept := ref()) is not None and kept.numel() > 2]
            seen.append(watch.shapes)
    assert len(seen[0]) > 20
    assert seen[0] == seen[1] == seen[2]


def test_a_step_is_few_operations_and_masks_once() -> None:
    counts, masked = [], []
    for n_layer in (1, 3):
        engine = prepared(make(GPTConfig(n_layer=n_layer, n_head=2, n_embd=64, input_vocab_size=300, output_vocab_size=101, block_size=96), 1), 2)
        with torch.no_grad(), Tape() as watch:
            engine.advance_on_device(2, 64)
        counts.append(len(watch.names))
        masked.append([name for name in watch.names if name in ("gt", "le", "where", "masked_fill", "masked_fill_", "full", "zeros")])
    a_layer = (counts[1] - counts[0]) / 2
    # benchmarks/t4_model.py reckons with these.
    assert (a_layer, counts[0] - a_layer) == (OPERATIONS_A_LAYER, OPERATIONS_A_STEP), watch.names
    assert masked[0] == masked[1] and len(masked[0]) <= 3


@pytest.mark.parametrize("options", [SamplingOptions(0.7), SamplingOptions(0.7, top_k=20), SamplingOptions(0)])
@pytest.mark.parametrize("limit", [None, 0.3, -1.0])
def test_a_draw_is_few_operations_and_waits_for_nothing(options: SamplingOptions, limit: float | None) -> None:
    model = make(CONFIG.semantic, 1)
    engine = prepared(model, 2)
    rows = [SemanticRow(model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(i), None) for i in range(2)]
    with torch.inference_mode(), Tape() as watch:
        engine._draw(engine._hidden, rows, rows[0].head(), options, limit, 0)
    filters = 3 if options.top_k else 0
    assert len(watch.names) <= OPERATIONS_A_DRAW + filters, watch.names


def test_the_tape_would_see_a_wait() -> None:
    with pytest.raises(AssertionError, match="waits for the device"), Tape():
        torch.ones(1).item()


def test_the_tape_would_see_what_python_holds() -> None:
    """A number that Python holds is the same each time a tape is played: the draws would differ."""
    position, out = [0], torch.zeros(1)
    with Tape() as made:
        out.add_(position[0] + 1)
    position[0] = 10
    made.play()
    assert out.item() == 2


def test_step_is_one_graph() -> None:
    model = make(CONFIG.semantic, 1)
    engine = prepared(model, 2)
    explained = torch._dynamo.explain(engine.advance_on_device)(2, 64)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons
    wanted, fresh = prepared(model, 2), prepared(model, 2)
    wanted.advance_on_device(2, 64)
    torch.compile(fresh.advance_on_device, fullgraph=True, backend="eager")(2, 64)
    assert torch.equal(fresh._hidden, wanted._hidden)


@pytest.mark.parametrize("other", [SamplingOptions(0.7), SamplingOptions(0.9)])
def test_a_row_that_is_no_numbers_any_more_leaves_none_to_the_next_in_its_slot(other: SamplingOptions) -> None:
    """Where rows draw alike, an engine runs ahead; where each draws in its own way, it does not."""
    model = make(CONFIG.semantic, 1)

    def make_rows() -> list[SemanticRow]:
        rows = [SemanticRow(model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(i), 0.4) for i in range(3)]
        for row, options in zip(rows, (SamplingOptions(0.7), other, SamplingOptions(0.7)), strict=True):
            row.drawing = options, None
        return rows

    found = []
    for is_damaged in (False, True):
        engine, rows = GraphEngine(model, 2), make_rows()
        batch = Batch(engine)
        for row in rows:
            batch.add(row)
        for k in range(200):
            if len(batch):
                batch.step()
            if is_damaged and k == 4:
                with torch.no_grad():
                    engine.cache.keys[:, 0, :60] = float("nan")
        found.append([row.tokens for row in rows])
        assert (rows[0].error is not None) == is_damaged and rows[1].error is None and rows[2].error is None
    assert found[0][1:] == found[1][1:] and all(len(tokens) > 10 for tokens in found[1][1:])


def test_what_is_no_number_does_not_stay_in_the_cache() -> None:
    """A step reads keys beyond a row's own; −inf and what is no number give no number."""
    engine = prepared(make(CONFIG.semantic, 1), 1)
    with torch.no_grad():
        engine.cache.keys[:, :, 60:] = float("nan")
        assert engine.step([1], [20]).isnan().any()
        engine.empty()
        assert engine.step([1], [20]).isfinite().all()
