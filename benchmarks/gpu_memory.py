"""The GPU memory that a model takes in fp16, part by part: counted, on the meta device, from the models as they run.

    python -m benchmarks.gpu_memory

Weights, KV cache, and what is held at most in passing: by a prompt of the whole context, a full fine window of each row, and
14 seconds of codes, drawing included; attention by torch's fused kernels, which write no scores down. CUDA itself takes some hundred megabytes
more, captured graphs a few each. With `offload=True` one part is there at a time. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bark_core.config import PARTS, BarkConfig
from bark_core.engine.runtime import make_model
from bark_core.engine.sampling import draw
from bark_core.model.cache import KVCache
from bark_core.model.transformer import CausalGPT, FineGPT
from bark_core.types import SamplingOptions
from benchmarks.shapes import SIZES, make_config

N_FRAMES = 14 * 75


class PeakBytes(TorchDispatchMode):
    """Counts what new tensors hold at most at once."""

    def __init__(self, known: list[Tensor]) -> None:
        """`known`: tensors that are there before, which views and writes give back."""
        super().__init__()
        self.peak = self._now = 0
        self._held = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._held:
            self._held.add(storage._cdata)
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, n_bytes: int) -> None:
        self._held.discard(key)
        self._now -= n_bytes


def count_memory(config: BarkConfig, rows: int) -> dict[str, dict[str, int]]:
    """Return the bytes of each part in fp16 (the codec in fp32, as runtime.py has it): weights, cache, passing."""
    return {part: count_part(config, part, rows) for part in PARTS}


@torch.inference_mode()
def count_part(config: BarkConfig, part: str, rows: int) -> dict[str, int]:
    """Return the bytes of one part."""
    with torch.device("meta"):
        model = make_model(config, part).to(torch.float32 if part == "codec" else torch.float16)
        cache = make_cache(model, rows) if isinstance(model, CausalGPT) else None
        weights, cached = list(model.state_dict().values()), [cache.keys, cache.values] if cache else []
        with PeakBytes(weights + cached) as counter:
            run_longest(model, cache, rows, config.codebook_size)
    return {"weights": count(weights), "cache": count(cached), "passing": counter.peak}


def make_cache(model: CausalGPT, rows: int) -> KVCache:
    """Return the cache that an engine of so many rows has."""
    sizes = model.config
    return KVCache(sizes.n_layer, rows, sizes.block_size, sizes.n_embd, model.wpe.weight.dtype, model.wpe.weight.device)


def run_longest(model: nn.Module, cache: KVCache | None, rows: int, n_codes: int) -> None:
    """Run what of a part's work holds most at once."""
    if isinstance(model, CausalGPT) and cache is not None:
        half = model.config.block_size // 2  # what looks back on kept positions is masked, which takes more than a prompt from 0
        model.prefill(model.embed(torch.zeros(2 * half, dtype=torch.int64)), cache, 0, 0)
        model.prefill(model.embed(torch.zeros(half, dtype=torch.int64)), cache, 0, half)
    elif isinstance(model, FineGPT):
        codes = torch.zeros(rows, model.config.block_size, dtype=torch.int64)
        x = sum((model.embed(codes, k) for k in range(model.config.n_codes_total)), start=model.wpe.weight)
        logits = model(x, model.config.n_codes_total - 1, 0, n_codes)
        draw(logits[0], SamplingOptions(), torch.empty(logits.shape[1:]))  # row by row, while the logits of all are there
    else:
        model(torch.zeros(8, N_FRAMES, dtype=torch.int64))


def count(tensors: list[Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def main() -> None:
    """Print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8])
    options = parser.parse_args()
    document = []
    print("GB, fp16\nmodel rows part       weights    cache  passing")
    for model in SIZES:
        for rows in options.rows:
            parts = count_memory(make_config(model), rows)
            held = {part: found["weights"] + found["cache"] for part, found in parts.items()}
            for part, found in parts.items():
                print(f"{model:6}{rows:4} {part:9}" + "".join(f"{n_bytes / 1e9:9.2f}" for n_bytes in found.values()))
            passing = max(found["passing"] for found in parts.values())
            whole, largest = sum(held.values()) + passing, max(held[part] + parts[part]["passing"] for part in parts)
            print(f"{model:6}{rows:4} {'together':27}{whole / 1e9:9.2f}\n{model:6}{rows:4} {'with offload, the largest':27}{largest / 1e9:9.2f}")
            document.append({"model": model, "rows": rows, "parts": parts, "together": whole, "offloaded": largest})
    print(json.dumps(document))


if __name__ == "__main__":
    main()
