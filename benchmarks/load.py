"""Many clients on the real Cog server: audio a second, and what each waits for it, one prediction at a time and many at once.

    python -m benchmarks.load --model small --clients 1 4 8 16 --requests 16
    python -m benchmarks.load --model demo --in-turns --requests 60
    python -m benchmarks.load --model demo --soak 1000

Closed loops: so many clients, each of which sends its next text as soon as the last is spoken. `--rates`: texts that come by a seeded
Poisson process instead, so many a second. Texts are sentences of training/heldout.txt; a random checkpoint ends its speech of itself
after three to eight seconds. A client that is told to come again (409) does so after 50 ms. `--soak N`: so many short predictions by
eight clients, with memory, descriptors and threads of the server's worker along the way. `--in-turns`: one client that asks both servers
for each text, one after the other, since a machine whose speed drifts says nothing in runs that lie minutes apart. The last line is one
JSON document.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark_core.text.duration import estimate_seconds
from benchmarks.machine import describe_machine
from benchmarks.shapes import ROOT, WORK, make_checkpoint
from scripts.server import Server

PREDICTORS = {"one at a time": ROOT / "predict.py", "many at once": ROOT / "predictors" / "concurrent.py"}
AGAIN_S = 0.05
SOAK_TEXT, SOAK_CLIENTS = "Good morning.", 8
HEADER = "       server       load    n  refused  audio s/s  cpu s/audio s     first audio: p50, p95, p99           whole: p50, p95, p99   peak"


@dataclass(frozen=True)
class Waited:
    """What one client met: seconds to the first audio and to the whole, seconds of audio, and how often it was told to come again."""

    first_s: float
    whole_s: float
    audio_s: float
    n_refused: int


def main() -> None:
    """Measure, print the table, print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("small", "large", "demo"), default="demo")
    parser.add_argument("--precision", default="fast")
    parser.add_argument("--servers", nargs="+", choices=tuple(PREDICTORS), default=list(PREDICTORS))
    parser.add_argument("--clients", nargs="*", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--rates", nargs="*", type=float, default=[], help="texts a second that come by themselves")
    parser.add_argument("--requests", type=int, default=16, help="predictions of each row, at least two for each client")
    parser.add_argument("--in-turns", action="store_true", help="only one client, which asks both servers for each text in turns")
    parser.add_argument("--soak", type=int, default=0, help="only this many short predictions on the server for many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=WORK, help="where random checkpoints are kept (gigabytes)")
    options = parser.parse_args()
    folder = ROOT / "weights" / "demo" if options.model == "demo" else make_checkpoint(options.model, options.work, ends=True)
    document: dict[str, Any] = {"machine": describe_machine(), "model": options.model, "precision": options.precision}
    if options.soak:
        document["soak"] = soak(folder, options.precision, options.soak)
    elif options.in_turns:
        document["rows"] = measure_in_turns(folder, options)
    else:
        document["rows"] = list(measure_all(folder, options))
    print(json.dumps(document))


def measure_all(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure each server under each load; yield the rows as they come, and print them."""
    texts = choose_texts()
    print(HEADER)
    for name in options.servers:
        with start(name, folder, options.precision, max([*options.clients, 16])) as server:
            speak(server, texts[0], 0)  # what only the first prediction pays for
            for load in (*options.clients, *options.rates):
                n = max(options.requests, 2 * load) if isinstance(load, int) else options.requests
                begin, cpu_s = time.perf_counter(), read_worker(server)["cpu_s"]
                waited = run_closed(server, texts, load, n, options.seed) if isinstance(load, int) else run_open(server, texts, load, n, options.seed)
                yield describe_row(name, load, waited, time.perf_counter() - begin, server, cpu_s)


def measure_in_turns(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Let one client ask each server for each text, now the one first and now the other; return the rows, and print them and their ratios."""
    texts, waited = choose_texts(), {name: list[Waited]() for name in options.servers}
    with ExitStack() as running:
        servers = {name: running.enter_context(start(name, folder, options.precision, 16)) for name in options.servers}
        for server in servers.values():
            speak(server, texts[0], 0)
        cpu_s = {name: read_worker(server)["cpu_s"] for name, server in servers.items()}
        for number in range(options.requests):
            for name in options.servers[:: -1 if number % 2 else 1]:
                waited[name].append(speak(servers[name], texts[number % len(texts)], options.seed + number))
        print(HEADER)
        rows = [describe_row(name, 1, each, sum(one.whole_s for one in each), servers[name], cpu_s[name]) for name, each in waited.items()]
    for row in rows[1:]:
        ratios = (f"{later / first:.2f}" for later, first in zip(row["whole_s"], rows[0]["whole_s"], strict=True))
        print(f"{row['server']} ÷ {rows[0]['server']}, the whole: p50, p95, p99 {', '.join(ratios)} ×")
    return rows


def describe_row(name: str, load: float, waited: Sequence[Waited], wall_s: float, server: Server, cpu_s: float) -> dict[str, Any]:
    """Return one row, and print it. `cpu_s` is what the server had taken before."""
    row: dict[str, Any] = {"server": name, "load": load, **summarise(waited, wall_s)}
    worker = read_worker(server)
    row |= {"cpu_per_audio": round((worker["cpu_s"] - cpu_s) / row["audio_s"], 3), "peak_gb": worker["peak_gb"]}
    print_row(row)
    return row


def start(name: str, folder: Path, precision: str, n_at_once: int) -> Server:
    """Return a server that is not yet started, in a folder of its own."""
    env = {"BARK_MODEL": str(folder), "BARK_PRECISION": precision, "PYTHONPATH": str(ROOT)}
    if name == "many at once":
        env["COG_MAX_CONCURRENCY"] = str(n_at_once)
    return Server(env, PREDICTORS[name], Path(tempfile.mkdtemp(prefix="bark-load-")))


def choose_texts() -> list[str]:
    """Return sentences that take three to eight seconds to speak."""
    lines = (ROOT / "training" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if 3 <= estimate_seconds(line) <= 8]


def run_closed(server: Server, texts: Sequence[str], n_clients: int, n: int, seed: int) -> list[Waited]:
    """Let clients send one text after the other, `n` in all."""
    numbers, lock, waited = itertools.count(), threading.Lock(), list[Waited]()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= n:
                return
            waited.append(speak(server, texts[number % len(texts)], seed + number))

    run_threads(work, n_clients)
    return waited


def run_open(server: Server, texts: Sequence[str], rate: float, n: int, seed: int) -> list[Waited]:
    """Send `n` texts at the times of a Poisson process, whether the ones before are spoken or not."""
    rng, begin = random.Random(seed), time.perf_counter()
    times = list(itertools.accumulate(rng.expovariate(rate) for _ in range(n)))
    with ThreadPoolExecutor(n) as pool:
        pending = []
        for number, at in enumerate(times):
            time.sleep(max(0.0, begin + at - time.perf_counter()))
            pending.append(pool.submit(speak, server, texts[number % len(texts)], seed + number))
        return [each.result() for each in pending]


def run_threads(work: Callable[[], None], n: int) -> None:
    """Run `work` in threads, and wait for them."""
    with ThreadPoolExecutor(n) as pool:
        for each in [pool.submit(work) for _ in range(n)]:
            each.result()


def speak(server: Server, text: str, seed: int) -> Waited:
    """Be one client: ask until there is room, and wait for the file. Raises: RuntimeError where the prediction fails."""
    begin, n_refused = time.perf_counter(), 0
    while (answer := server.request("POST", "/predictions", {"input": {"prompt": text, "seed": seed}})).status == 409:
        n_refused += 1
        time.sleep(AGAIN_S)
    whole_s = time.perf_counter() - begin
    if answer.status != 200 or answer.body["status"] != "succeeded":
        raise RuntimeError(f"The prediction of {text[:60]!r} failed: {answer.body}")
    metrics = answer.body["metrics"]
    # The file comes whole; its first utterance was spoken so long before the prediction ended.
    first_s = whole_s - (metrics["predict_time"] - metrics["first_audio_seconds"])
    return Waited(max(0.0, first_s), whole_s, metrics["audio_seconds"], n_refused)


def summarise(waited: Sequence[Waited], wall_s: float) -> dict[str, Any]:
    """Return what a row says of its predictions."""
    return {
        "n": len(waited),
        "n_refused": sum(each.n_refused for each in waited),
        "audio_s": round(sum(each.audio_s for each in waited), 2),
        "audio_s_per_s": round(sum(each.audio_s for each in waited) / wall_s, 3),
        "first_s": rank([each.first_s for each in waited]),
        "whole_s": rank([each.whole_s for each in waited]),
    }


def rank(values: Sequence[float]) -> list[float]:
    """Return the 50th, 95th and 99th percentile: the least value that so many are not above."""
    ordered = sorted(values)
    return [round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) for share in (0.5, 0.95, 0.99)]


def print_row(row: dict[str, Any]) -> None:
    """Print one line of the table; a whole number is a load of clients, another a rate."""
    load = f"{row['load']} clients" if isinstance(row["load"], int) else f"{row['load']:g} a s"
    first, whole = (", ".join(f"{each:6.2f}" for each in row[name]) for name in ("first_s", "whole_s"))
    print(
        f"{row['server']:>13}{load:>11}{row['n']:>5}{row['n_refused']:>9}{row['audio_s_per_s']:>11.2f}{row['cpu_per_audio']:>15.2f}"
        f"{first:>33} s{whole:>33} s{row['peak_gb']:>7.2f} GB",
        flush=True,
    )


def read_worker(server: Server) -> dict[str, Any]:
    """Return what the process that speaks holds and took: the server's child that holds most. Linux only.

    Memory now and at its peak, descriptors, threads, and seconds of processors, of which a machine that others use takes hardly more.
    """
    children = [pid for path in Path(f"/proc/{server.pid}/task").glob("*/children") for pid in path.read_text(encoding="utf-8").split()]
    found = []
    for pid in children:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines() if ":" in line)
        kb = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM")}
        n_open = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        ticks = sum(int(each) for each in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13])
        found.append({
            "cpu_s": ticks / os.sysconf("SC_CLK_TCK"), "memory_gb": round(kb["VmRSS"] * 1024 / 1e9, 3), "peak_gb": round(kb["VmHWM"] * 1024 / 1e9, 3),
            "descriptors": n_open, "threads": int(status["Threads"]),
        })  # fmt: skip
    return max(found, key=lambda each: each["peak_gb"])


def soak(folder: Path, precision: str, n: int) -> list[dict[str, Any]]:
    """Make `n` short predictions, eight at a time; return what the worker held after each tenth of them."""
    states = list[dict[str, Any]]()
    print(" predictions  memory     peak  descriptors  threads  predictions/s")
    with start("many at once", folder, precision, SOAK_CLIENTS) as server:
        begin, done = time.perf_counter(), 0
        speak(server, SOAK_TEXT, 0)
        for part in range(10):
            target = n * (part + 1) // 10
            if target > done:
                run_closed(server, [SOAK_TEXT], min(SOAK_CLIENTS, target - done), target - done, done)
            done = target
            rate = done / (time.perf_counter() - begin)
            states.append({"n": done, **read_worker(server), "n_per_s": round(rate, 2)})
            state = states[-1]
            print(
                f"{done:>12}{state['memory_gb']:>6.3f} GB{state['peak_gb']:>6.3f} GB{state['descriptors']:>13}{state['threads']:>9}{rate:>15.2f}",
                flush=True,
            )
    return states


if __name__ == "__main__":
    main()
