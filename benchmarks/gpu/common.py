"""What the sections share: models of random weights on a device, what they speak, and how time is taken there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bark_core.config import PARTS, BarkConfig
from bark_core.engine.graphs import GraphEngine, Replay
from bark_core.engine.modes import loading
from bark_core.engine.placement import plan_placement
from bark_core.engine.record import ROWS, TOLERANCES, Capture, CudaCapture, Plan, choose_capacity
from bark_core.engine.runtime import Runtime, make_model
from bark_core.model.blank import blank
from bark_core.stages.jobs import Job, Randomness, Result
from bark_core.stages.run import drain, speak
from bark_core.types import GenerateOptions, History, SamplingOptions
from benchmarks.shapes import N_SEMANTIC, make_config

Found = dict[str, Any]
"""What a section found: figures by name, and tables as lists of such."""


class NeedsCard(Exception):
    """A section has nothing to do without a GPU."""


@dataclass(frozen=True)
class Setting:
    """Where the sections run, and on which size of model."""

    device: torch.device
    model: str

    @property
    def has_card(self) -> bool:
        """Tell whether there is a GPU."""
        return self.device.type == "cuda"

    @property
    def precision(self) -> str:
        """The precision that decoding takes there."""
        return "fp16" if self.has_card else "fp32"

    def config(self) -> BarkConfig:
        """Return the model's sizes."""
        return make_config(self.model)

    def need_card(self) -> None:
        """Raise NeedsCard where there is none."""
        if not self.has_card:
            raise NeedsCard("needs a GPU")

    def scaled(self, n: int, without_card: int) -> int:
        """Return how often something is done: fewer times where only whether it runs is in question."""
        return n if self.has_card else without_card


def make_states(setting: Setting, config: BarkConfig | None = None) -> Callable[[str], Mapping[str, Tensor]]:
    """Return what makes a part's random weights, the same each time, where the part will be: carrying gigabytes there takes long."""
    config = config or setting.config()

    def load_state(part: str) -> dict[str, Tensor]:
        with blank():
            shapes = {name: tensor.shape for name, tensor in make_model(config, part).state_dict().items()}
        generator = torch.Generator(setting.device).manual_seed(len(part))

        def make(name: str, shape: torch.Size) -> Tensor:
            made = torch.empty(shape, dtype=torch.float32, device=setting.device)
            if ".ln_" in name or name.startswith("ln_"):
                return made.fill_(1.0 if name.endswith("weight") else 0.0)
            return made.normal_(0.0, 1.0 if name == "codebooks" else 0.02, generator=generator)

        return {name: make(name, shape) for name, shape in shapes.items()}

    return load_state


def load(setting: Setting, plain: bool = False, offload: bool = False) -> tuple[Runtime, list[str], float]:
    """Return a runtime, what it warned of, and the seconds that loading took."""
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = Runtime(setting.config(), make_states(setting), plan_placement(str(setting.device)), plain, offload)
    wait(setting)
    return made, [str(warning.message) for warning in told], time.perf_counter() - begin


def make_engine(setting: Setting, runtime: Runtime, stage: str) -> tuple[GraphEngine, Plan, Capture]:
    """Return an engine of a stage without graphs, what is planned for it, and what captures (without a card: nothing)."""
    model, config = runtime.causal(stage), runtime.config
    min_keys = {"semantic": config.max_text_tokens, "coarse": config.coarse_semantic_window}[stage] + 2
    plan = Plan(stage, model, min_keys, TOLERANCES[runtime.placement[stage].precision])
    with loading():
        rows = choose_capacity(model, torch.cuda.mem_get_info(setting.device)[0]) if setting.has_card else ROWS[0]
        return GraphEngine(model, rows), plan, CudaCapture(setting.device) if setting.has_card else as_it_is


def as_it_is(work: Callable[[], None]) -> Replay:
    """Stand for a capture where there is no card: what was launched is launched again."""
    return work


def make_voice(config: BarkConfig) -> History:
    """Return a voice as long as any."""
    rng = np.random.default_rng(0)
    fine = rng.integers(0, config.codebook_size, (config.n_fine_codebooks, 900))
    return History(rng.integers(0, config.semantic_vocab_size, 600), fine[: config.n_coarse_codebooks], fine)


def say(
    runtime: Runtime,
    n_rows: int = 1,
    voice: History | None = None,
    sampling: SamplingOptions | None = None,
    n_semantic: int = N_SEMANTIC,
    on_stage: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> list[Result]:
    """Speak so many texts of so many semantic tokens each; `on_stage` hears of each step."""
    sampling = sampling or SamplingOptions()
    options = GenerateOptions(seed, sampling, sampling, min_eos_p=None, max_seconds=(n_semantic - 0.5) / runtime.config.semantic_rate_hz)
    jobs = [Job("", [100 + i, 200, 300], voice, Randomness(seed + i)) for i in range(n_rows)]
    return drain(speak(runtime, jobs, options, n_rows), lambda stage, done, total: on_stage(stage))


def tokens_of(results: list[Result]) -> list[Any]:
    """Return what was drawn, to compare."""
    return [[each.semantic.tolist(), each.coarse.tolist(), each.fine.tolist()] for each in results]


def time_stages(setting: Setting, runtime: Runtime, n_rows: int, voice: History | None) -> dict[str, float]:
    """Return the seconds of each stage for so many texts of five seconds; a random model may end early, and is then asked again."""
    n_semantic = setting.scaled(N_SEMANTIC, 12)
    for seed in range(0, 100 * n_rows, n_rows):
        last, seconds = [time.perf_counter()], dict.fromkeys(map(str, PARTS), 0.0)

        def count(stage: str, last: list[float] = last, seconds: dict[str, float] = seconds) -> None:
            now = time.perf_counter()
            seconds[stage] += now - last[0]
            last[0] = now

        made = say(runtime, n_rows, voice, None, n_semantic, count, seed)
        if all(len(each.semantic) == n_semantic for each in made):
            return seconds
    raise RuntimeError("every text ended before its time")


def wait(setting: Setting) -> None:
    """Wait until the device is done."""
    if setting.has_card:
        torch.cuda.synchronize(setting.device)


def time_calls(setting: Setting, call: Callable[[], object], repeats: int, warm_up: int = 3) -> float:
    """Return the seconds of one call, among `repeats` in a row, as the device takes them."""
    for _ in range(warm_up):
        call()
    wait(setting)
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    wait(setting)
    return (time.perf_counter() - begin) / repeats


@contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put something else in an attribute's place meanwhile."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


