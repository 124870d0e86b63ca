"""What may go wrong: captures that fail, cancels at any moment, other threads and other models. Afterwards the service must speak as before."""

from __future__ import annotations

import ctypes
import gc
import json
import random
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from bark_core.engine import runtime as runtime_module
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.runtime import Runtime
from benchmarks.gpu.common import Found, Setting, load, say, swapped, tokens_of
from benchmarks.shapes import ROOT

FAILURES = ("sync", "memory", "error", "empty")
"""What is done inside a capture that CUDA or torch forbids: waiting, taking more memory than there is, an error of Python's, and nothing at all."""

N_CANCELS = 200
N_SEMANTIC = 24

Advance = Callable[[GraphEngine, int, int], None]


class Cancelled(BaseException):
    """What is thrown into a thread."""


@contextmanager
def no_probes(places: object) -> Iterator[Any]:
    """Stand for probes that went well: what is looked for here is what this process does."""
    del places
    yield lambda: None


def fail_captures(setting: Setting) -> Found:
    """Fail captures in each way, each in a process of its own; return what was warned of and whether the process speaks as one without graphs."""
    setting.need_card()
    rows = list[Found]()
    for failure in FAILURES:
        job = json.dumps({"device": str(setting.device), "model": "tiny", "failure": failure})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.gpu.faults", job], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
            )
            found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"died": done.returncode, "says": done.stderr[-300:]}
        except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
            found = {"died": type(error).__name__}
        rows.append({"failure": failure, **found})
    return {"failures": rows, "sound": all(row.get("same") and row.get("process_sound") for row in rows)}


def fail_here(setting: Setting, failure: str) -> Found:
    """Load with captures that fail; return what came of it."""
    with swapped(Runtime, "_capture_steps", lambda *given: None):
        wanted = tokens_of(say(load(setting)[0], 2, None, None, N_SEMANTIC))
    advance: Advance = GraphEngine.advance_on_device
    calls = [0]

    def spoil(engine: GraphEngine, n_rows: int, n_keys: int) -> None:
        calls[0] += 1
        if torch.cuda.is_current_stream_capturing() and calls[0] > 10:  # not the first capture
            if failure == "sync":
                engine._positions.sum().item()
            if failure == "memory":
                torch.empty(2**46, dtype=torch.uint8, device=engine.device)
            if failure == "error":
                raise RuntimeError("an error of Python's")
            if failure == "empty":
                return
        advance(engine, n_rows, n_keys)

    with swapped(GraphEngine, "advance_on_device", spoil), swapped(runtime_module, "probing", no_probes):
        runtime, warned, _ = load(setting)
    code = runtime.describe_code()["semantic"]
    found: Found = {"code": code, "warned": warned, "same": False, "process_sound": False}
    found["same"] = tokens_of(say(runtime, 2, None, None, N_SEMANTIC)) == wanted
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    found["process_sound"] = bool(torch.rand(8, device=setting.device).isfinite().all())  # the default generator still draws
    other, told, _ = load(setting)
    found["next_load"] = other.describe_code()["semantic"] if not told else told[0]
    return found


def cancel_often(setting: Setting) -> Found:
    """Throw into a thread that speaks, and into one that loads and captures, at random moments; return whether all went on as before."""
    setting = Setting(setting.device, "tiny")
    runtime, warned, _ = load(setting)
    wanted, chance = tokens_of(say(runtime, 1, None, None, N_SEMANTIC)), random.Random(0)
    n = setting.scaled(N_CANCELS // 2, 4)
    begin = time.perf_counter()
    say(runtime, 1, None, None, N_SEMANTIC)
    speaking_s = time.perf_counter() - begin
    with swapped(runtime_module, "probing", no_probes):
        begin = time.perf_counter()
        load(setting)
        loading_s = time.perf_counter() - begin
        wrong, left, hit = 0, 0, {"speaking": 0, "loading": 0}
        for k in range(n):
            hit["speaking"] += throw_into(lambda: say(runtime, 1, None, None, N_SEMANTIC), chance.random() * speaking_s)
            hit["loading"] += throw_into(lambda: load(setting), chance.random() * loading_s)
            if k % 10 == n % 10 or k == n - 1:
                wrong += tokens_of(say(runtime, 1, None, None, N_SEMANTIC)) != wanted
                other, told, _ = load(setting)
                left += bool(told) or (setting.has_card and other.describe_code()["semantic"] != "graphs")
                wrong += tokens_of(say(other, 1, None, None, N_SEMANTIC)) != wanted
    return {"thrown": 2 * n, "hit": hit, "wrong_tokens": wrong, "loads_without_graphs": left, "warned": warned, "sound": not wrong and not left}


def throw_into(work: Callable[[], object], after_s: float) -> bool:
    """Run work in a thread and throw into it after so many seconds; tell whether that came before the end."""
    hit = list[bool]()

    def run() -> None:
        with suppress(Cancelled), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                work()
            except Cancelled:
                hit.append(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(after_s)
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Cancelled))
    thread.join(120)
    if thread.is_alive():
        raise RuntimeError("a thread that was thrown into did not end")
    return bool(hit)


def speak_beside(setting: Setting) -> Found:
    """Let two models speak in two threads while a third is loaded and captures; return whether each drew what it draws alone."""
    models = [load(setting)[0] for _ in range(2)]
    n_semantic = setting.scaled(60, 10)
    wanted = [tokens_of(say(model, 2, None, None, n_semantic)) for model in models]
    wrong, spoken, is_done = list[str](), [0, 0], threading.Event()

    def go_on(k: int, model: Runtime) -> None:
        try:
            while not is_done.is_set():
                if tokens_of(say(model, 2, None, None, n_semantic)) != wanted[k]:
                    wrong.append(f"model {k}")
                spoken[k] += 1
        except Exception as error:  # what went wrong in a thread is to be told
            wrong.append(f"model {k}: {error}"[:200])

    threads = [threading.Thread(target=go_on, args=(k, model)) for k, model in enumerate(models)]
    for thread in threads:
        thread.start()
    try:
        third, warned, load_s = load(setting)
    finally:
        is_done.set()
        for thread in threads:
            thread.join()
    same = tokens_of(say(third, 2, None, None, n_semantic)) == wanted[0]
    code = third.describe_code()["semantic"]
    return {"spoken": spoken, "wrong": wrong, "third_same": same, "third_code": code, "third_load_s": round(load_s, 1), "warned": warned}


def sanitize(setting: Setting) -> Found:
    """Speak a little under compute-sanitizer; return what it counted."""
    setting.need_card()
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if tool is None:
        return {"skipped": "there is no compute-sanitizer here"}
    job = json.dumps({"device": str(setting.device), "model": "tiny", "failure": "none"})
    command = [tool, "--tool", "memcheck", "--target-processes", "all", sys.executable, "-m", "benchmarks.gpu.faults", job]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    told = [line for line in done.stdout.splitlines() if "ERROR SUMMARY" in line or "Error" in line]
    return {"returned": done.returncode, "says": told[-5:] or done.stdout[-300:]}


def main() -> None:
    """Fail in the way that the argument names, or, for "none", speak once."""
    job = json.loads(sys.argv[1])
    setting = Setting(torch.device(job["device"]), job["model"])
    print(json.dumps(fail_here(setting, job["failure"])))


if __name__ == "__main__":
    main()
