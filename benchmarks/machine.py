"""What the machine could do at best: bytes read a second, and products of matrices."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import torch


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, threads, versions and, measured, GB/s read and GFLOP/s in fp32 and bf16."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "read_gb_s": measure_read(),
        "gemm_gflop_s": {"fp32": measure_product(torch.float32), "bf16": measure_product(torch.bfloat16)},
    }


def measure_read(n_bytes: int = 2**30, repeats: int = 7) -> float:
    """Return the GB/s at which a sum reads memory that no cache holds: the best of `repeats`."""
    data = torch.ones(n_bytes // 4)
    return round(n_bytes / min(_time(lambda: data.sum()) for _ in range(repeats)) / 1e9, 1)


def measure_product(dtype: torch.dtype, repeats: int = 7) -> float:
    """Return the GFLOP/s of a product of the fine stage's shape (1024 × 1024 by 1024 × 4096): the best of `repeats`."""
    x, weight = torch.randn(1024, 1024, dtype=dtype), torch.randn(4096, 1024, dtype=dtype)
    return round(2 * 1024 * 1024 * 4096 / min(_time(lambda: torch.nn.functional.linear(x, weight)) for _ in range(repeats)) / 1e9)


def _time(call: Any) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    except OSError:
        return platform.processor()


def peak_memory_gb() -> float:
    """Return the most memory that this program has held, file pages in it included, in GB. Linux only.

    Not `ru_maxrss`: that begins with what the process which started this one held.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(peak.split()[1]) * 1024 / 1e9, 2)
