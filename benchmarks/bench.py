"""The table of speeds: every precision and batch size, and transformers' BarkModel in the same run.

    python -m benchmarks.bench                          # small, all precisions, batches of 1 and 8, both peers
    python -m benchmarks.bench --model large --batches 1 --peers fp32

Five seconds of speech, medians of several runs, each measurement in a process of its own. People read the table; the last
line is one JSON document with everything in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.shapes import ROOT, WORK, find_checkpoint

Row = dict[str, Any]


def main() -> None:
    """Measure, print the table, print the JSON."""
    options = parse_arguments()
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date']}")
    print(f"reads {machine['read_gb_s']} GB/s; products: fp32 {machine['gemm_gflop_s']['fp32']}, bf16 {machine['gemm_gflop_s']['bf16']} GFLOP/s\n")
    rows: list[Row] = []
    print_head()
    for model in options.model:
        folder = find_checkpoint(model, options.work, options.half)
        measured = [] if model == "demo" else [("benchmarks.peers", "transformers", precision) for precision in options.peers]
        measured += [("benchmarks.ours", "bark_core", precision) for precision in options.precisions]
        for module, system, precision in measured:
            for batch in options.batches:
                for voice in [None, *(["full"] if options.voice and system == "bark_core" and model != "demo" else [])]:
                    runs = options.runs if system == "bark_core" else options.peer_runs or options.runs
                    job = {"system": system, "model": model, "precision": precision, "batch": batch, "voice": voice, "runs": runs}
                    row = measure(module, {**job, "folder": str(folder)})
                    rows.append(row)
                    print_row(row, rows, machine["read_gb_s"])
    print(json.dumps({"machine": machine, "rows": rows}))


def parse_arguments() -> argparse.Namespace:
    """Return what to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=("small", "large", "demo"), default=["small"])
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16", "int8"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--peers", nargs="*", choices=("fp32", "bf16"), default=["fp32", "bf16"], help="transformers' precisions to measure")
    parser.add_argument("--voice", action="store_true", help="measure with a full voice, too")
    parser.add_argument("--half", action="store_true", help="keep the checkpoint in 16 bits, as fetch --half does")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-runs", type=int, default=None, help="runs of the peers, which take minutes (default: as many)")
    parser.add_argument("--work", type=Path, default=WORK, help="where random checkpoints are kept (gigabytes)")
    return parser.parse_args()


def measure(module: str, job: Row) -> Row:
    """Run one measurement in a fresh process, so that peaks of memory are its own."""
    done = subprocess.run([sys.executable, "-m", module, json.dumps(job)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed on {job}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


COLUMNS = ("system", "model", "precision", "rows", "voice", "semantic", "coarse", "fine", "codec", "sum s", "×real", "peak GB", "tok/s", "GB/s", "of read")
WIDTHS = (12, 6, 9, 4, 5, 8, 7, 7, 6, 7, 6, 7, 7, 5, 7)


def print_head() -> None:
    """Print the names of the columns."""
    print(" ".join(name.rjust(width) for name, width in zip(COLUMNS, WIDTHS, strict=True)))


def print_row(row: Row, rows: list[Row], read_gb_s: float) -> None:
    """Print one measurement, and how much faster it is than each peer of the same model and batch."""
    decode, seconds = row.get("decode", {}), row["seconds"]
    cells = [row["system"], row["model"], row["precision"], row["batch"], "full" if row["voice"] else "none"]
    cells += [f"{seconds[stage]:.2f}" for stage in ("semantic", "coarse", "fine", "codec")]
    cells += [f"{row['total_s']:.2f}", f"{row['audio_s_per_s']:.2f}", f"{row['peak_gb']:.2f}"]
    cells += [decode.get("tokens_per_s", ""), decode.get("gb_per_s", ""), f"{decode['gb_per_s'] / read_gb_s:.0%}" if decode else ""]
    peers = [each for each in rows if each["system"] != row["system"] and (each["model"], each["batch"]) == (row["model"], row["batch"])]
    ratios = [f"{peer['total_s'] / row['total_s']:.1f}× {peer['precision']}" for peer in peers if not row["voice"]]
    print(" ".join(str(cell).rjust(width) for cell, width in zip(cells, WIDTHS, strict=True)), " ", ", ".join(ratios), flush=True)


if __name__ == "__main__":
    main()
