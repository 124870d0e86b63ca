"""One measurement of this project, in a process of its own: `python -m benchmarks.ours '{"folder": …}'` prints one JSON line."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from bark_core import Bark
from bark_core.engine.loop import Engine
from benchmarks.machine import make_memory, measure_read, peak_memory_gb
from benchmarks.shapes import N_SEMANTIC

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until the evening."


def main() -> None:
    """Measure what the first argument asks for."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    begin = time.perf_counter()
    # fp32-step is fp32 without drafts.
    bark = Bark.load(job["folder"], device="cpu", precision=job["precision"].removesuffix("-step"), speculate=not job["precision"].endswith("-step"))
    load_s = time.perf_counter() - begin
    bark.generate("Once.", seed=0, max_seconds=0.05)  # so that weights are in memory and libraries are set up
    result = measure(bark, job["batch"], job["voice"], forced=job["model"] != "demo")
    result |= {"load_s": round(load_s, 2), "drafts": bark.runtime.describe_drafts(), "peak_gb": peak_memory_gb()}
    print(json.dumps({**job, **result, "decode": measure_decode(bark, job["batch"])}))


def measure(bark: Bark, batch: int, voice: str | None, forced: bool) -> dict[str, Any]:
    """Speak `batch` texts; return each stage's seconds. `forced`: five seconds each, else as long as they are."""
    seed = 0
    while True:
        seeds = list(range(seed, seed + batch))
        # No early end, and just long enough; a random model ends of itself now and then, and such a run is not counted.
        length: dict[str, Any] = {"min_eos_p": None, "max_seconds": (N_SEMANTIC - 0.5) / 49.9, "retry": False} if forced else {}
        with timing_prompts(bark, batch) as prompts:
            generations = bark.generate_batch([TEXT] * batch, voice=voice, seed=seeds, batch_size=batch, **length)
        if not forced or all(len(each.semantic) == N_SEMANTIC for each in generations):
            break
        seed += batch
    timings = generations[0].timings
    stages = {stage: round(seconds, 3) for stage, seconds in timings.seconds.items()}
    tokens = hashlib.sha256(b"".join(each.fine.tobytes() + each.semantic.tobytes() for each in generations)).hexdigest()[:16]
    audio_s = sum(each.timings.audio_s for each in generations)
    figures = {"total_s": round(timings.wall_s, 3), "audio_s": round(audio_s, 2), "audio_s_per_s": round(audio_s / timings.wall_s, 3)}
    return {"tokens": tokens, "seconds": stages, "prompts_s": round(sum(prompts), 3), **figures}


@contextmanager
def timing_prompts(bark: Bark, batch: int) -> Iterator[list[float]]:
    """Note the seconds of each prompt that engines read: semantic and coarse spend theirs on these and on steps."""
    with bark.runtime.lend_engine("coarse", batch) as engine:
        owner = next(each for each in type(engine).__mro__ if "prefill" in vars(each))
    prefill, seconds = owner.prefill, list[float]()

    def timed(self: Engine, x: torch.Tensor, slot: int, start: int) -> torch.Tensor:
        begin = time.perf_counter()
        hidden = prefill(self, x, slot, start)
        seconds.append(time.perf_counter() - begin)
        return hidden

    owner.prefill = timed
    try:
        yield seconds
    finally:
        owner.prefill = prefill


@torch.inference_mode()
def measure_decode(bark: Bark, batch: int, first: int = 513, steps: int = 250, turns: int = 5) -> dict[str, Any]:
    """Step the coarse model at contexts from `first` on; return tokens a second, and GB/s of weights, head and cache read.

    In turns with reading plain memory and, for several rows, with one row `alone`: what bandwidth a machine has changes by the
    minute, and only what is measured side by side can be compared.
    """
    found: dict[int, list[dict[str, float]]] = {n_rows: [] for n_rows in sorted({1, batch})}
    memory = make_memory()
    with ExitStack() as lent:
        engines = {n_rows: lent.enter_context(bark.runtime.lend_engine("coarse", n_rows)) for n_rows in found}
        first = min(first, engines[batch].model.config.block_size - steps)
        for turn in range(turns):
            contexts = range(first + turn, first + steps, turns)
            read_gb_s = measure_read(memory, repeats=3)
            for n_rows, engine in engines.items():
                found[n_rows].append(_step_through(engine, n_rows, contexts, read_gb_s))
    merged = {n_rows: {name: statistics.median(each[name] for each in rates) for name in rates[0]} for n_rows, rates in found.items()}
    return merged[batch] | ({"alone": merged[1]} if batch > 1 else {})


def _step_through(engine: Engine, n_rows: int, contexts: range, read_gb_s: float) -> dict[str, float]:
    """Take a step at each context; return what the median step makes of it."""
    step_s = statistics.median(_time_step(engine, n_rows, position) for position in contexts)
    config, itemsize = engine.model.config, engine.cache.keys.element_size()
    n_bytes = _weight_bytes(engine) + n_rows * 2 * config.n_layer * config.n_embd * statistics.mean(contexts) * itemsize
    rates = {"tokens_per_s": n_rows / step_s, "gb_per_s": n_bytes / step_s / 1e9, "mb_per_step": n_bytes / 1e6}
    return {name: round(rate, 1) for name, rate in rates.items()} | {"of_read": round(n_bytes / step_s / 1e9 / read_gb_s, 3)}


def _time_step(engine: Engine, batch: int, position: int) -> float:
    begin = time.perf_counter()
    engine.head(engine.step([1] * batch, [position] * batch), engine.model.config.output_vocab_size - 1024, 1024)
    return time.perf_counter() - begin


def _weight_bytes(engine: Engine) -> int:
    """Return the bytes of weights that one step reads."""
    layers = sum(tensor.nbytes for tensor in engine.model.h.state_dict().values())
    head = engine.model.lm_head.weight
    return layers + int(np.prod((1024, head.shape[1]))) * head.element_size()


if __name__ == "__main__":
    main()
