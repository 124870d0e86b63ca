"""Drafts in 8 bits and exact steps of several positions: the same tokens, generators and caches as step by step, to the last bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bark_core.config import GPTConfig
from bark_core.engine.loop import Batch, Engine, Row
from bark_core.engine.native import NativeEngine
from bark_core.engine.speculate import Draft, SpeculativeEngine, _Branch
from bark_core.model.transformer import CausalGPT
from bark_core.stages.coarse import NO_END, CoarseRow, run_coarse
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import SamplingOptions
from tests.engine.paces import FixedPace
from tests.engine.test_graphs import CONFIG, make
from tests.engine.test_native import TOLERANCES, error_of, make_causal

SAMPLING = {
    "sampled": SamplingOptions(0.7),
    "greedy": SamplingOptions(0),
    "top-k": SamplingOptions(1.0, top_k=20),
    "top-p": SamplingOptions(1.0, top_p=0.8),
    "both": SamplingOptions(1.1, top_k=30, top_p=0.9),
}


@torch.inference_mode()
@pytest.mark.parametrize("precision", TOLERANCES)
def test_positions_of_one_slot_go_together_as_one_after_the_other(library: ctypes.CDLL, precision: str) -> None:
    model = make_causal(precision)
    prompt = model.embed(torch.arange(61) * 5 % 300)

    def feed(parts: list[list[tuple[int, int]]]) -> dict[tuple[int, int], Tensor]:
        """Feed a token at each (slot, position) of each step; return the hidden states by place, and what is cached."""
        engine = NativeEngine(model, 2, library)
        for slot in range(2):
            engine.prefill(prompt[: 61 - 20 * slot], slot, 0)
        made: dict[tuple[int, int], Tensor] = {}
        for places in parts:
            slots, positions = [slot for slot, _ in places], [position for _, position in places]
            tokens = [(7 * position + slot) % 300 for slot, position in places]
            made.update(zip(places, engine._native.decode_step(engine.place(tokens, positions), positions, slots), strict=True))
        return {**made, (-1, 0): engine.cache.keys, (-1, 1): engine.cache.values}

    ways = [(0, 61 + i) for i in range(12)], [(1, 41 + i) for i in range(5)]  # the first over the edge between two blocks of 64
    alone = feed([[place] for way in ways for place in way])
    for n in (1, 2, 3, 4, 7, 8, 9, 12):
        parts = [[*ways[0][i : i + n], *ways[1][i : i + n]] for i in range(0, 12, n)]
        found = feed(parts)
        assert found.keys() == alone.keys() and all(torch.equal(found[place], alone[place]) for place in alone), n


@torch.inference_mode()
def test_a_draft_is_the_model_with_its_linears_in_eight_bits(library: ctypes.CDLL) -> None:
    model = make_causal("fp32")
    draft = Draft(model)
    engine = SpeculativeEngine(model, 1, library, draft, FixedPace(4))
    plain = Engine(draft.model, 1)
    held = dict(draft.model.named_parameters())
    assert all(held[name] is each for name, each in model.named_parameters() if name in held) and len(held) < 30
    for each in (engine, plain):
        Engine.prefill(each, model.embed(torch.arange(70)), 0, 0)
    row = SemanticRow(model, CONFIG, [3], None, torch.Generator(), None)
    row.position = 70
    engine.catch_up(0, row)
    for position in range(70, 74):
        hidden = engine.step_draft([position], [position], [0])
        wanted = plain.step([position], [position])
        assert error_of(hidden, wanted) < 0.1  # the plain one's cache is the exact model's too, up to 70
        assert error_of(engine._draft_head(hidden, 17, 250), hidden @ model.lm_head.weight[17:267].T) < 0.02


class Checked(SpeculativeEngine):
    """An engine that looks before each draft whether it attends to what the exact steps have written, whichever rows its slot had before."""

    def _draft_step(self, branches: list[_Branch]) -> None:
        for branch in branches:
            for copied, exact in ((self._copy.keys, self.cache.keys), (self._copy.values, self.cache.values)):
                assert torch.equal(*(each[:, branch.slot, : branch.row.position].bfloat16() for each in (copied, exact)))
        super()._draft_step(branches)


@dataclass
class Seen:
    """What became of rows, draw by draw, each by its name: the token, the position, the generator's state, the prefix of the cache."""

    steps: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict)

    def note(self, name: int, row: Row, engine: Engine | None) -> None:
        cached = [] if engine is None else [each[:, 0, : row.position].numpy().tobytes() for each in (engine.cache.keys, engine.cache.values)]
        self.steps.setdefault(name, []).append((row.token, row.position, row.done, row.logprob_sum, row.generator.get_state().numpy().tobytes(), *cached))


