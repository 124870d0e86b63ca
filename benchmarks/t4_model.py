"""What a T4 could do at best: bytes and FLOPs of a token, a stage and a batch, against its 320 GB/s and 65 TFLOP/s.

    python -m benchmarks.t4_model --measure small

The same arithmetic is set against this machine's processor and, with --measure, against what was measured on it, so that
a reader can judge how far to trust the first. A step takes the longer of reading and computing; nothing is said of
launches, which a captured graph takes out of the way. A processor's limit is what torch's own products reach; the kernel's
whole windows may be faster, in fp32 where torch leaves half of AVX-512 unused, and in int8, which counts as 16 bits here.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bark_core.config import BarkConfig, CodecConfig, GPTConfig
from bark_core.engine.graphs import round_to_bucket
from bark_core.engine.runtime import make_model
from bark_core.model.transformer import CausalGPT
from bark_core.stages.coarse import CoarseRow
from benchmarks.machine import describe_machine
from benchmarks.shapes import N_SEMANTIC, ROOT, SIZES, make_checkpoint, make_config

ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


@dataclass(frozen=True)
class Machine:
    """What bounds a machine: bytes and FLOPs a second."""

    name: str
    bytes_per_s: float
    flops_per_s: float


T4 = Machine("T4, fp16", 320e9, 65e12)


@dataclass
class Cost:
    """Bytes read, FLOPs, and the seconds they take at least."""

    n_bytes: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0

    def add(self, n_bytes: float, flops: float, machine: Machine, times: float = 1) -> None:
        """Add `times` goes that each read and compute so much."""
        self.n_bytes += times * n_bytes
        self.flops += times * flops
        self.seconds += times * max(n_bytes / machine.bytes_per_s, flops / machine.flops_per_s)


def step_cost(sizes: GPTConfig, n_logits: int, context: float, rows: int, precision: str) -> tuple[float, float]:
    """Return bytes and FLOPs of one token for each of `rows` rows at a context."""
    weights = 12 * sizes.n_layer * sizes.n_embd**2
    head = n_logits * sizes.n_embd
    cache_bytes = 2 if precision == "int8" else ITEM_BYTES[precision]
    n_bytes = weights * ITEM_BYTES[precision] + head * cache_bytes + rows * 2 * sizes.n_layer * context * sizes.n_embd * cache_bytes
    return n_bytes, rows * (2 * (weights + head) + 4 * sizes.n_layer * context * sizes.n_embd)


def prefill_cost(sizes: GPTConfig, n_new: int, n_keys: int, precision: str) -> tuple[float, float]:
    """Return bytes and FLOPs of `n_new` positions at once that look back on `n_keys`."""
    weights = 12 * sizes.n_layer * sizes.n_embd**2
    return weights * ITEM_BYTES[precision], n_new * (2 * weights + 4 * sizes.n_layer * n_keys * sizes.n_embd)


def count_prompts(config: BarkConfig) -> list[tuple[int, int]]:
    """Return, for the coarse stage of five seconds without a voice, each prompt's new positions and its length."""
    tiny = CausalGPT(GPTConfig(n_layer=1, n_head=1, n_embd=32, input_vocab_size=config.coarse.input_vocab_size, output_vocab_size=config.coarse.output_vocab_size))
    row = CoarseRow(tiny, config, np.arange(N_SEMANTIC), None, torch.Generator())
    prompts = []
    while not row.done:
        prompt = row.prompt()
        if prompt:
            prompts.append((len(prompt[0]), prompt[1] + len(prompt[0])))
        row.accept(0)
    return prompts


