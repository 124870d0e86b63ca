"""Measure everything about a GPU that can be measured in half an hour: one command, for whoever has a card.

    python -m benchmarks.gpu --out gpu.json --budget 1500              # the large model, on the first GPU
    python -m benchmarks.gpu --out gpu.json --sections card speech     # some sections only

Nothing but this repository and what it installs is needed, and no network; transformers is measured where it is installed.
Each section runs in a process of its own and with a time limit, and what it found is written into FILE, and as a table beside
it (FILE with .txt), before the next begins: what a short loan of a card leaves unmeasured is only what comes last. Without a
card, what can be checked on a CPU is run on a tiny model, which says that it runs and nothing about speed.
`python -m benchmarks.t4_model --measured FILE` sets what was found against what arithmetic expects.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu.common import Found, NeedsCard, Setting
from benchmarks.gpu.table import write_table
from benchmarks.shapes import ROOT, SIZES, TINY


@dataclass(frozen=True)
class Section:
    """A part of the measurement: a function of a module, and the seconds that it may take."""

    module: str
    function: str
    limit_s: float


SECTIONS = {
    "card": Section("card", "describe_card", 90),
    "speech": Section("speed", "time_speech", 300),
    "steps": Section("speed", "time_steps", 240),
    "transformers": Section("peer", "time_peer", 300),
    "captures": Section("speed", "measure_captures", 240),
    "graphs": Section("accuracy", "compare_graphs", 240),
    "check": Section("accuracy", "probe_check", 180),
    "logits": Section("accuracy", "compare_logits", 180),
    "failures": Section("faults", "fail_captures", 300),
    "threads": Section("faults", "speak_beside", 180),
    "cancels": Section("faults", "cancel_often", 300),
    "sanitizer": Section("faults", "sanitize", 300),
}
"""In the order of their worth: what a budget has no time for is what comes last."""


def main() -> None:
    """Run the sections; or, in a process of its own, one."""
    options = parse_arguments()
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    setting = Setting(device, options.model or ("large" if device.type == "cuda" else TINY[0]))
    if options.only:
        print(json.dumps(run_section(setting, SECTIONS[options.only])))
        return
    if not setting.has_card:
        print(f"No GPU here (torch {torch.__version__}): what follows says that the code runs, and nothing about speed.", flush=True)
    document = {"date": time.strftime("%Y-%m-%d %H:%M"), "device": str(device), "model": setting.model, "sections": {}}
    end = time.monotonic() + options.budget
    for name in options.sections:
        found = run_apart(setting, name, end - time.monotonic())
        document["sections"][name] = found
        # By way of another name, so that a loan that ends meanwhile leaves the last whole file.
        spare = options.out.with_name(options.out.name + ".new")
        spare.write_text(json.dumps(document, indent=1), encoding="utf-8")
        spare.replace(options.out)
        text = write_table(document)
        options.out.with_suffix(".txt").write_text(text, encoding="utf-8")
        print(write_table({**document, "sections": {name: found}}, heading=False), flush=True)
    failed = [name for name, found in document["sections"].items() if "failed" in found]
    print(f"Written: {options.out} and {options.out.with_suffix('.txt')}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


def parse_arguments() -> argparse.Namespace:
    """Return what to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="where results are written (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=1500, help="seconds that all sections together may take (default: %(default)s)")
    parser.add_argument("--model", choices=(*SIZES, TINY[0]), help="the size (default: large; tiny without a card)")
    parser.add_argument("--sections", nargs="+", choices=tuple(SECTIONS), default=list(SECTIONS), metavar="NAME", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--only", choices=tuple(SECTIONS), help=argparse.SUPPRESS)
    return parser.parse_args()


def run_section(setting: Setting, section: Section) -> Found:
    """Return what a section finds, or why it found nothing."""
    try:
        return getattr(importlib.import_module(f"benchmarks.gpu.{section.module}"), section.function)(setting)
    except NeedsCard as error:
        return {"skipped": str(error)}
    except Exception as error:  # of any kind: the other sections go on
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"[:300], "trace": traceback.format_exc()[-3000:]}


def run_apart(setting: Setting, name: str, left_s: float) -> Found:
    """Run a section in a process of its own; return what it found, and the seconds that it took.

    It fails that is not done within its own limit; what the budget has no time for (`left_s`) is skipped, begun or not.
    """
    limit_s = min(SECTIONS[name].limit_s, left_s)
    if left_s < 5:
        return {"skipped": "the budget was used up"}
    begin = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gpu", "--only", name, "--model", setting.model]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False)
        found: Found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
        if not found:
            found = {"failed": f"it ended with {done.returncode}", "trace": done.stderr[-3000:]}
    except subprocess.TimeoutExpired:
        found = {"skipped": f"the budget ended {left_s:.0f} seconds into it"} if left_s <= limit_s else {"failed": f"not done after {limit_s:.0f} seconds"}
    except (IndexError, ValueError) as error:
        found = {"failed": f"it said nothing that can be read: {error}"}
    return {**found, "took_s": round(time.monotonic() - begin, 1)}


if __name__ == "__main__":
    main()
