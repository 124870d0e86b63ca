"""The judge of near ties: what rounding can do passes and is counted, what it cannot fails, and too much of it fails."""

from __future__ import annotations

import pytest
import torch

from bark_core.engine import loop
from bark_core.types import SamplingOptions
from tests.near_ties import MAX_PASSED, Draws, Guide, count_passed, lead_draws, record_draws

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [4.0, 4.0 - 1e-5, 0.0]])


def settle(drawn: list[int], passed: list[str]) -> list[int]:
    guide = Guide(Draws([torch.tensor(drawn)]), passed)
    return guide.settle(LOGITS, LOGITS.argmax(-1), lambda logits: logits.argmax(-1)).tolist()


def test_only_what_rounding_closes_is_let_pass_and_it_is_counted() -> None:
    passed: list[str] = []
    assert settle([1, 0], passed) == [1, 0] and not passed
    assert settle([1, 1], passed) == [1, 1] and passed == ["1 for 0"]
    with pytest.raises(AssertionError, match=r"1 of 2 indices differ by more than rounding: \[2\], not \[1\]"):
        settle([2, 1], passed)


def test_ends_are_judged_by_how_near_their_probability_is() -> None:
    passed: list[str] = []
    guide = Guide(Draws(stops=[torch.tensor([True])] * 2), passed)
    assert bool(guide.settle_stop(torch.tensor([False]), torch.tensor([0.2 - 1e-6]), 0.2)) and len(passed) == 1
    with pytest.raises(AssertionError, match="a row ended where"):
        guide.settle_stop(torch.tensor([False]), torch.tensor([0.19]), 0.2)


def test_more_than_a_handful_is_a_fault_and_fewer_are_told() -> None:
    with pytest.raises(AssertionError, match="more than chance"), pytest.warns(UserWarning, match="6 draws"), count_passed() as passed:
        passed += ["1 for 0"] * (MAX_PASSED + 1)
    with pytest.warns(UserWarning, match="1 draws lay within rounding"), count_passed() as passed:
        passed.append("1 for 0")


@pytest.mark.parametrize("options", [SamplingOptions(0), SamplingOptions(0.7), SamplingOptions(0.7, top_k=2)])
def test_a_run_led_along_its_own_draws_is_itself_and_along_others_fails(options: SamplingOptions) -> None:
    def run(logits: torch.Tensor) -> list[int]:
        noise = torch.rand(3, 8, generator=torch.Generator().manual_seed(1))
        return loop.stop_or_choose(*loop.draw(logits, options, noise), 0.9).tolist()

    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    with record_draws() as draws:
        wanted = run(logits)
    draws.check_margins()
    with count_passed() as passed:
        with lead_draws(draws, passed):
            assert run(logits + 1e-7) == wanted
        with pytest.raises(AssertionError, match="more than rounding"), lead_draws(draws, passed):
            run(-logits)
    assert not passed


def test_a_tie_has_no_margin() -> None:
    with record_draws() as draws:
        loop.draw(torch.tensor([[0.0, 5.0, 1.0], [5.0, 1.0, 5.0 + 1e-6]]), SamplingOptions(0), None)
    with pytest.raises(AssertionError, match="of the largest logit apart"):
        draws.check_margins()