def predict(config: BarkConfig, machine: Machine, precision: str, rows: int) -> dict[str, Cost]:
    """Return the cost of each stage for `rows` texts of five seconds."""
    stages = {"semantic": Cost(), "coarse": Cost(), "fine": Cost(), "codec": Cost()}
    wide = "bf16" if precision == "int8" else precision
    stages["semantic"].add(*prefill_cost(config.semantic, 257, 257, wide), machine, rows)
    keys_read = round_to_bucket if machine is T4 else int
    for k in range(1, N_SEMANTIC):  # the first is drawn after the prompt
        stages["semantic"].add(*step_cost(config.semantic, 10_001, keys_read(257 + k), rows, precision), machine)
    prompts = count_prompts(config)
    for n_new, length in prompts:
        stages["coarse"].add(*prefill_cost(config.coarse, n_new, length, wide), machine, rows)
    n_steps = int(N_SEMANTIC * config.coarse_per_semantic / 2) * 2
    for k in range(n_steps - len(prompts)):
        stages["coarse"].add(*step_cost(config.coarse, 1024, keys_read(min(257 + k, 917)), rows, precision), machine)
    stages["fine"].add(*prefill_cost(config.fine, 1024, 1024, wide), machine, 6 * rows)
    stages["codec"].add(0, count_codec_flops(config.codec, n_steps // 2), machine, rows)
    return stages


@functools.cache
def count_codec_flops(codec: CodecConfig, n_frames: int) -> float:
    """Return the FLOPs of decoding so many frames."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_model(BarkConfig(codec=codec), "codec")(torch.zeros(8, n_frames, dtype=torch.int64))
    lstm = n_frames * 2 * 2 * 8 * (16 * codec.n_filters) ** 2  # two layers of four gates, which the counter leaves out
    return counter.get_total_flops() + lstm


def main() -> None:
    """Print the model's figures for a T4 and for this machine, and what was measured here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", choices=tuple(SIZES), default=[], help="sizes to measure on this machine, too")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8])
    options = parser.parse_args()
    here = describe_machine()
    document: dict[str, Any] = {"machine": here, "predictions": []}
    print(f"here: {here['processor']}, reads {here['read_gb_s']} GB/s, products {here['gemm_gflop_s']} GFLOP/s\n")
    print("model rows on                    stage        GB   TFLOP       model s   measured s")
    for model in SIZES:
        for rows in options.rows:
            for machine, precision in [(T4, "fp16"), *cpu_machines(here)]:
                measured = measure(model, precision, rows) if model in options.measure and machine is not T4 else {}
                for stage, cost in predict(make_config(model), machine, precision, rows).items():
                    show(model, rows, machine, stage, cost, measured.get(stage))
                    entry = {"model": model, "rows": rows, "machine": machine.name, "stage": stage, "measured_s": measured.get(stage)}
                    document["predictions"].append(entry | vars(cost))
    print(json.dumps(document))


def cpu_machines(here: dict[str, Any]) -> list[tuple[Machine, str]]:
    """Return this machine in the precisions that it has, each with its measured limits."""
    products = {"fp32": "fp32", "bf16": "bf16", "int8": "bf16"}
    return [(Machine(f"this CPU, {name}", here["read_gb_s"] * 1e9, here["gemm_gflop_s"][like] * 1e9), name) for name, like in products.items()]


def measure(model: str, precision: str, rows: int) -> dict[str, float]:
    """Return the seconds of each stage as measured here."""
    folder = make_checkpoint(model, ROOT / "build" / "benchmarks")
    job = {"folder": str(folder), "model": model, "precision": precision, "batch": rows, "voice": None}
    done = subprocess.run([sys.executable, "-m", "benchmarks.ours", json.dumps(job)], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def show(model: str, rows: int, machine: Machine, stage: str, cost: Cost, measured: float | None) -> None:
    """Print one line."""
    found = f"{measured:12.2f}" if measured is not None else " " * 11 + "–"
    print(f"{model:6}{rows:4} {machine.name:22}{stage:9}{cost.n_bytes / 1e9:8.1f}{cost.flops / 1e12:8.2f}{cost.seconds:14.3f} {found}")


if __name__ == "__main__":
    main()
