"""The table of speeds: every precision and batch size, and transformers' BarkModel in the same run.

    python -m benchmarks.bench                          # small, all precisions, batches of 1 and 8, both peers
    python -m benchmarks.bench --model large --batches 1 --peers fp32
    python -m benchmarks.bench --precisions fp32 fp32-step --peers      # fp32 with its drafts in 8 bits and without, in one run
    python -m benchmarks.bench --levels native x86-64-v3   # and as on a plainer processor: kernel, torch and oneDNN held to it

Five seconds of speech. Everything is measured once a round, each measurement in a process of its own, and medians of the rounds
are shown: what else the machine does meanwhile then falls on all alike. `tok/s`, `GB/s` and `of read`, the share of what plain
memory gives, are of the coarse model's step and head at positions 513 to 763, without drawing. transformers in bf16 is left out
where this processor, or the level that it is held to, emulates it: that takes a quarter of an hour. People read the table and the
ratios under it; the last line is one JSON document with everything in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bark_core.engine.levels import NATIVE
from benchmarks.machine import TORCH_LEVELS, limit_level
from benchmarks.shapes import ROOT, WORK, find_checkpoint

Row = dict[str, Any]

OURS = "bark_core"


def main() -> None:
    """Measure, print the table and its ratios, print the JSON."""
    options = parse_arguments()
    machines = {level: run_module("benchmarks.machine", [], level) for level in options.levels}
    jobs, left_out = leave_out_emulated(list_jobs(options), machines)
    for level, machine in machines.items():
        print(f"{level}: {machine['processor']}, kernel for {machine['kernel']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date']}")
        print(f"reads {machine['read_gb_s']} GB/s; products: fp32 {machine['gemm_gflop_s']['fp32']}, bf16 {machine['gemm_gflop_s']['bf16']} GFLOP/s\n")
    rounds: list[list[Row]] = [[] for _ in jobs]
    for n in range(max(options.runs, options.peer_runs or options.runs)):
        for job, found in zip(jobs, rounds, strict=True):
            if n < (options.runs if job["system"] == OURS else options.peer_runs or options.runs):
                found.append(measure(job))
                print(f"round {n + 1}: {describe(job)}: {found[-1]['total_s']:.2f} s", file=sys.stderr, flush=True)
    rows = [merge(found) for found in rounds]
    print_row(COLUMNS)
    for row in rows:
        print_row(cells_of(row))
    print()
    for line in [*left_out, *list_ratios(rows)]:
        print(line)
    print(json.dumps({"machine": machines[options.levels[0]], "machines": machines, "rows": rows, "left_out": left_out}))


def list_jobs(options: argparse.Namespace) -> list[Row]:
    """Return what is measured in a round."""
    jobs = []
    for level, model in itertools.product(options.levels, options.model):
        folder = str(find_checkpoint(model, options.work, options.half))
        systems = [] if model == "demo" else [("transformers", precision) for precision in options.peers]
        for system, precision in [*systems, *((OURS, precision) for precision in options.precisions)]:
            for batch in options.batches:
                for voice in (None, "full") if options.voice and system == OURS and model != "demo" else (None,):
                    jobs.append({"level": level, "system": system, "model": model, "precision": precision, "batch": batch, "voice": voice, "folder": folder})
    return jobs


def leave_out_emulated(jobs: list[Row], machines: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """Return the jobs without those of transformers in bf16 where torch emulates it, and a line for each that is left out."""

    def is_emulated(job: Row) -> bool:
        rates = machines[job["level"]]["gemm_gflop_s"]
        return job["system"] != OURS and job["precision"] == "bf16" and rates["bf16"] < rates["fp32"]

    lines = [f"{describe(job)}: left out, since torch emulates its products there" for job in jobs if is_emulated(job)]
    return [job for job in jobs if not is_emulated(job)], lines


def describe(job: Row) -> str:
    """Return what a measurement is of, in words."""
    return f"{job['level']}: {job['system']} {job['model']} {job['precision']}, {job['batch']} row(s){', full voice' if job['voice'] else ''}"


def parse_arguments() -> argparse.Namespace:
    """Return what to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=("small", "large", "demo"), default=["small"])
    parser.add_argument("--precisions", nargs="*", default=["fp32", "fp32-step", "bf16", "int8"], help="fp32-step: fp32 without drafts")
    parser.add_argument("--levels", nargs="+", choices=(NATIVE, *TORCH_LEVELS), default=[NATIVE], help="processors to measure as (default: this very one)")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--peers", nargs="*", choices=("fp32", "bf16"), default=["fp32", "bf16"], help="transformers' precisions to measure")
    parser.add_argument("--voice", action="store_true", help="measure with a full voice, too")
    parser.add_argument("--half", action="store_true", help="keep the checkpoint in 16 bits, as fetch --half does")
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    parser.add_argument("--peer-runs", type=int, default=None, help="rounds that the peers, which take minutes, have part in (default: all)")
    parser.add_argument("--work", type=Path, default=WORK, help="where random checkpoints are kept (gigabytes)")
    return parser.parse_args()