def watch(steps: Generator[list[Row]], rows: list[Any], engine: Engine, n_steps: int | None = None) -> Seen:
    """Run rows, at most `n_steps` steps, and note what each draw leaves as it is handed over; of a single slot its cache, too."""
    seen = Seen()
    for name, row in enumerate(rows):
        def noting(index: int, name: int = name, row: Row = row, accept: Callable[[int], None] = row.accept) -> None:
            accept(index)
            seen.note(name, row, engine if engine.n_rows == 1 else None)

        row.accept = noting
    for n, _ in enumerate(steps):
        if n + 1 == n_steps:
            steps.close()
            break
    return seen


@dataclass
class Drafted:
    """A model, its draft, and how many drafts were made and were right."""

    model: CausalGPT
    library: ctypes.CDLL
    n_drafted: int = 0
    n_kept: int = 0

    def __post_init__(self) -> None:
        self.draft = Draft(self.model)

    def plain(self, n_rows: int) -> Engine:
        return NativeEngine(self.model, n_rows, self.library)

    def compare(self, run: Callable[[Engine], Seen], n_rows: int, n_tokens: int) -> None:
        """Hold what a run of several tokens a round gives against what it gives step by step."""
        pace = FixedPace(n_tokens)
        assert run(Checked(self.model, n_rows, self.library, self.draft, pace)) == run(self.plain(n_rows))
        self.n_drafted, self.n_kept = self.n_drafted + pace.n_drafted, self.n_kept + pace.n_kept

    def check_both_happened(self) -> None:
        assert 0 < self.n_kept < self.n_drafted, (self.n_kept, self.n_drafted)


def run_texts(model: CausalGPT, options: SamplingOptions, min_eos_p: float | None, n_steps: int | None = None) -> Callable[[Engine], Seen]:
    """Return what runs five texts; one of them has a ceiling in seconds."""

    def run(engine: Engine) -> Seen:
        rows = [SemanticRow(model, CONFIG, [3 + i, 5, 8], None, torch.Generator().manual_seed(20 + i), 0.9 if i == 2 else None) for i in range(5)]
        seen = watch(run_semantic(engine, rows, options, min_eos_p), rows, engine, n_steps)
        for name, row in enumerate(rows):
            seen.note(name, row, None)
            seen.steps[name].append((tuple(row.tokens), row.failed, row.reached_ceiling, row._draws))
        return seen

    return run


def test_tokens_are_the_same_at_each_level(library: ctypes.CDLL) -> None:
    texts, windows = Drafted(make(CONFIG.semantic, 1), library), Drafted(make(CONFIG.coarse, 2), library)
    for n_slots, n_tokens in ((1, 8), (3, 4)):
        texts.compare(run_texts(texts.model, SAMPLING["sampled"], 0.3), n_slots, n_tokens)
        windows.compare(run_windows(windows.model, SAMPLING["sampled"]), n_slots, n_tokens)
    texts.check_both_happened()
    windows.check_both_happened()


