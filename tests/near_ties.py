"""Rounding told from faults where two computations draw tokens from almost the same logits.

Processors, compilers and numbers of threads round sums differently, so two candidates that lie within rounding of each
other may be drawn either way, and everything after depends on it. There are two ways about that. Where draws are many, those
of one computation are recorded, and the other is led along them: at each draw it finds its own token first, and where that is
another, it must become the recorded one when both are moved by no more than rounding moves logits. Otherwise the test fails
there. How many were let pass is counted. Where draws are few, `Draws.check_margins` shows that no two candidates were so near.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from bark_core.engine import loop
from bark_core.engine.sampling import filter_logits
from bark_core.stages import fine
from bark_core.types import SamplingOptions

ROUNDING = 1e-5
"""How far rounding moves a logit at most, relative to the largest; the compiled kernel's and torch's differ by some 2e-6."""

MAX_PASSED = 5
"""How many draws of one file's tests may be within rounding of each other; more of them are a fault, not chance."""


@dataclass
class Draws:
    """The draws of one run, in order: the indices (…,) drawn at once, and for steps whether each ended its row."""

    indices: list[Tensor] = field(default_factory=list)
    stops: list[Tensor] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)

    def check_margins(self) -> None:
        """Raise AssertionError where two candidates were so near that rounding could choose; other weights or seeds help then."""
        assert self.margins, "nothing was drawn"
        assert min(self.margins) > ROUNDING, f"two candidates were {min(self.margins):.1e} of the largest logit apart"


@contextmanager
def record_draws() -> Iterator[Draws]:
    """Record what the core draws in the meantime, in this thread or another; it draws as ever."""
    draws = Draws()
    draw, stop_or_choose = loop.draw, loop.stop_or_choose

    def drawing(*given: object) -> tuple[Tensor, Tensor]:
        indices, probs = draw(*given)  # pyright: ignore[reportArgumentType]
        draws.indices.append(indices.clone())
        draws.margins.append(measure_margin(*given))  # pyright: ignore[reportArgumentType]
        return indices, probs

    def stopping(*given: object) -> Tensor:
        chosen = stop_or_choose(*given)  # pyright: ignore[reportArgumentType]
        draws.stops.append(chosen == loop.STOPPED)
        return chosen

    with patched(drawing, stopping):
        yield draws


def measure_margin(logits: Tensor, options: SamplingOptions, noise: Tensor | None, *_: object) -> float:
    """Return how far the best two candidates of the nearest row were apart, in logits, relative to the largest."""
    kept = filter_logits(logits.float(), options)
    scores = kept if options.temperature == 0 or noise is None else kept - options.temperature * noise.log()
    best, second = scores.topk(2, dim=-1).values.unbind(-1)
    return float((best - second).min() / logits.abs().max())


@contextmanager
def lead_draws(draws: Draws, passed: list[str]) -> Iterator[None]:
    """Lead the core along recorded draws. Raises: AssertionError where its own differ by more than rounding, or in number."""
    guide = Guide(draws, passed)
    draw, stop_or_choose = loop.draw, loop.stop_or_choose

    def drawing(logits: Tensor, *how: object) -> tuple[Tensor, Tensor]:
        own, probs = draw(logits, *how)  # pyright: ignore[reportArgumentType]
        return guide.settle(logits.float(), own, lambda nudged: draw(nudged, *how)[0]), probs  # pyright: ignore[reportArgumentType]

    def stopping(choice: Tensor, probs: Tensor, limit: float | None) -> Tensor:
        own = stop_or_choose(choice, probs, limit)
        stops = guide.settle_stop(own == loop.STOPPED, probs[:, -1], limit)
        return torch.where(stops, loop.STOPPED, choice)

    with patched(drawing, stopping):
        yield
    guide.finish()


@contextmanager
def patched(drawing: Callable[..., tuple[Tensor, Tensor]], stopping: Callable[..., Tensor]) -> Iterator[None]:
    """Put functions around the core's own, where its loops find them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw", drawing)
        patch.setattr(loop, "stop_or_choose", stopping)
        patch.setattr(fine, "draw", drawing)
        yield


class Guide:
    """Hands recorded draws to a computation that draws its own, and judges where they differ."""

    def __init__(self, draws: Draws, passed: list[str]) -> None:
        self._draws, self._n_settled = draws, 0
        self._stops = iter(draws.stops)
        self._passed = passed

    def peek(self, n: int) -> list[int]:
        """Return the indices of at most `n` draws to come, as far as each is of one index."""
        coming = self._draws.indices[self._n_settled : self._n_settled + n]
        return [int(drawn) for drawn in itertools.takewhile(lambda drawn: drawn.numel() == 1, coming)]

    def settle(self, logits: Tensor, own: Tensor, redraw: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the recorded indices (…,) in place of one's own, drawn from logits (…, V); `redraw` draws from others with the same noise."""
        assert self._n_settled < len(self._draws.indices), "the recorded run made fewer draws"
        drawn = self._draws.indices[self._n_settled]
        self._n_settled += 1
        if torch.equal(drawn, own):
            return own
        assert drawn.shape == own.shape, f"{tuple(drawn.shape)} indices were drawn where {tuple(own.shape)} are"
        by = ROUNDING * float(logits[logits.isfinite()].abs().max())
        nudged = logits.clone()
        nudged.scatter_add_(-1, own[..., None], torch.full_like(own, -1, dtype=logits.dtype)[..., None] * by)
        nudged.scatter_add_(-1, drawn[..., None], torch.full_like(own, 1, dtype=logits.dtype)[..., None] * by)
        differ = drawn != own
        still = differ & (redraw(nudged) != drawn)
        found, wanted = drawn[still].tolist()[:5], own[still].tolist()[:5]
        assert not found, f"{int(still.sum())} of {own.numel()} indices differ by more than rounding: {found}, not {wanted}"
        self._passed += [f"{a} for {b}" for a, b in zip(drawn[differ].tolist(), own[differ].tolist(), strict=True)]
        return drawn

    def settle_stop(self, own: Tensor, end_prob: Tensor, limit: float | None) -> Tensor:
        """Return whether the recorded steps ended their rows (B,), in place of one's own answer."""
        stops = next(self._stops, None)
        assert stops is not None, "the recorded run made fewer steps"
        differ = stops != own
        if bool(differ.any()):
            # An end that was drawn by one and not by the other is judged where it was drawn.
            far = (end_prob[differ] - (limit or 0)).abs() > ROUNDING * 10
            assert not bool(far.any()), f"a row ended where P(end) is {end_prob[differ].tolist()} and {limit} is asked"
            self._passed += ["an end"] * int(differ.sum())
        return stops

    def finish(self) -> None:
        """Raise AssertionError where the recorded run drew more."""
        assert self._n_settled == len(self._draws.indices), "the recorded run made more draws"


@contextmanager
def count_passed() -> Iterator[list[str]]:
    """Give a list for what is let pass; say in a warning how many there were. Raises: AssertionError where they are more than chance."""
    passed: list[str] = []
    yield passed
    if passed:
        warnings.warn(f"{len(passed)} draws lay within rounding of each other and were let pass: {', '.join(passed[:10])}", stacklevel=2)
    assert len(passed) <= MAX_PASSED, f"{len(passed)} draws lay within rounding of each other, more than chance makes: {passed[:20]}"
