"""One measurement of transformers' BarkModel, in a process of its own: `python -m benchmarks.peers '{"model": …}'` prints one JSON line."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

# transformers imports torchaudio if it finds it, and beside a CPU build of torch it finds one that does not load.
sys.modules.setdefault("torchaudio", None)  # pyright: ignore[reportArgumentType]

from transformers import BarkConfig, BarkModel  # noqa: E402
from transformers.models.bark.generation_configuration_bark import (  # noqa: E402
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

from benchmarks.machine import peak_memory_gb  # noqa: E402
from benchmarks.shapes import N_SEMANTIC, SIZES, TINY  # noqa: E402

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    """Measure what the first argument asks for."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    model = build(job["model"], DTYPES[job["precision"]])
    run(model, 1, n_semantic=10)  # so that weights are in memory and libraries are set up
    seconds = {stage: round(seconds, 3) for stage, seconds in run(model, job["batch"]).items()}
    total = sum(seconds.values())
    audio_s = job["batch"] * N_SEMANTIC / 49.9
    print(json.dumps({**job, "seconds": seconds, "total_s": round(total, 3), "audio_s_per_s": round(audio_s / total, 3), "peak_gb": peak_memory_gb()}))


def build(model: str, dtype: torch.dtype) -> BarkModel:
    """Return a BarkModel of a released size with random weights, which are made in their precision and so held once."""
    n_layer, n_head, n_embd = dict([TINY], **SIZES)[model]
    sizes = {"num_layers": n_layer, "num_heads": n_head, "hidden_size": n_embd, "block_size": 1024, "bias": False}
    config = BarkConfig(
        semantic_config={**sizes, "input_vocab_size": 129_600, "output_vocab_size": 10_048},
        coarse_acoustics_config={**sizes, "input_vocab_size": 12_096, "output_vocab_size": 12_096},
        fine_acoustics_config={**sizes, "input_vocab_size": 1056, "output_vocab_size": 1056},
    )
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        return BarkModel(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


@torch.inference_mode()
def run(model: BarkModel, batch: int, n_semantic: int = N_SEMANTIC) -> dict[str, float]:
    """Speak `batch` texts of so many semantic tokens; return each stage's seconds."""
    # From all tokens, as ours are drawn: transformers would take the best 50 unless told.
    sampled: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 0}
    semantic_config = BarkSemanticGenerationConfig(**sampled, min_new_tokens=n_semantic, max_new_tokens=n_semantic)
    coarse_config = BarkCoarseGenerationConfig(**sampled)
    fine_config = BarkFineGenerationConfig(temperature=0.5)
    ids = torch.randint(5, 1000, (batch, 256), device=model.device)
    seconds = {}
    begin = time.perf_counter()
    semantic = model.semantic.generate(ids, semantic_generation_config=semantic_config, attention_mask=torch.ones_like(ids))
    wait(model)
    seconds["semantic"] = time.perf_counter() - begin
    assert semantic.shape == (batch, n_semantic)
    begin = time.perf_counter()
    coarse = model.coarse_acoustics.generate(semantic, semantic_generation_config=semantic_config, coarse_generation_config=coarse_config)
    assert isinstance(coarse, torch.Tensor)
    wait(model)
    seconds["coarse"] = time.perf_counter() - begin
    begin = time.perf_counter()
    fine = model.fine_acoustics.generate(
        coarse, semantic_generation_config=semantic_config, coarse_generation_config=coarse_config, fine_generation_config=fine_config
    )
    wait(model)
    seconds["fine"] = time.perf_counter() - begin
    begin = time.perf_counter()
    model.codec_decode(fine)
    wait(model)
    seconds["codec"] = time.perf_counter() - begin
    return seconds


def wait(model: BarkModel) -> None:
    """Wait until the model's device is done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


if __name__ == "__main__":
    main()
