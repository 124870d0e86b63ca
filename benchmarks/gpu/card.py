"""What the card is and what it can do at best: copies, products, launches."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time

import torch

from benchmarks.gpu.common import Found, Setting, time_calls, wait

N_LAUNCHES = 400
"""About as many as a step of the large model takes."""


def describe_card(setting: Setting) -> Found:
    """Return versions, the card, GB/s copied, TFLOP/s of products, and what launches cost."""
    found: Found = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
    if setting.has_card:
        sizes = torch.cuda.get_device_properties(setting.device)
        found |= {"card": sizes.name, "capability": f"{sizes.major}.{sizes.minor}", "memory_gb": round(sizes.total_memory / 1e9, 1)}
        found |= {"multiprocessors": sizes.multi_processor_count, "cudnn": torch.backends.cudnn.version(), "driver": find_driver()}
    return found | measure_rates(setting) | measure_launches(setting)


def find_driver() -> str | None:
    """Return the driver's version, the card's clocks and its power limit, as its own tool tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = "--query-gpu=driver_version,clocks.max.sm,clocks.max.mem,power.limit"
    done = subprocess.run([tool, asked, "--format=csv,noheader"], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or None


@torch.inference_mode()
def measure_rates(setting: Setting) -> Found:
    """Return GB/s of a copy, read and written bytes together, of memory that no cache holds, and TFLOP/s of products on random numbers."""
    n_bytes, size = (2**30, 4096) if setting.has_card else (2**26, 512)
    data = torch.randn(2, n_bytes // 4, device=setting.device)
    found: Found = {"copy_gb_s": round(2 * n_bytes / time_calls(setting, lambda: data[1].copy_(data[0]), setting.scaled(20, 3)) / 1e9, 1)}
    for name, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
        if dtype is torch.float16 and not setting.has_card:
            continue
        x, weight = (torch.randn(size, size, device=setting.device).to(dtype) for _ in range(2))
        seconds = time_calls(setting, lambda x=x, weight=weight: torch.nn.functional.linear(x, weight), setting.scaled(20, 3))
        found[f"{name}_tflop_s"] = round(2 * size**3 / seconds / 1e12, 2)
    return found


@torch.inference_mode()
def measure_launches(setting: Setting) -> Found:
    """Return the microseconds of a small kernel: launched, as the host spends them and as the device takes them, and in a graph."""
    x = torch.zeros(1024, device=setting.device)

    def launch() -> None:
        for _ in range(N_LAUNCHES):
            x.add_(1)

    whole = time_calls(setting, launch, setting.scaled(20, 3))
    begin = time.perf_counter()
    launch()
    host = time.perf_counter() - begin
    wait(setting)
    found: Found = {"launch_us": round(whole / N_LAUNCHES * 1e6, 2), "launch_host_us": round(host / N_LAUNCHES * 1e6, 2)}
    if setting.has_card:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(setting.device)
        with torch.inference_mode(False), torch.cuda.stream(stream):
            y = torch.zeros(1024, device=setting.device)
            torch.cuda.synchronize()
            graph.capture_begin()
            for _ in range(N_LAUNCHES):
                y.add_(1)
            graph.capture_end()
        found["graph_kernel_us"] = round(time_calls(setting, graph.replay, 20) / N_LAUNCHES * 1e6, 2)
    return found
