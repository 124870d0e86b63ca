"""What the machine could do at best: bytes read a second, and products of matrices.

`python -m benchmarks.machine` prints it as one JSON line; `limit_level` says how the processes of a measurement are held to a plainer processor.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bark_core.engine.levels import LEVEL_VARIABLE, NATIVE
from bark_core.engine.survey import survey_kernel, survey_machine

TORCH_LEVELS = {
    "x86-64-v3": ("avx2", "AVX2"),
    "x86-64-v4": ("avx512", "AVX512_CORE"),
    "cascadelake": ("avx512", "AVX512_CORE_VNNI"),
    "cooperlake": ("avx512", "AVX512_CORE_BF16"),
}
"""What torch and oneDNN, in their own words, are held to beside each level of the kernel."""


def describe_machine() -> dict[str, Any]:
    """Return processor, the kernel's level, threads, versions and, measured, GB/s read and GFLOP/s in fp32 and bf16."""
    kernel = survey_kernel()
    return {
        "processor": survey_machine().processor,
        "kernel": kernel.instructions or f"none: {kernel.unavailable}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "read_gb_s": measure_read(make_memory()),
        "gemm_gflop_s": {"fp32": measure_product(torch.float32), "bf16": measure_product(torch.bfloat16)},
    }


def make_memory(n_bytes: int = 2**30) -> torch.Tensor:
    """Return memory that no cache holds, to measure reading with."""
    return torch.ones(n_bytes // 4)


def measure_read(memory: torch.Tensor, repeats: int = 7) -> float:
    """Return the GB/s at which a sum reads memory that no cache holds: the best of `repeats`."""
    return round(memory.nbytes / _find_best(memory.sum, repeats) / 1e9, 1)


def measure_product(dtype: torch.dtype, repeats: int = 7) -> float:
    """Return the GFLOP/s of a product of the fine stage's shape (1024 × 1024 by 1024 × 4096): the best of `repeats`."""
    x, weight = torch.randn(1024, 1024, dtype=dtype), torch.randn(4096, 1024, dtype=dtype)
    return round(2 * 1024 * 1024 * 4096 / _find_best(lambda: torch.nn.functional.linear(x, weight), repeats) / 1e9)


def _find_best(call: Callable[[], object], repeats: int, enough_s: float = 2.0) -> float:
    """Return the seconds of the quickest of `repeats` calls, or of those that `enough_s` have passed with."""
    seconds = list[float]()
    while len(seconds) < repeats and sum(seconds) < enough_s:
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def peak_memory_gb() -> float:
    """Return the most memory that this program has held, file pages in it included, in GB. Linux only.

    Not `ru_maxrss`: that begins with what the process which started this one held.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(peak.split()[1]) * 1024 / 1e9, 2)


def limit_level(level: str) -> dict[str, str]:
    """Return the environment that holds the kernel, torch and oneDNN to a level; none for this machine's own."""
    if level == NATIVE:
        return {}
    torch_level, onednn_level = TORCH_LEVELS[level]
    return {LEVEL_VARIABLE: level, "ATEN_CPU_CAPABILITY": torch_level, "ONEDNN_MAX_CPU_ISA": onednn_level}


if __name__ == "__main__":
    print(json.dumps(describe_machine()))
