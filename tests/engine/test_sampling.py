"""The sampler: torch.multinomial's draws bit for bit, and filters as the original's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bark_core.engine.sampling import draw, draw_noise, filter_logits, pick
from bark_core.errors import InvalidInput
from bark_core.types import SamplingOptions
from tests import reference


def make_logits(seed: int, n: int = 10_001, scale: float = 3.0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) * scale


def generators(seed: int) -> tuple[torch.Generator, torch.Generator]:
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [2, 1024, 10_001])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_pick_is_multinomial_and_leaves_the_generator_where_it_does(n: int, scale: float) -> None:
    ours, theirs = generators(n)
    for seed in range(200):
        probs = make_logits(seed, n, scale).softmax(-1)
        assert int(pick(probs, draw_noise(torch.empty(n), ours))) == int(torch.multinomial(probs, 1, generator=theirs))
        assert torch.equal(ours.get_state(), theirs.get_state())


def test_pick_over_rows_is_one_multinomial_over_rows() -> None:
    ours, theirs = generators(1)
    probs = torch.stack([make_logits(seed, 1024) for seed in range(300)]).softmax(-1)
    assert torch.equal(pick(probs, draw_noise(torch.empty(300, 1024), ours)), torch.multinomial(probs, 1, generator=theirs)[:, 0])
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_a_block_of_noise_is_as_many_single_draws() -> None:
    ours, theirs = generators(2)
    block = draw_noise(torch.empty(5, 1024), ours)
    singles = torch.stack([draw_noise(torch.empty(1024), theirs) for _ in range(5)])
    assert torch.equal(block, singles) and torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.parametrize("top_k", [None, 1, 2, 50, 10_001, 20_000])
@pytest.mark.parametrize("top_p", [None, 1e-6, 0.3, 0.9, 0.999, 1.0])
def test_filters_are_the_originals(top_k: int | None, top_p: float | None) -> None:
    for seed in range(20):
        logits = make_logits(seed)
        kept = logits.clone()
        found = filter_logits(logits, SamplingOptions(1.0, top_k, top_p))
        assert torch.equal(found, reference.filtered(logits, top_k, top_p))
        assert torch.equal(logits, kept), "filters never work in place"
        assert found.argmax() == logits.argmax()


def test_equal_logits_at_the_edge_of_top_k_all_stay() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, 2.0, 2.0, 0.0])
    assert filter_logits(logits, SamplingOptions(1.0, top_k=2)).isfinite().tolist() == [False, True, True, True, True, False]


def test_rows_are_filtered_each_by_itself() -> None:
    logits = torch.stack([make_logits(seed, 500) for seed in range(6)])
    options = SamplingOptions(0.8, top_k=40, top_p=0.8)
    together = filter_logits(logits, options)
    assert torch.equal(together, torch.stack([filter_logits(row, options) for row in logits]))


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 1.7])
def test_draw_is_the_originals(temperature: float) -> None:
    ours, theirs = generators(9)
    options = SamplingOptions(temperature, top_k=200, top_p=0.95)
    for seed in range(100):
        logits = make_logits(seed)
        index, probs = draw(logits[None], options, draw_noise(torch.empty(1, 10_001), ours))
        wanted, wanted_probs = reference.draw_once(logits, theirs, temperature, 200, 0.95)
        assert int(index) == wanted and torch.equal(probs[0], wanted_probs)


def test_the_smallest_temperature_is_as_good_as_greedy() -> None:
    noise = draw_noise(torch.empty(10_001), torch.Generator().manual_seed(0))
    for seed in range(50):
        logits = make_logits(seed, scale=30.0)
        index, probs = draw(logits, SamplingOptions(1e-3), noise)
        assert int(index) == int(logits.argmax()) and bool(probs.isfinite().all())


def test_greedy_takes_the_best_and_no_noise() -> None:
    logits = make_logits(3)
    index, probs = draw(logits, SamplingOptions(0, top_k=5), None)
    assert int(index) == int(logits.argmax()) and int((probs > 0).sum()) == 5
    assert torch.equal(probs, filter_logits(logits, SamplingOptions(1.0, top_k=5)).softmax(-1))


def test_sixteen_bit_logits_are_drawn_from_in_float32() -> None:
    logits = make_logits(4).bfloat16()
    noise = draw_noise(torch.empty(10_001), torch.Generator().manual_seed(0))
    assert draw(logits, SamplingOptions(0.7), noise)[1].dtype == torch.float32


OUT_OF_RANGE = [
    *({"temperature": value} for value in (-1, 1e-45, 1e-4, float("inf"), True)),
    *({"top_k": value} for value in (0, 2.0)),
    *({"top_p": value} for value in (0, 1.01)),
]


@pytest.mark.parametrize("given", OUT_OF_RANGE)
def test_options_out_of_range_are_sentences(given: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(given.values())).__repr__()):
        SamplingOptions(**given)  # pyright: ignore[reportArgumentType]