@pytest.mark.parametrize("sampling", SAMPLING)
def test_texts_are_the_same(native_library: ctypes.CDLL, sampling: str) -> None:
    drafted = Drafted(make(CONFIG.semantic, 1), native_library)
    for n_slots, n_tokens in ((1, 1), (1, 2), (1, 3), (1, 8), (3, 4)):
        drafted.compare(run_texts(drafted.model, SAMPLING[sampling], 0.3), n_slots, n_tokens)
    drafted.check_both_happened()


@pytest.mark.parametrize("min_eos_p", [0.3, 0.05, None])
@pytest.mark.parametrize("sampling", ["sampled", "greedy", "top-p"])
def test_texts_that_end_here_and_there_are_the_same(native_library: ctypes.CDLL, sampling: str, min_eos_p: float | None) -> None:
    drafted = Drafted(make(CONFIG.semantic, 1, end_bias=0.6), native_library)
    run = run_texts(drafted.model, SAMPLING[sampling], min_eos_p)
    for n_slots, n_tokens in ((1, 5), (2, 3), (4, 8)):
        drafted.compare(run, n_slots, n_tokens)
    drafted.check_both_happened()
    ends = {len(steps) for steps in run(drafted.plain(1)).steps.values()}
    assert len(ends) > 1, "the rows should end at different steps"


def run_windows(model: CausalGPT, options: SamplingOptions, n_steps: int | None = None) -> Callable[[Engine], Seen]:
    """Return what runs three sequences of windows, whose heads take turns."""

    def run(engine: Engine) -> Seen:
        rng = np.random.default_rng(3)
        rows = [CoarseRow(model, CONFIG, rng.integers(0, 100, n), None, torch.Generator().manual_seed(n)) for n in (45, 3, 61)]
        seen = watch(run_coarse(engine, rows, options), rows, engine, n_steps)
        for name, row in enumerate(rows):
            seen.note(name, row, None)
            seen.steps[name].append((tuple(row._flat), row.n_done, row.prefilled, tuple(row._fed)))
        return seen

    return run


@pytest.mark.parametrize("sampling", SAMPLING)
def test_windows_are_the_same_and_keep_their_prefixes(native_library: ctypes.CDLL, sampling: str) -> None:
    drafted = Drafted(make(CONFIG.coarse, 2), native_library)
    for n_slots, n_tokens in ((1, 4), (2, 7), (3, 2)):
        drafted.compare(run_windows(drafted.model, SAMPLING[sampling]), n_slots, n_tokens)
    drafted.check_both_happened()


@pytest.mark.parametrize("n_slots", [1, 2])
def test_a_cancel_finds_everything_where_the_last_step_left_it(native_library: ctypes.CDLL, n_slots: int) -> None:
    texts, windows = Drafted(make(CONFIG.semantic, 1), native_library), Drafted(make(CONFIG.coarse, 2), native_library)
    for n_steps in (1, 2, 3, 8, 29):
        if n_slots == 1:  # several rows do not advance in step, so that as many steps are other ones
            texts.compare(run_texts(texts.model, SAMPLING["sampled"], 0.3, n_steps), 1, 6)
            windows.compare(run_windows(windows.model, SAMPLING["sampled"], n_steps), 1, 6)
            continue
        rows = [SemanticRow(texts.model, CONFIG, [i], None, torch.Generator().manual_seed(i), None) for i in range(2)]
        engine = SpeculativeEngine(texts.model, 2, native_library, texts.draft, FixedPace(6))
        seen = watch(run_semantic(engine, rows, SAMPLING["sampled"], 0.3), rows, engine, n_steps)
        for i, row in enumerate(rows):
            alone = SemanticRow(texts.model, CONFIG, [i], None, torch.Generator().manual_seed(i), None)
            plain = texts.plain(1)
            watch(run_semantic(plain, [alone], SAMPLING["sampled"], 0.3), [alone], plain, len(seen.steps[i]))
            assert row.tokens == alone.tokens and torch.equal(row.generator.get_state(), alone.generator.get_state())


