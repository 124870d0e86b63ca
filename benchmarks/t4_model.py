"""What GPUs could do: a lower bound, and what to expect, for a T4, an L4 and an H100, and for a card that was measured.

    python -m benchmarks.t4_model --measured gpu.json     # what `python -m benchmarks.gpu` wrote, where somebody had a card
    python -m benchmarks.t4_model --measure small         # and what is measured on this machine's processor

The bound: a step takes the longer of reading its bytes and computing its FLOPs at the data sheet's rates. The expectation:
each at the share of them that is reached (--bandwidth-share, --product-share), and every kernel takes so long beside
(--kernel-us), since a step of hundreds of small ones is bound by them where bandwidth is plenty. The codec computes in fp32.
The same arithmetic is set against this machine's processor, whose limits are measured, so that a reader can judge how far to
trust it. A processor's limit is what torch's own products reach; the kernel's whole windows may be faster, in fp32 where
torch leaves half of AVX-512 unused, and in int8, which counts as 16 bits here. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
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


BANDWIDTH_SHARE = 0.8
"""Of the data sheet's bandwidth, decoding by plain kernels reaches about this: 81 % was reported for an L4, 82 % for an A100 in 16 bits, 78 % at
best for an H100. A guess for a T4, which nobody reported."""

PRODUCT_SHARE = 0.5
"""Of the data sheet's FLOPs, products of a thousand rows reach about half, less where a card is held to few watts. A guess."""

KERNELS_AN_OPERATION = 1.25
"""An operation of ours is one kernel or two: products of few rows are split and their parts then added."""

OPERATIONS_A_LAYER, OPERATIONS_A_STEP, OPERATIONS_A_DRAW = 12, 8, 18
"""What a step launches, as tests/engine/test_graphs.py counts it: in each layer, beside them, and with its draw and what goes with that."""

CODEC_OPERATIONS_A_FRAME = 2 * 3
"""The codec's two recurrent layers go frame by frame, whatever else goes at once."""


@dataclass(frozen=True)
class Machine:
    """What bounds a machine: bytes and FLOPs a second, in the GPTs' precision and in fp32; what share of each is reached, and the seconds of a kernel."""

    name: str
    bytes_per_s: float
    flops_per_s: float
    fp32_flops_per_s: float
    kernel_s: float = 0.0
    bandwidth_share: float = 1.0
    product_share: float = 1.0
    is_gpu: bool = False


def _card(name: str, gb_s: float, fp16_tflop_s: float, fp32_tflop_s: float, kernel_us: float) -> Machine:
    rates = gb_s * 1e9, fp16_tflop_s * 1e12, fp32_tflop_s * 1e12
    return Machine(f"{name}, fp16", *rates, kernel_us * 1e-6, BANDWIDTH_SHARE, PRODUCT_SHARE, True)


T4 = _card("T4", 320, 65, 8.1, 3.0)
CARDS = [T4, _card("L4", 300, 121, 30.3, 2.0), _card("H100", 3350, 990, 67, 2.0)]
"""Data sheets' rates (dense, without sparsity; the H100 as SXM), and a guess of what a small kernel takes in a graph."""


@dataclass
class Cost:
    """Bytes read, FLOPs, kernels, and the seconds they take at least, and as expected."""

    n_bytes: float = 0.0
    flops: float = 0.0
    kernels: float = 0.0
    seconds: float = 0.0
    expected: float = 0.0

    def add(self, n_bytes: float, flops: float, machine: Machine, times: float = 1, operations: float = 0, is_fp32: bool = False) -> None:
        """Add `times` goes that each read and compute so much in so many operations."""
        rate, kernels = machine.fp32_flops_per_s if is_fp32 else machine.flops_per_s, operations * KERNELS_AN_OPERATION
        self.n_bytes += times * n_bytes
        self.flops += times * flops
        self.kernels += times * kernels
        reading, computing = n_bytes / machine.bytes_per_s, flops / rate
        self.seconds += times * max(reading, computing)
        reached = max(reading / machine.bandwidth_share, computing / machine.product_share)
        self.expected += times * (reached + kernels * machine.kernel_s)


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
    n_layer = config.semantic.n_layer
    pass_operations = OPERATIONS_A_LAYER * n_layer + OPERATIONS_A_STEP
    step_operations = pass_operations + OPERATIONS_A_DRAW + rows - 1  # each row's noise is drawn by itself
    stages["semantic"].add(*prefill_cost(config.semantic, 257, 257, wide), machine, rows, pass_operations)
    keys_read = round_to_bucket if machine.is_gpu else int
    for k in range(1, N_SEMANTIC):  # the first is drawn after the prompt
        stages["semantic"].add(*step_cost(config.semantic, 10_001, keys_read(257 + k), rows, precision), machine, 1, step_operations)
    prompts = count_prompts(config)
    for n_new, length in prompts:
        stages["coarse"].add(*prefill_cost(config.coarse, n_new, length, wide), machine, rows, pass_operations)
    n_steps = int(N_SEMANTIC * config.coarse_per_semantic / 2) * 2
    for k in range(n_steps - len(prompts)):
        stages["coarse"].add(*step_cost(config.coarse, 1024, keys_read(min(257 + k, 917)), rows, precision), machine, 1, step_operations)
    stages["fine"].add(*prefill_cost(config.fine, 1024, 1024, wide), machine, 6 * rows, pass_operations + OPERATIONS_A_DRAW)
    frames = n_steps // 2
    stages["codec"].add(0, count_codec_flops(config.codec, frames), machine, rows, frames * CODEC_OPERATIONS_A_FRAME, is_fp32=True)
    return stages