def measure(job: Row) -> Row:
    """Run one measurement in a fresh process, so that peaks of memory are its own."""
    return run_module("benchmarks.ours" if job["system"] == OURS else "benchmarks.peers", [json.dumps(job)], job["level"])


def run_module(module: str, arguments: list[str], level: str) -> Row:
    """Run a module in a process that is held to a level; return the JSON of its last line."""
    environment = {**os.environ, **limit_level(level)}
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed at the level {level} on {' '.join(arguments) or 'this machine'}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def merge(found: list[Row]) -> Row:
    """Return one measurement whose figures are the medians of several."""

    def median(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: median([each[name] for each in values]) for name in values[0]}
        return round(statistics.median(values), 3) if isinstance(values[0], float) else values[0]

    return {"rounds": len(found), **median(found)}


COLUMNS = ("level", "system", "model", "precision", "rows", "voice", "semantic", "coarse", "fine", "codec", "sum s", "×real", "peak GB", "tok/s", "GB/s", "of read")
WIDTHS = (11, 12, 6, 9, 4, 5, 8, 7, 7, 6, 7, 6, 7, 7, 5, 7)


def print_row(cells: Sequence[object]) -> None:
    """Print cells under each other."""
    print(" ".join(str(cell).rjust(width) for cell, width in zip(cells, WIDTHS, strict=True)), flush=True)


def cells_of(row: Row) -> list[object]:
    """Return what the table shows of a measurement."""
    cells = [row["level"], row["system"], row["model"], row["precision"], row["batch"], "full" if row["voice"] else "none"]
    cells += [f"{row['seconds'][stage]:.2f}" for stage in ("semantic", "coarse", "fine", "codec")]
    cells += [f"{row['total_s']:.2f}", f"{row['audio_s_per_s']:.2f}", f"{row['peak_gb']:.2f}"]
    decode = row.get("decode")
    return [*cells, *((f"{decode['tokens_per_s']:.0f}", f"{decode['gb_per_s']:.1f}", f"{decode['of_read']:.0%}") if decode else [""] * 3)]


def is_like(one: Row, other: Row) -> bool:
    """Tell whether two measurements of ours are of the same texts and voice."""
    return other["system"] == OURS and all(one[name] == other[name] for name in ("batch", "voice"))


def compare_drafts(row: Row, step: Row) -> str:
    """Say how much faster drafts make the whole, the two decoding stages, and these without their prompts, which drafts leave as they are."""
    mine, alone = (sum(each["seconds"][stage] for stage in ("semantic", "coarse")) for each in (row, step))
    tokens = "the same tokens" if row["tokens"] == step["tokens"] else "OTHER TOKENS"
    decoding = f"semantic and coarse {alone / mine:.2f} ×, without their prompts {(alone - step['prompts_s']) / (mine - row['prompts_s']):.2f} ×"
    return f"{step['total_s'] / row['total_s']:.2f} × without drafts, {tokens}; {decoding}"


def list_ratios(rows: list[Row]) -> Iterator[str]:
    """Yield how much faster each precision is than the peers at the same batch, and several rows than one."""
    for row in rows:
        if row["system"] != OURS:
            continue
        kin = [each for each in rows if (each["model"], each["level"]) == (row["model"], row["level"])]
        peers = [each for each in kin if each["system"] != OURS and each["batch"] == row["batch"]]
        if peers and not row["voice"]:
            yield f"{describe(row)}: " + ", ".join(f"{peer['total_s'] / row['total_s']:.2f} × {peer['system']} {peer['precision']}" for peer in peers)
        for step in (each for each in kin if (row["precision"], each["precision"]) == ("fp32", "fp32-step") and is_like(row, each)):
            yield f"{describe(row)}: {compare_drafts(row, step)}; {row['drafts']}"
        if row["batch"] > 1:
            steps, alone = row["decode"], row["decode"]["alone"]
            bound = row["batch"] * alone["mb_per_step"] / steps["mb_per_step"]
            one = [each for each in kin if each["batch"] == 1 and all(each[name] == row[name] for name in ("system", "precision", "voice"))]
            speaks = [f"speaks {row['audio_s_per_s'] / each['audio_s_per_s']:.2f} × its audio a second" for each in one]
            decodes = f"decodes {steps['tokens_per_s'] / alone['tokens_per_s']:.2f} × the tokens a second of one row (weights and cache allow {bound:.2f} ×)"
            yield f"{describe(row)}: " + ", ".join([decodes, *speaks])


if __name__ == "__main__":
    main()
