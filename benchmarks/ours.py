"""One measurement of this project, in a process of its own: `python -m benchmarks.ours '{"folder": …}'` prints one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

from bark_core import Bark, Generation
from bark_core.decode import Engine
from benchmarks.machine import peak_memory_gb
from benchmarks.shapes import N_SEMANTIC

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until the evening."


def main() -> None:
    """Measure what the first argument asks for."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    begin = time.perf_counter()
    bark = Bark.load(job["folder"], device="cpu", precision=job["precision"])
    load_s = time.perf_counter() - begin
    result = measure(bark, job["batch"], job["voice"], job["runs"], forced=job["model"] != "demo")
    result |= {"load_s": round(load_s, 2), "peak_gb": peak_memory_gb()}
    result["decode"] = measure_decode(bark, job["batch"])
    print(json.dumps({**job, **result}))


def measure(bark: Bark, batch: int, voice: str | None, runs: int, forced: bool) -> dict[str, Any]:
    """Speak `batch` texts, `runs` times; return the medians of each stage's seconds. `forced`: five seconds each, else as long as they are."""
    made: list[Generation] = []
    seed = 0
    while len(made) < runs:
        seeds = list(range(seed, seed + batch))
        # No early end, and just long enough; a random model ends of itself now and then, and such a run is not counted.
        length: dict[str, Any] = {"min_eos_p": None, "max_seconds": (N_SEMANTIC - 0.5) / 49.9} if forced else {}
        generations = bark.generate_batch([TEXT] * batch, voice=voice, seed=seeds, batch_size=batch, **length)
        if not forced or all(len(each.semantic) == N_SEMANTIC for each in generations):
            made.append(generations[0])
        seed += batch
    stages = {stage: round(statistics.median(each.timings.seconds[stage] for each in made), 3) for stage in made[0].timings.seconds}
    total = statistics.median(each.timings.wall_s for each in made)
    audio_s = statistics.median(each.timings.audio_s for each in made)
    return {"seconds": stages, "total_s": round(total, 3), "audio_s": round(audio_s, 2), "audio_s_per_s": round(batch * audio_s / total, 3)}


@torch.inference_mode()
def measure_decode(bark: Bark, batch: int, first: int = 513, steps: int = 250) -> dict[str, float]:
    """Step the coarse model at contexts from `first` on; return tokens a second in all, and GB/s of weights, head and cache read."""
    with bark.runtime.lend_engine("coarse", batch) as engine:
        first = min(first, engine.model.config.block_size - steps)
        seconds = [_time_step(engine, batch, first + k) for k in range(steps)]
        config, itemsize = engine.model.config, engine.cache.keys.element_size()
    step_s = statistics.median(seconds)
    n_bytes = _weight_bytes(engine) + batch * 2 * config.n_layer * config.n_embd * (first + steps / 2) * itemsize
    return {"tokens_per_s": round(batch / step_s, 1), "gb_per_s": round(n_bytes / step_s / 1e9, 1), "mb_per_step": round(n_bytes / 1e6)}


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
