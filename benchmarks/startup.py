"""From the start of a process to its first audio: imports, weights, a sentence; and the Cog server's way to READY.

    python -m benchmarks.startup --model demo --precisions fp32 int8

Medians of several fresh processes, the files in the system's cache. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.shapes import ROOT, WORK, find_checkpoint

_STEPS = """
import sys, time
sys.argv = {argv!r}
def say(what): print(what, time.time(), flush=True)
import bark_core; say("imported")
from bark_core import Bark; say("core")
bark = Bark.load(sys.argv[0], device="cpu", precision=sys.argv[1]); say("loaded")
bark.generate("Good morning.", seed=0, max_seconds=1.5); say("spoken")
"""

_READY = """
import sys, time
from scripts.server import Server
with Server(env={{"BARK_MODEL": {model!r}, "BARK_PRECISION": {precision!r}}}):
    print("ready", time.time(), flush=True)
"""


def main() -> None:
    """Measure, print the table, print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=("small", "large", "demo"), default=["demo"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, default=WORK, help="where random checkpoints are kept (gigabytes)")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("  model  precision  imported  core  loaded  spoken  server ready")
    for model in options.model:
        folder = find_checkpoint(model, options.work)
        for precision in options.precisions:
            runs = [
                run(_STEPS.format(argv=[str(folder), precision])) | run(_READY.format(model=str(folder), precision=precision)) for _ in range(options.runs)
            ]
            row = {name: round(statistics.median(each[name] for each in runs), 2) for name in runs[0]}
            rows.append({"model": model, "precision": precision, **row})
            print(f"{model:>7}{precision:>11}" + "".join(f"{row[name]:8.2f} s" for name in row), flush=True)
    print(json.dumps({"machine": describe_machine(), "rows": rows}))


def run(program: str) -> dict[str, float]:
    """Run a program in a fresh process; return the seconds from its start to each line that it prints."""
    begin = time.time()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    stamps = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 2]
    return {name: float(stamp) - begin for name, stamp in stamps}


if __name__ == "__main__":
    main()