def test_rows_that_draw_in_ways_of_their_own_share_a_round(native_library: ctypes.CDLL) -> None:
    drafted, pace = Drafted(make(CONFIG.coarse, 2), native_library), FixedPace(5)
    lengths, kinds = (31, 12, 44, 20), [SAMPLING["sampled"], SAMPLING["top-k"], SAMPLING["sampled"], SAMPLING["greedy"]]

    def make_row(n: int) -> CoarseRow:
        return CoarseRow(drafted.model, CONFIG, np.random.default_rng(n).integers(0, 100, n), None, torch.Generator().manual_seed(n))

    alone = []
    for n, kind in zip(lengths, kinds, strict=True):
        alone.append(make_row(n))
        for _ in run_coarse(drafted.plain(1), alone[-1:], kind):
            pass
    together = [make_row(n) for n in lengths]
    batch = Batch(Checked(drafted.model, 3, native_library, drafted.draft, pace))
    for row, kind in zip(together, kinds, strict=True):
        row.drawing = kind, NO_END
        batch.add(row)
    while len(batch):
        batch.step()
    batch.close()
    for one, other in zip(alone, together, strict=True):
        assert one._flat == other._flat and one.prefilled == other.prefilled and torch.equal(one.generator.get_state(), other.generator.get_state())
    assert 0 < pace.n_kept < pace.n_drafted


def test_a_row_that_says_nothing_of_what_is_ahead_goes_step_by_step(native_library: ctypes.CDLL) -> None:
    class Plain(SemanticRow):
        def steps_ahead(self) -> int:
            return 0

    drafted = Drafted(make(CONFIG.semantic, 1), native_library)
    pace = FixedPace(8)
    row = Plain(drafted.model, CONFIG, [5], None, torch.Generator().manual_seed(1), 0.3)
    for _ in run_semantic(SpeculativeEngine(drafted.model, 1, native_library, drafted.draft, pace), [row], SAMPLING["sampled"], None):
        pass
    assert len(row.tokens) > 5 and pace.n_drafted == 0


def test_numbers_that_are_none_are_an_error_as_step_by_step(native_library: ctypes.CDLL) -> None:
    from bark_core.errors import GenerationError

    model = make(CONFIG.semantic, 1)
    model.lm_head.weight[7] = torch.nan
    drafted = Drafted(model, native_library)
    for engine in (drafted.plain(1), SpeculativeEngine(model, 1, native_library, drafted.draft, FixedPace(4))):
        row = SemanticRow(model, CONFIG, [5], None, torch.Generator().manual_seed(1), None)
        with pytest.raises(GenerationError, match="not numbers"):
            list(run_semantic(engine, [row], SAMPLING["sampled"], None))


def test_a_draft_that_ends_waits_for_the_exact_step(native_library: ctypes.CDLL) -> None:
    """An end that only the draft draws does not end a row, and one that only the exact step draws does."""
    drafted = Drafted(make(CONFIG.semantic, 1, end_bias=0.6), native_library)
    exact_head = drafted.model.lm_head.weight[:101]
    head = drafted.draft.head(0, 101)
    for change in (30.0, -30.0):
        head.scale.copy_(exact_head.abs().amax(dim=1) / 127)
        head.scale[100] *= change
        for n_slots, min_eos_p in ((1, 0.3), (2, None)):
            drafted.compare(run_texts(drafted.model, SAMPLING["sampled"], min_eos_p), n_slots, 4)
    drafted.check_both_happened()


def test_model_sizes_fit(native_library: ctypes.CDLL) -> None:
    """A cache as long as the rows, so that drafts must not go beyond it."""
    config = GPTConfig(n_layer=1, n_head=2, n_embd=64, input_vocab_size=300, output_vocab_size=101, block_size=17 + 70)
    drafted = Drafted(make(config, 4), native_library)
    drafted.compare(run_texts(drafted.model, SAMPLING["sampled"], None), 1, 8)
