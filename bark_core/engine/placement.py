"""Where each part runs and in which precision, decided before anything is loaded. Knows no models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch

from bark_core.config import PARTS, STAGES
from bark_core.engine.speeds import Speeds, measure_here
from bark_core.errors import InvalidInput

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.bfloat16}
"""What each precision computes in. int8 is what the GPTs' weights are kept in."""

BF16_CAPABILITY = (8, 0)
"""The first compute capability with products of bf16, Ampere's. Torch emulates them before that, and calls bf16 supported."""


@dataclass(frozen=True)
class Placement:
    """Where one part runs and in which precision."""

    device: torch.device
    precision: str
    reason: str = ""  # why this precision, where it was chosen here


def plan_placement(device: str | Mapping[str, str] = "auto", precision: str | Mapping[str, str] = "auto") -> dict[str, Placement]:
    """Decide device and precision of every part; a mapping gives them by part, and what it leaves out is "auto".

    "auto" is the first GPU where there is one, else the CPU; fp16 on a GPU, fp32 on a CPU, where that is exact. "fast" is
    the fastest that loses no words: fp16 on a GPU; on a CPU what a short measurement says, in the placement's `reason`.
    One precision for all means the three GPT stages: the codec, small and heard directly, stays in fp32 unless a mapping
    names it.
    Raises: InvalidInput for an unknown part, device or precision, or one that this machine does not have.
    """
    devices = _by_part("device", device)
    precisions = _by_part("precision", precision)
    if not isinstance(precision, Mapping):
        precisions["codec"] = "fp32"
    speeds = cache(measure_here)  # once, and only if a part asks for it
    return {part: _place(devices[part], precisions[part], part, speeds) for part in PARTS}


def _by_part(what: str, given: str | Mapping[str, str]) -> dict[str, str]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(PARTS, given)
    unknown = [part for part in given if part not in PARTS]
    if unknown:
        raise InvalidInput(f"{what} was given for {unknown[0]!r}; the parts that can be named are {', '.join(PARTS)}.")
    return {part: given.get(part, "auto") for part in PARTS}


def _place(device_name: str, precision: str, part: str, speeds: Callable[[], Speeds]) -> Placement:
    device = _find_device(device_name)
    if precision == "fast" and device.type == "cpu" and part in STAGES:
        return Placement(device, speeds().fastest, speeds().describe())
    if precision in ("auto", "fast"):
        precision = "fp16" if device.type == "cuda" and part in STAGES else "fp32"
    if precision not in DTYPES:
        raise InvalidInput(f"A precision of {precision!r} was given; it must be one of auto, fast, {', '.join(DTYPES)}.")
    if precision == "fp16" and device.type == "cpu":
        raise InvalidInput("fp16 was asked for on a CPU, which has no arithmetic for it; use fp32 (exact), bf16 or int8 there.")
    if precision == "int8" and part not in STAGES:
        raise InvalidInput(f"int8 was asked for in {part}, which has no weights in 8 bits; name it for {', '.join(STAGES)}.")
    if precision == "int8" and device.type != "cpu":
        raise InvalidInput(f"int8 was asked for on {device}; its weights are for CPUs. Use fp16 on a GPU.")
    if precision == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < BF16_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise InvalidInput(f"bf16 was asked for in {part} on {device}, a {name}, which has no units for it and would emulate it; use fp16 there.")
    return Placement(device, precision)


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InvalidInput(f"A device of {name!r} was given; it must be auto, cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidInput(f"A device of {name!r} was given; it must be auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(f"A device of {name!r} was given, but this torch ({torch.__version__}) finds no CUDA device here; use cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(f"A device of {name!r} was given, but there are only {torch.cuda.device_count()} CUDA devices here, counted from 0.")
    return device