@functools.cache
def count_codec_flops(codec: CodecConfig, n_frames: int) -> float:
    """Return the FLOPs of decoding so many frames."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_model(BarkConfig(codec=codec), "codec")(torch.zeros(8, n_frames, dtype=torch.int64))
    lstm = n_frames * 2 * 2 * 8 * (16 * codec.n_filters) ** 2  # two layers of four gates, which the counter leaves out
    return counter.get_total_flops() + lstm


def read_measured(path: Path | None) -> dict[str, Any]:
    """Return what `benchmarks.gpu` wrote, or nothing."""
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def measured_card(document: dict[str, Any], shares: argparse.Namespace) -> Iterator[Machine]:
    """Yield the card that was measured, if one was: its rates are those that were reached."""
    card = document.get("sections", {}).get("card", {})
    if "card" in card and "fp16_tflop_s" in card:
        rates = card["copy_gb_s"] * 1e9, card["fp16_tflop_s"] * 1e12, card["fp32_tflop_s"] * 1e12
        kernel_us = shares.kernel_us or card.get("graph_kernel_us", 2.0)
        yield Machine(f"{card['card']}, as measured"[:22], *rates, kernel_us * 1e-6, 1.0, 1.0, True)


def measured_stages(document: dict[str, Any], model: str, rows: int, machine: Machine) -> dict[str, float]:
    """Return the seconds of each stage that were measured on a card, for the machine of that name."""
    sections = document.get("sections", {})
    name = str(sections.get("card", {}).get("card", ""))
    if document.get("model") != model or not name or not (machine.name.startswith(name[:12]) or machine.name.split(",")[0] in name.split()):
        return {}
    found = sections.get("speech", {}).get("stages", [])
    return next((row for row in found if (row["how"], row["rows"], row["voice"]) == ("graphs", rows, "none")), {})


def main() -> None:
    """Print the model's figures for cards and for this machine, and what was measured."""
    options = parse_arguments(sys.argv[1:])
    measured_there = read_measured(options.measured)
    kernel = {} if options.kernel_us is None else {"kernel_s": options.kernel_us * 1e-6}
    cards = [replace(card, bandwidth_share=options.bandwidth_share, product_share=options.product_share, **kernel) for card in CARDS]
    cards += measured_card(measured_there, options)
    here = describe_machine()
    document: dict[str, Any] = {"machine": here, "predictions": []}
    print(f"here: {here['processor']}, reads {here['read_gb_s']} GB/s, products {here['gemm_gflop_s']} GFLOP/s\n")
    print("model rows on                    stage        GB   TFLOP kernels  at least s  expected s   measured s")
    for model in SIZES:
        for rows in options.rows:
            for machine, precision in [*((card, "fp16") for card in cards), *cpu_machines(here)]:
                if machine.is_gpu:
                    measured = measured_stages(measured_there, model, rows, machine)
                else:
                    measured = measure(model, precision, rows) if model in options.measure else {}
                for stage, cost in predict(make_config(model), machine, precision, rows).items():
                    show(model, rows, machine, stage, cost, measured.get(stage))
                    entry = {"model": model, "rows": rows, "machine": machine.name, "stage": stage, "measured_s": measured.get(stage)}
                    document["predictions"].append(entry | vars(cost))
    print(json.dumps(document))


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return what to work out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", choices=tuple(SIZES), default=[], help="sizes to measure on this machine, too")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--measured", type=Path, help="what `python -m benchmarks.gpu` wrote")
    parser.add_argument("--bandwidth-share", type=float, default=BANDWIDTH_SHARE, help="of a card's bandwidth that is reached (default: %(default)s)")
    parser.add_argument("--product-share", type=float, default=PRODUCT_SHARE, help="of a card's FLOPs that is reached (default: %(default)s)")
    parser.add_argument("--kernel-us", type=float, help="microseconds of a small kernel in a graph (default: a guess for each card, or as measured)")
    return parser.parse_args(arguments)


def cpu_machines(here: dict[str, Any]) -> list[tuple[Machine, str]]:
    """Return this machine in the precisions that it has, each with its measured limits."""
    products = {"fp32": "fp32", "bf16": "bf16", "int8": "bf16"}
    read, fp32 = here["read_gb_s"] * 1e9, here["gemm_gflop_s"]["fp32"] * 1e9
    return [(Machine(f"this CPU, {name}", read, here["gemm_gflop_s"][like] * 1e9, fp32), name) for name, like in products.items()]


def measure(model: str, precision: str, rows: int) -> dict[str, float]:
    """Return the seconds of each stage as measured here."""
    folder = make_checkpoint(model, ROOT / "build" / "benchmarks")
    job = {"folder": str(folder), "model": model, "precision": precision, "batch": rows, "voice": None}
    done = subprocess.run([sys.executable, "-m", "benchmarks.ours", json.dumps(job)], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def show(model: str, rows: int, machine: Machine, stage: str, cost: Cost, measured: float | None) -> None:
    """Print one line."""
    found = f"{measured:12.2f}" if measured is not None else " " * 11 + "–"
    taken = f"{cost.kernels:8.0f}{cost.seconds:12.3f}{cost.expected:12.3f} {found}"
    print(f"{model:6}{rows:4} {machine.name:22}{stage:9}{cost.n_bytes / 1e9:8.1f}{cost.flops / 1e12:8.2f}{taken}")


if __name__ == "__main__":
    main()
