"""What this machine runs models with, found by loading a small one in every precision: runtime.py decides, this only looks."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bark_core.config import BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.engine.compile import NativeUnavailable, cache_folder
from bark_core.engine.levels import list_runnable, machine_name
from bark_core.engine.native import describe_level, load_library
from bark_core.engine.placement import DTYPES, plan_placement
from bark_core.engine.runtime import Runtime, make_model
from bark_core.engine.speeds import DraftSpeed, measure_drafts
from bark_core.errors import InvalidInput

_SIZES: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 128}
_CONFIG = BarkConfig(
    name="survey",
    semantic=GPTConfig(**_SIZES, input_vocab_size=129_600, output_vocab_size=10_048),
    coarse=GPTConfig(**_SIZES, input_vocab_size=12_096, output_vocab_size=12_096),
    fine=FineConfig(**_SIZES, input_vocab_size=1056, output_vocab_size=1056),
    codec=CodecConfig(n_filters=2),
)
"""A model of random weights, of a width that the kernel takes."""


@dataclass
class Precision:
    """What a precision comes to here. `asked` is its name; `parts` says of each part its device, precision and code, if it can be had."""

    asked: str
    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass
class Kernel:
    """The compiled kernel: the instructions that it was compiled for, or why it is not to be had."""

    cache: Path
    instructions: str | None = None
    unavailable: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass
class Machine:
    """The processor and the GPUs, as those see them who choose what runs where."""

    processor: str
    levels: list[str]
    n_cores: int
    n_threads: int
    gpus: list[str]


def survey_machine() -> Machine:
    """Return what there is to compute with."""
    gpus = [
        f"{torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 1e9:.0f} GB" for i in range(torch.cuda.device_count())
    ]
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(_processor_name(), [level.name for level in list_runnable()], n_cores, torch.get_num_threads(), gpus)


def survey_kernel() -> Kernel:
    """Load the kernel, compiling it where it has not been yet."""
    found = Kernel(cache_folder())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found.instructions = describe_level(load_library())
        except (NativeUnavailable, InvalidInput) as error:
            found.unavailable = str(error)
    found.warnings = [str(warning.message) for warning in told]
    return found


def survey_drafts() -> DraftSpeed | None:
    """Measure what fp32 gains by drafts in 8 bits; None where there is no kernel, and nothing is drafted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return measure_drafts(load_library())
        except (NativeUnavailable, InvalidInput):
            return None


def survey_precisions() -> list[Precision]:
    """Load a small model as "auto", as "fast" and in every precision; return what became of each. Those that need the kernel compile it."""
    torch.manual_seed(0)
    states = {part: make_model(_CONFIG, part).state_dict() for part in ("semantic", "coarse", "fine", "codec")}
    return [_survey_precision(name, states) for name in ("auto", "fast", *DTYPES)]


def _survey_precision(name: str, states: dict[str, dict[str, torch.Tensor]]) -> Precision:
    found = Precision(name)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            placement = plan_placement("auto", name)
            code = Runtime(_CONFIG, lambda part: {key: tensor.clone() for key, tensor in states[part].items()}, placement).describe_code()
            found.parts = {
                part: {"device": str(place.device), "precision": place.precision, "code": code[part]} for part, place in placement.items()
            }
        except InvalidInput as error:
            found.refused = str(error)
    found.warnings = [str(warning.message) for warning in told]
    return found


def _processor_name() -> str:
    """Return the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), machine_name())
