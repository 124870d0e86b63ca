"""Which precision is the fastest on this CPU: a short measurement of what decoding and windows consist of.

Measures two layers of a model as wide as the large one's, by the very engines that models run by. What is measured is
speed only: the weights are zeros. Whether a precision is good enough is not asked here.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bark_core.config import GPTConfig
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.loop import Engine
from bark_core.engine.memory import trim_heap
from bark_core.engine.native import NativeEngine, describe_level, load_library
from bark_core.engine.pace import MAX_TOKENS, Pace
from bark_core.engine.speculate import Draft, SpeculativeEngine
from bark_core.model.blank import blank
from bark_core.model.quantize import quantize_linears
from bark_core.model.transformer import CausalGPT

PRECISIONS = ("fp32", "bf16", "int8")
"""The precisions of a CPU that lose no words (README: misheard), each weighed against the first."""

_CONFIG = GPTConfig(n_layer=2, n_head=16, n_embd=1024, input_vocab_size=128, output_vocab_size=128, block_size=128)
_WINDOW = 96
"""Positions of the prompt that is timed."""

_STEPS, _POSITIONS = 1000, 12_000
"""The steps of five seconds of speech, and the positions of its prompts and of the fine stage's windows."""


@dataclass(frozen=True)
class Speeds:
    """What five seconds of speech take in each precision, for two layers of the large model, and by whose code."""

    seconds: dict[str, float]
    code: str

    @property
    def fastest(self) -> str:
        """The precision that takes the least."""
        return min(self.seconds, key=lambda name: self.seconds[name])

    def is_slow(self, precision: str) -> bool:
        """Tell whether a precision is slower than fp32, by more than a measurement errs."""
        return self.seconds[precision] > 1.1 * self.seconds["fp32"]

    def describe(self) -> str:
        """Return how many times as fast as fp32 each is, in words."""
        return ", ".join(f"{name} {self.seconds['fp32'] / seconds:.1f} ×" for name, seconds in self.seconds.items()) + f" the speed of fp32 by {self.code}"


def measure_here() -> Speeds:
    """Measure every precision on this CPU, for about half a second: by the kernel, or by torch where that is not to be had."""
    try:
        library = load_library()
    except NativeUnavailable:
        library = None
    return measure_speeds(library)


@torch.inference_mode()
def measure_speeds(library: ctypes.CDLL | None) -> Speeds:
    """Measure every precision by the kernel, or by torch where it is None."""
    seconds = {name: _measure(name, library) for name in PRECISIONS}
    trim_heap()
    return Speeds(seconds, "torch" if library is None else f"the kernel ({describe_level(library)})")


@dataclass(frozen=True)
class DraftSpeed:
    """How fast fp32 decodes one sequence with drafts in 8 bits, for two layers of the large model: × single steps, and tokens a round at most."""

    gain: float
    n_tokens: int
    share_right: float = 0.97


@torch.inference_mode()
def measure_drafts(library: ctypes.CDLL) -> DraftSpeed:
    """Measure what drafts gain where as many are right as usually are, for about a quarter of a second."""
    model, pace = _make_engine("fp32", library).model, Pace()
    engine = SpeculativeEngine(model, 1, library, Draft(model), pace)
    many = [*range(_WINDOW, _WINDOW + MAX_TOKENS)]
    pace.note_drafts(round(1000 * DraftSpeed.share_right), 1000)
    pace.note_plain(1, _fastest_of(6, lambda: engine.step([0], [_WINDOW])))
    draft_s = _fastest_of(6, lambda: engine.step_draft([0], [_WINDOW], [0]))
    pace.note_round(1, 1, draft_s, MAX_TOKENS, _fastest_of(6, lambda: engine.step_many(many, many, [0] * MAX_TOKENS)))
    trim_heap()
    n_tokens, gain = pace.best_gain()
    return DraftSpeed(round(gain, 2), n_tokens)


def _measure(precision: str, library: ctypes.CDLL | None) -> float:
    """Return the seconds that five seconds of speech take."""
    engine = _make_engine(precision, library)
    embedded = engine.model.embed(torch.zeros(_WINDOW, dtype=torch.int64, device="cpu"))
    window_s = _fastest_of(2, lambda: engine.prefill(embedded, 0, 0))
    step_s = _fastest_of(6, lambda: engine.step([0], [_WINDOW]))
    return _STEPS * step_s + _POSITIONS / _WINDOW * window_s


def _make_engine(precision: str, library: ctypes.CDLL | None) -> Engine:
    with blank():
        model = CausalGPT(_CONFIG)
    zeros = {name: torch.zeros(tensor.shape, dtype=torch.float32, device="cpu") for name, tensor in model.state_dict().items()}
    model.load_state_dict(zeros, assign=True)
    if precision == "int8":
        quantize_linears(model)
    model = model.requires_grad_(False).to(torch.float32 if precision == "fp32" else torch.bfloat16)
    return Engine(model, 1) if library is None else NativeEngine(model, 1, library)


def _fastest_of(times: int, call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several calls, after one that does not count."""
    call()
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
