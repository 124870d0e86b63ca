"""The benchmarks run and say what they claim to; what they find is no test's matter."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bark_core import Bark
from benchmarks.bench import OURS, leave_out_emulated
from benchmarks.gpu_memory import PeakBytes, count_memory
from benchmarks.load import rank
from benchmarks.machine import limit_level
from benchmarks.shapes import SIZES, make_checkpoint, make_config
from benchmarks.t4_model import T4, count_prompts, predict, step_cost


def run(root: Path, *arguments: str) -> dict[str, Any]:
    """Run a benchmark; return the JSON document of its last line."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_bench_measures_every_stage_of_the_demo(root: Path) -> None:
    precisions = ("fp32", "fp32-step", "int8")
    document = run(root, "benchmarks.bench", "--model", "demo", "--precisions", *precisions, "--batches", "1", "2", "--runs", "1")
    assert [(row["precision"], row["batch"]) for row in document["rows"]] == [*itertools.product(precisions, (1, 2))]
    tokens = {(row["precision"], row["batch"]): row["tokens"] for row in document["rows"]}
    assert tokens["fp32", 1] == tokens["fp32-step", 1] != tokens["fp32", 2] == tokens["fp32-step", 2]
    for row in document["rows"]:
        assert set(row["seconds"]) == {"semantic", "coarse", "fine", "codec"} and min(row["seconds"].values()) > 0
        assert row["peak_gb"] > 0.1 and row["decode"]["tokens_per_s"] > 0
        assert 0 < row["prompts_s"] < row["seconds"]["semantic"] + row["seconds"]["coarse"]
    assert document["machine"]["read_gb_s"] > 0 and document["machine"]["kernel"]


def test_emulated_bf16_of_transformers_is_left_out_and_told() -> None:
    jobs = [
        {"level": level, "system": system, "model": "small", "precision": precision, "batch": 1, "voice": None}
        for level, system, precision in itertools.product(("native", "x86-64-v3"), (OURS, "transformers"), ("fp32", "bf16"))
    ]
    machines = {"native": {"gemm_gflop_s": {"fp32": 170, "bf16": 340}}, "x86-64-v3": {"gemm_gflop_s": {"fp32": 160, "bf16": 11}}}
    kept, told = leave_out_emulated(jobs, machines)
    assert [job for job in jobs if job not in kept] == [jobs[-1]]
    assert told == ["x86-64-v3: transformers small bf16, 1 row(s): left out, since torch emulates its products there"]


def test_a_level_holds_the_kernel_and_torch_alike() -> None:
    assert limit_level("native") == {}
    assert limit_level("x86-64-v3") == {"BARK_KERNEL_LEVEL": "x86-64-v3", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


@pytest.mark.slow
def test_startup_is_timed_from_the_process_on(root: Path) -> None:
    row = run(root, "benchmarks.startup", "--model", "demo", "--precisions", "fp32", "--runs", "1")["rows"][0]
    assert 0 < row["imported"] < row["core"] < row["loaded"] < row["spoken"] and row["ready"] > 0


@pytest.mark.slow
def test_load_is_what_clients_meet(root: Path) -> None:
    load = ("benchmarks.load", "--model", "demo", "--precision", "fp32", "--servers", "many at once")
    rows = run(root, *load, "--clients", "2", "--rates", "3", "--requests", "2")["rows"]
    assert [(row["load"], row["n"]) for row in rows] == [(2, 4), (3.0, 2)]
    for row in rows:
        assert 0 < row["first_s"][0] <= row["whole_s"][0] <= row["whole_s"][2] and row["audio_s_per_s"] > 0 and row["peak_gb"] > 0.1
    states = run(root, "benchmarks.load", "--model", "demo", "--soak", "10")["soak"]
    assert [state["n"] for state in states] == list(range(1, 11)) and min(state["threads"] for state in states) > 1


@pytest.mark.slow
def test_one_client_asks_both_servers_in_turns(root: Path) -> None:
    one, many = run(root, "benchmarks.load", "--model", "demo", "--precision", "fp32", "--in-turns", "--requests", "2")["rows"]
    assert [one["server"], many["server"]] == ["one at a time", "many at once"] and one["n"] == many["n"] == 2
    assert one["audio_s"] == many["audio_s"] > 0 and one["n_refused"] == many["n_refused"] == 0


def test_percentiles_are_values_that_were_met() -> None:
    assert rank(list(range(100, 0, -1))) == [51, 96, 100] and rank([3.0]) == [3.0, 3.0, 3.0]


def test_a_random_checkpoint_that_ends_does_so_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", (2, 2, 128))
    bark = Bark.load(make_checkpoint("small", tmp_path, ends=True), device="cpu", precision="fp32")
    assert all(140 < len(bark.generate_semantic("One sentence.", seed=seed)) <= 402 for seed in range(2))


@pytest.mark.slow
def test_accuracy_leads_every_precision_along_the_same_tokens(root: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("One sentence.\n", encoding="utf-8")
    document = run(root, "benchmarks.accuracy", "--sentences", str(tmp_path / "one.txt"), "--precisions", "fp32", "bf16")
    by_precision = {(row["precision"], row["stage"]): row for row in document["rows"]}
    for stage in ("semantic", "coarse", "fine"):
        exact, rounded = by_precision["fp32", stage], by_precision["bf16", stage]
        assert exact["same_draw"] == exact["same_best"] == 1 and exact["error"] == 0 and exact["steps"] == rounded["steps"] > 0
        assert 0 < rounded["error"] < 0.1 and rounded["same_draw"] > 0.8


@pytest.mark.slow
def test_the_cost_model_counts_what_the_models_hold() -> None:
    small, large = make_config("small"), make_config("large")
    n_bytes, flops = step_cost(large.coarse, 1024, 600, 1, "fp16")
    assert n_bytes == 2 * (12 * 24 * 1024**2 + 1024 * 1024 + 2 * 24 * 600 * 1024)
    assert flops == pytest.approx(n_bytes, rel=0.05), "a step of one row in 16 bits computes about one FLOP a byte"
    assert sum(n_new for n_new, _ in count_prompts(small)) == 2031
    costs = predict(large, T4, "fp16", 1)
    assert 1.9e-3 * 250 < costs["semantic"].seconds < 1.5 * 1.9e-3 * 250
    assert costs["fine"].seconds == pytest.approx(costs["fine"].flops / 65e12)


def test_the_memory_model_counts_tensors_that_live_at_once() -> None:
    known = torch.zeros(1000, device="meta")
    with PeakBytes([known]) as counter:
        known[:10].add_(1)
        first = torch.zeros(100, device="meta")
        second = first + first.view(100)
        del first
        third = second * 2
        del second, third
        torch.zeros(150, device="meta")
    assert counter.peak == 2 * 100 * 4


@pytest.mark.slow
def test_the_large_model_fits_into_four_gigabytes_of_a_gpu() -> None:
    parts = count_memory(make_config("large"), 1)
    assert parts["semantic"]["cache"] == 2 * 24 * 1024 * 1024 * 2
    n_weights = 12 * 24 * 1024**2 + (129_600 + 10_048 + 1024) * 1024 + (2 * 24 + 1) * 1024
    assert parts["semantic"]["weights"] == 2 * n_weights
    mlp = 1024 * 1024 * (4 + 4 + 1) * 2  # before and after GELU, and what they are added to
    assert all(found["passing"] > mlp for part, found in parts.items() if part != "codec")
    for_cuda = 0.6e9
    assert sum(sum(found.values()) for found in parts.values()) + for_cuda < 4e9
