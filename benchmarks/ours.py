"""One measurement of this project, in a process of its own: `python -m benchmarks.ours '{"folder": …}'` prints one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from bark_core import Bark
from bark_core.decode import Engine
from benchmarks.machine import measure_read, peak_memory_gb
from benchmarks.shapes import N_SEMANTIC

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until the evening."


def main() -> None:
    """Measure what the first argument asks for."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    begin = time.perf_counter()
    bark = Bark.load(job["folder"], device="cpu", precision=job["precision"])
    load_s = time.perf_counter() - begin
    bark.generate("Once.", seed=0, max_seconds=0.05)  # so that weights are in memory and libraries are set up
    result = measure(bark, job["batch"], job["voice"], forced=job["model"] != "demo")
    result |= {"load_s": round(load_s, 2), "peak_gb": peak_memory_gb()}
    before = measure_read()
    decode = measure_decode(bark, job["batch"])
    decode["of_read"] = round(decode["gb_per_s"] / max(before, measure_read()), 3)
    print(json.dumps({**job, **result, "decode": decode}))


def measure(bark: Bark, batch: int, voice: str | None, forced: bool) -> dict[str, Any]:
    """Speak `batch` texts; return each stage's seconds. `forced`: five seconds each, else as long as they are."""
    seed = 0
    while True:
        seeds = list(range(seed, seed + batch))
        # No early end, and just long enough; a random model ends of itself now and then, and such a run is not counted.
        length: dict[str, Any] = {"min_eos_p": None, "max_seconds": (N_SEMANTIC - 0.5) / 49.9} if forced else {}
        generations = bark.generate_batch([TEXT] * batch, voice=voice, seed=seeds, batch_size=batch, **length)
        if not forced or all(len(each.semantic) == N_SEMANTIC for each in generations):
            break
        seed += batch
    timings = generations[0].timings
    stages = {stage: round(seconds, 3) for stage, seconds in timings.seconds.items()}
    audio_s = sum(each.timings.audio_s for each in generations)
    return {"seconds": stages, "total_s": round(timings.wall_s, 3), "audio_s": round(audio_s, 2), "audio_s_per_s": round(audio_s / timings.wall_s, 3)}


@torch.inference_mode()
def measure_decode(bark: Bark, batch: int, first: int = 513, steps: int = 250) -> dict[str, float]:
    """Step the coarse model at contexts from `first` on; return tokens a second in all, and GB/s of weights, head and cache read."""
    with bark.runtime.lend_engine("coarse", batch) as engine:
        first = min(first, engine.model.config.block_size - steps)
        seconds = [_time_step(engine, batch, first + k) for k in range(steps)]
        config, itemsize = engine.model.config, engine.cache.keys.element_size()
    step_s = statistics.median(seconds)
    n_bytes = _weight_bytes(engine) + batch * 2 * config.n_layer * config.n_embd * (first + steps / 2) * itemsize
    return {"tokens_per_s": round(batch / step_s, 1), "gb_per_s": round(n_bytes / step_s / 1e9, 1), "mb_per_step": round(n_bytes / 1e6, 1)}


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
