"""The one command for whoever has a card, where there is none: it runs, says so, and writes what it could check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bark_core.engine.graphs import round_to_bucket
from benchmarks.gpu import __main__ as command
from benchmarks.gpu.__main__ import SECTIONS, Section, run_apart, run_section
from benchmarks.gpu.common import Setting
from benchmarks.gpu.table import write_table
from benchmarks.shapes import make_config
from benchmarks.t4_model import (
    CARDS,
    OPERATIONS_A_DRAW,
    OPERATIONS_A_LAYER,
    OPERATIONS_A_STEP,
    T4,
    measured_card,
    measured_stages,
    parse_arguments,
    predict,
    step_cost,
)

CPU = Setting(torch.device("cpu"), "tiny")
WITHOUT_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def run(root: Path, out: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run the command; return what it printed and what it wrote."""
    line = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out), *arguments]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.slow
@WITHOUT_CARD
def test_without_a_card_it_says_so_and_checks_what_it_can(root: Path, tmp_path: Path) -> None:
    printed, written = run(root, tmp_path / "gpu.json", "--sections", "card", "check", "sanitizer")
    assert printed.startswith("No GPU here (torch ")
    sections = written["sections"]
    assert list(sections) == ["card", "check", "sanitizer"] and sections["sanitizer"]["skipped"] == "needs a GPU"
    assert [(row["stage"], row["rejected"]) for row in sections["check"]["stages"]] == [("semantic", 0), ("coarse", 0)]
    assert "== check" in (tmp_path / "gpu.txt").read_text(encoding="utf-8")


@WITHOUT_CARD
@pytest.mark.slow
def test_every_section_runs_or_says_what_it_needs(root: Path, tmp_path: Path) -> None:
    _, written = run(root, tmp_path / "gpu.json", "--budget", "500")
    sections = written["sections"]
    assert list(sections) == list(SECTIONS)
    assert [name for name, found in sections.items() if "skipped" in found] == ["captures", "failures", "sanitizer"]
    assert sections["graphs"]["unlike"] == [] and sections["graphs"]["sizes"] == 24
    assert all(row["finite"] and row["fp32_of_cpu"] < 1e-5 and row["fp16_of_fp32"] < 1e-2 for row in sections["logits"]["stages"])
    assert sections["transformers"].get("skipped") or sections["transformers"]["logits_apart"] < 1e-4
    assert sections["threads"]["wrong"] == [] and sections["threads"]["third_same"] and sections["cancels"]["sound"]
    assert {row["how"] for row in sections["speech"]["stages"]} == {"graphs", "plain", "offload"}


def test_a_budget_that_is_used_up_and_a_section_that_fails_leave_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_apart(CPU, "card", 1) == {"skipped": "the budget was used up"}
    failed = run_section(CPU, Section("accuracy", "nothing_of_that_name", 1))
    assert failed["failed"].startswith("AttributeError") and "trace" in failed
    monkeypatch.setattr(command.sys, "executable", "/bin/false")
    assert run_apart(CPU, "card", 30)["failed"] == "it ended with 1"
    monkeypatch.setattr(command.sys, "executable", "/bin/echo")
    assert "nothing that can be read" in run_apart(CPU, "card", 30)["failed"]


@pytest.mark.slow
def test_a_section_is_skipped_where_the_budget_ends_within_it_and_fails_where_its_own_time_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(slow))
    assert run_apart(CPU, "card", 5)["skipped"] == "the budget ended 5 seconds into it"
    monkeypatch.setitem(SECTIONS, "card", Section("card", "nothing", 1))
    assert run_apart(CPU, "card", 60)["failed"] == "not done after 1 seconds"


def test_tables_have_a_line_a_row() -> None:
    found = {"steps": [{"rows": 1, "ms": 1.23456}, {"rows": 10, "more": [1]}], "trace": "x"}
    document = {"device": "cuda:0", "model": "large", "date": "…", "sections": {"steps": found}}
    assert write_table(document).splitlines() == ["cuda:0, large, …", "", "== steps", "steps:", "  rows  ms     more", "  1     1.235", "  10           1"]


@pytest.mark.slow
def test_a_card_is_expected_to_take_longer_than_it_must() -> None:
    config = make_config("large")
    by_card = {card.name: predict(config, card, "fp16", 1) for card in CARDS}
    for card in CARDS:
        costs = by_card[card.name]
        assert all(cost.expected > cost.seconds > 0 for cost in costs.values())
        # What a step of one row takes: what it reads at the share that is reached, and its kernels.
        n_bytes, _ = step_cost(config.semantic, 10_001, round_to_bucket(400), 1, "fp16")
        kernels = 1.25 * (24 * OPERATIONS_A_LAYER + OPERATIONS_A_STEP + OPERATIONS_A_DRAW)
        step_s = n_bytes / card.bytes_per_s / card.bandwidth_share + kernels * card.kernel_s
        assert costs["semantic"].expected == pytest.approx(250 * step_s, rel=0.1)
    launches = {card.name: by_card[card.name]["coarse"].kernels * card.kernel_s / by_card[card.name]["coarse"].expected for card in CARDS}
    assert launches["H100, fp16"] > 0.5 > launches["T4, fp16"], "an H100 is bound by launches, a T4 by what it reads"
    codec = by_card[T4.name]["codec"]
    assert codec.flops / 8.1e12 == pytest.approx(codec.seconds), "in fp32"


def test_what_was_measured_stands_beside_its_card() -> None:
    card = {"card": "NVIDIA H100 80GB HBM3", "copy_gb_s": 2900.0, "fp16_tflop_s": 600.0, "fp32_tflop_s": 50.0, "graph_kernel_us": 1.5}
    rows = [{"how": how, "rows": 1, "voice": voice, "semantic": 0.5} for how in ("graphs", "plain") for voice in ("none", "full")]
    document = {"model": "large", "sections": {"card": card, "speech": {"stages": rows}}}
    (found,) = measured_card(document, parse_arguments([]))
    assert (found.bytes_per_s, found.kernel_s, found.bandwidth_share) == (2.9e12, pytest.approx(1.5e-6), 1.0)
    for machine in (found, CARDS[2]):
        assert measured_stages(document, "large", 1, machine) == rows[0]
    assert measured_stages(document, "large", 8, found) == {}
    assert measured_stages(document, "small", 1, found) == {} == measured_stages(document, "large", 1, T4)
    assert list(measured_card({}, parse_arguments([]))) == []
    without = {"model": "tiny", "sections": {"card": {"copy_gb_s": 4.0}}}
    assert list(measured_card(without, parse_arguments([]))) == [] and measured_stages(without, "tiny", 1, T4) == {}
