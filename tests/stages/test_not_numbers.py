"""Weights that are not numbers are an error that names the stage, and where loading reads them one that names the tensor; never speech."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from bark_core import Bark, CheckpointError, GenerationError
from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import PARTS
from bark_core.engine.finite import check_weights
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.placement import plan_placement
from bark_core.engine.runtime import Runtime
from bark_core.model.transformer import Block
from bark_core.stages.coarse import CoarseRow, run_coarse
from bark_core.stages.fine import FineRow, fill_windows
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import SamplingOptions
from tests.checkpoints import States, letter_tokenizer, random_states, tiny_config, write_own

CONFIG = tiny_config(width=64)
WAYS: list[dict[str, Any]] = [{}, {"text_temp": 0, "waveform_temp": 0, "fine_temp": 0}, {"top_k": 5}, {"top_p": 0.5}, {"min_eos_p": None}]


def make_bark(precision: str = "fp32", plain: bool = False) -> Bark:
    states = random_states(CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        runtime = Runtime(CONFIG, states.__getitem__, plan_placement("cpu", precision), plain)
    return Bark(CONFIG, runtime, TextEncoder(letter_tokenizer(), CONFIG.max_text_tokens))


def norm_of_semantic(bark: Bark) -> torch.Tensor:
    return bark.runtime.causal("semantic").ln_f.weight[5:6]


def layer_of_semantic(bark: Bark) -> torch.Tensor:
    return cast(Block, bark.runtime.causal("semantic").h[1]).mlp.c_fc.weight[3, :1]


def table_of_semantic(bark: Bark) -> torch.Tensor:
    """The last token of the text, one row of all."""
    table: Any = bark.runtime.causal("semantic").wte
    rows = table.table if hasattr(table, "table") else table.weight
    return rows[bark.encoder.encode("Good day")[-1] + CONFIG.text_encoding_offset, :1]


def head_of_semantic(bark: Bark) -> torch.Tensor:
    return bark.runtime.causal("semantic").lm_head.weight[7, :1]


def head_of_coarse(bark: Bark) -> torch.Tensor:
    return bark.runtime.causal("coarse").lm_head.weight[CONFIG.semantic_vocab_size + 300, 2:3]


def table_of_fine(bark: Bark) -> torch.Tensor:
    weight = bark.runtime.fine.wtes[4].weight
    assert isinstance(weight, torch.Tensor)
    return weight[100, 3:4]


def codebook(bark: Bark) -> torch.Tensor:
    return bark.runtime.codec.codebooks[0, :, 3]


PLACES: list[tuple[Callable[[Bark], torch.Tensor], str]] = [
    (norm_of_semantic, "semantic stage gave probabilities"),
    (layer_of_semantic, "semantic stage gave probabilities"),
    (table_of_semantic, "semantic stage gave probabilities"),
    (head_of_semantic, "semantic stage gave probabilities"),
    (head_of_coarse, "coarse stage gave probabilities"),
    (table_of_fine, "fine stage gave probabilities"),
    (codebook, "codec stage gave samples"),
]


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(("place", "sentence"), PLACES)
def test_no_draw_from_what_is_no_number(place: Callable[[Bark], torch.Tensor], sentence: str, precision: str, plain: bool) -> None:
    bark = make_bark(precision, plain)
    spot = place(bark)
    if not spot.is_floating_point():
        pytest.skip("8-bit weights are whole numbers")
    with torch.no_grad():
        spot.fill_(math.nan)
    for way in WAYS:
        with pytest.raises(GenerationError, match=f"The {sentence} that are not numbers: .*Use an undamaged checkpoint"):
            bark.generate("Good day", seed=3, max_seconds=0.1, **way)


@pytest.mark.parametrize("place", [norm_of_semantic, head_of_semantic])
def test_nor_from_what_is_infinite(place: Callable[[Bark], torch.Tensor]) -> None:
    for value in (math.inf, -math.inf):
        bark = make_bark()
        with torch.no_grad():
            place(bark).fill_(value)
        with pytest.raises(GenerationError, match="semantic stage gave probabilities that are not numbers"):
            bark.generate("Good day", seed=3, max_seconds=0.3)


def test_running_ahead_reads_it_a_step_late_and_still_draws_nothing_of_it() -> None:
    model = make_bark(plain=True).runtime.causal("coarse")
    row = CoarseRow(model, CONFIG, np.arange(20), None, torch.Generator().manual_seed(1))
    steps = run_coarse(GraphEngine(model, 1), [row], SamplingOptions(0.7))
    for _ in range(5):
        next(steps)
    with torch.no_grad():
        model.ln_f.weight[0] = math.nan
    with pytest.raises(GenerationError, match="coarse stage"):
        for _ in steps:
            pass
    assert row.n_done <= 7 and math.isfinite(row.logprob)


@pytest.mark.parametrize("temperature", [0.7, 0])
def test_log_probabilities_are_of_what_was_drawn(temperature: float) -> None:
    """Recomputed from the logits of the whole sequence at once."""
    bark = make_bark(plain=True)
    model, config = bark.runtime.causal("semantic"), CONFIG
    row = SemanticRow(model, config, [5, 6, 7], None, torch.Generator().manual_seed(1), 0.2)
    with bark.runtime.lend_engine("semantic", 1) as engine:
        for _ in run_semantic(engine, [row], SamplingOptions(temperature), None):
            pass
    fresh = SemanticRow(model, config, [5, 6, 7], None, torch.Generator(), 0.2)
    with torch.inference_mode():
        prompt = fresh.prompt()
        assert prompt is not None
        hidden = model(torch.cat([prompt[0], model.embed(torch.tensor(row.tokens[:-1]))])[None])[0, len(prompt[0]) - 1 :]
        logprobs = (model.lm_head(hidden, *row.head()) / (temperature or 1)).log_softmax(-1)
        wanted = logprobs.gather(-1, torch.tensor(row.tokens)[:, None]).mean()
    assert row.n_drawn == len(row.tokens) > 5
    assert row.logprob == pytest.approx(float(wanted), rel=1e-4)


def test_fine_log_probabilities_are_those_of_speech_not_of_padding() -> None:
    bark = make_bark(plain=True)
    model, coarse = bark.runtime.fine, np.random.default_rng(1).integers(0, 1024, (2, 40))
    row = FineRow(CONFIG, coarse, None, torch.Generator())
    for _ in fill_windows(model, CONFIG, [row], [SamplingOptions(0)]):
        pass
    codes, total = torch.full((CONFIG.fine_window, 8), CONFIG.codebook_size), 0.0
    codes[:40, :2] = torch.from_numpy(coarse.T)
    with torch.inference_mode():
        # All positions see one another: what was drawn behind the speech is drawn again.
        for book in range(2, 8):
            x = sum((model.embed(codes[None, :, k], k) for k in range(book + 1)), start=torch.zeros(1, CONFIG.fine_window, 64))
            probs = model(x, book, 0, CONFIG.codebook_size)[0].softmax(-1)
            codes[:, book] = probs.argmax(-1)
            total += float(probs.amax(-1)[:40].log().sum())
    assert row.logprob == pytest.approx(total / 240, rel=1e-4)


def damaged(part: str, name: str, index: int, value: float = math.nan) -> States:
    states = random_states(CONFIG)
    states[part][name].view(-1)[index] = value
    return states


@pytest.mark.parametrize(("part", "name"), [("semantic", "ln_f.weight"), ("coarse", "lm_head.weight"), ("fine", "wtes.3.weight"), ("codec", "codebooks")])
@pytest.mark.parametrize(("index", "value"), [(0, math.nan), (-1, math.inf)])
def test_loading_names_the_tensor_whose_ends_it_reads(tmp_path: Path, part: str, name: str, index: int, value: float) -> None:
    folder = write_own(tmp_path / "tiny", CONFIG, damaged(part, name, index, value))
    with pytest.raises(CheckpointError, match=f"tiny has values that are not numbers in {name} of its {part} part. Use an undamaged copy"):
        Bark.load(folder, device="cpu")
    assert name in open_checkpoint(folder).load_state(part, allow_nan=True)


MIDDLES = [("semantic", "ln_f.weight", 40), ("semantic", "h.1.mlp.c_proj.weight", 1000), ("coarse", "h.0.attn.c_attn.weight", 5000), ("fine", "h.1.ln_1.weight", 40)]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(("part", "name", "index"), MIDDLES)
def test_checks_of_speed_name_the_tensor_that_is_damaged_within(part: str, name: str, index: int, precision: str) -> None:
    states = damaged(part, name, index)
    usable = Runtime(CONFIG, random_states(CONFIG).__getitem__, plan_placement("cpu", precision))
    if usable._library is None:
        pytest.skip("no compiled step on this machine, so nothing is compared at load")
    with pytest.raises(CheckpointError, match=rf"not numbers in {name.removesuffix('.weight')}.* of its {part} part"):
        Runtime(CONFIG, states.__getitem__, plan_placement("cpu", precision))


def test_results_that_are_no_numbers_of_sound_weights_are_left_to_the_draw() -> None:
    model = make_bark(plain=True).runtime.causal("semantic")
    check_weights(model, "semantic", torch.tensor([math.nan]))
    assert len(PARTS) == 4
