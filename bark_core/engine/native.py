"""The decoding step and windows (prompts, the fine stage) in C++: compiled once for this machine, called through ctypes.

compile.py finds and makes the library. Whether to trust it is runtime.py's decision.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bark_core.engine.compile import NativeUnavailable, load_compiled
from bark_core.engine.loop import Engine, Row
from bark_core.model.cache import KVCache
from bark_core.model.quantize import Int8Linear
from bark_core.model.transformer import Block, CausalGPT, FineGPT
from bark_core.types import SamplingOptions

SOURCES = ("kernel.cpp", "attention.hpp", "gemm.hpp", "math.hpp", "thread_pool.hpp", "window.hpp")
FLAGS = ["-O3", "-std=c++20", "-pthread", "-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
LEVEL_VARIABLE = "BARK_KERNEL_LEVEL"
"""Names the processor to compile for, as compilers name it (x86-64-v3); this machine's own where it is not set."""

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
HEAD_WIDTHS = (32, 64)
MAX_INPUTS = 8192
"""More inputs than this could overflow the int32 sums of 8-bit weights."""

WINDOW_WIDTH = 64
"""The width of a model whose windows the kernel runs is a multiple of this."""

MAX_FP32_WINDOW_WIDTH = 1024
"""Deeper fp32 products are split into partial sums, which windows support for mlp_down only."""


class _Linear(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("scale", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("norm1_weight", "norm1_bias", "norm2_weight", "norm2_bias")),
        *((name, _Linear) for name in ("qkv", "attn_out", "mlp_up", "mlp_down")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("kind", "n_layer", "n_head", "width")),
        *((name, ctypes.c_void_p) for name in ("norm_weight", "norm_bias")),
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
        *((name, ctypes.c_int64) for name in ("layer_stride", "row_stride")),
    )


def load_library(cache: Path | None = None) -> ctypes.CDLL:
    """Return the compiled kernel, compiling it where this machine has not yet (some twenty seconds). Raises: NativeUnavailable."""
    folder = Path(__file__).parent / "kernel"
    flags = [f"-march={os.environ.get(LEVEL_VARIABLE) or 'native'}", *FLAGS]
    library = load_compiled([folder / name for name in SOURCES], flags, cache)
    library.pool_make.restype = ctypes.c_void_p
    library.pool_make.argtypes = [ctypes.c_int]
    library.pool_free.argtypes = [ctypes.c_void_p]
    library.run_window.restype = ctypes.c_bool
    return library


class _OneThread:
    """While a thread is within, torch runs its operations on that thread alone.

    torch keeps a number for each thread, and one that threads start with which are new to it. So what a thread finds
    while others are within says nothing; what the first one found is what all go back to.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_within = self._n_else = 0

    def count_else(self) -> int:
        """Return the number of threads that torch has when nobody is within."""
        with self._lock:
            return self._n_else if self._n_within else torch.get_num_threads()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_within:
                self._n_else = torch.get_num_threads()
            self._n_within += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_within -= 1
            torch.set_num_threads(self._n_else)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Give torch its threads back meanwhile, to a thread that is within or is not."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.count_else())
        try:
            yield
        finally:
            torch.set_num_threads(before)


ONE_THREAD = _OneThread()
"""One for all engines, since torch's number of threads is the process's."""


class _NativeModel:
    """A model's description for the kernel, the tensors whose addresses it holds, and the thread pool that it runs on."""

    def __init__(self, model: CausalGPT | FineGPT, keys: Tensor, values: Tensor, library: ctypes.CDLL) -> None:
        """`keys` and `values` (L, B, T, C): the cache. Raises: NativeUnavailable for a model that the kernel was not written for."""
        config, weight = model.config, model.wpe.weight
        if weight.device.type != "cpu" or weight.dtype not in KINDS:
            raise NativeUnavailable(f"the kernel runs on CPUs in fp32, bf16 and int8, not on {weight.device} in {weight.dtype}")
        if config.n_embd % 32 or config.n_embd // config.n_head not in HEAD_WIDTHS or 4 * config.n_embd > MAX_INPUTS:
            raise NativeUnavailable(f"the kernel takes widths in steps of 32 with heads of 32 or 64, not {config.n_embd} in {config.n_head} heads")
        self.width, self._is_fp32 = config.n_embd, weight.dtype == torch.float32
        self._library = library
        self._kept: list[Any] = []
        self.pool = ctypes.c_void_p(library.pool_make(ONE_THREAD.count_else()))
        weakref.finalize(self, library.pool_free, self.pool)
        layers = (_Layer * config.n_layer)(*(self._layer(block) for block in cast("list[Block]", list(model.h))))
        self._kept.append(layers)
        kind = KINDS[cast(Block, model.h[0]).mlp.c_fc.weight.dtype]
        self.model = ctypes.byref(_Model(
            kind, config.n_layer, config.n_head, config.n_embd, self._keep(model.ln_f.weight), self._keep(model.ln_f.bias),
            layers, keys.data_ptr(), values.data_ptr(), keys.stride(0), keys.stride(1),
        ))  # fmt: skip

    def run_window(self, x: Tensor, start: int, row: int, first: int, causal: bool, int8_acts: bool = False) -> Tensor | None:
        """Feed (T, C) at positions start … of a row; return the normed hidden states of those from the first-th on, (T − first, C).

        `int8_acts`: 8-bit weights × 8-bit activations, not 16-bit ones. None where the kernel lacks this processor or width, and torch runs it.
        """
        if self.width % WINDOW_WIDTH or (self._is_fp32 and self.width > MAX_FP32_WINDOW_WIDTH):
            return None
        x = x.float().contiguous()
        hidden = torch.empty(len(x) - first, self.width)
        done = self._library.run_window(self.pool, self.model, int8_acts, len(x), start, row, causal, first, _address(x), _address(hidden))
        return hidden if done else None

    def _layer(self, block: Block) -> _Layer:
        linears = (self._linear(linear) for linear in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj))
        norms = (self._keep(tensor) for norm in (block.ln_1, block.ln_2) for tensor in (norm.weight, norm.bias))
        return _Layer(*norms, *linears)

    def _linear(self, linear: nn.Linear | Int8Linear) -> _Linear:
        assert linear.weight.is_contiguous()
        scale = linear.scale if isinstance(linear, Int8Linear) else None
        return _Linear(linear.weight.data_ptr(), self._keep(scale), self._keep(linear.bias))

    def _keep(self, tensor: Tensor | None) -> int | None:
        """Return the address of a vector in float32, kept alive as long as this is."""
        if tensor is None:
            return None
        self._kept.append(tensor.float().contiguous())
        return self._kept[-1].data_ptr()


class NativeEngine(Engine):
    """An engine that runs in the compiled kernel, on the same cache as torch would."""

    def __init__(self, model: CausalGPT, n_rows: int, library: ctypes.CDLL, n_positions: int | None = None) -> None:
        """As `Engine`. Raises: NativeUnavailable for a model that the kernel was not written for."""
        super().__init__(model, n_rows, n_positions)
        self._library = library
        self._native = _NativeModel(model, self.cache.keys, self.cache.values, library)

    def prefill(self, x: Tensor, slot: int, start: int) -> Tensor:
        placed = x + self.model.wpe.weight[start : start + len(x)]
        hidden = self._native.run_window(placed, start, slot, len(x) - 1, causal=True)
        if hidden is None:
            with ONE_THREAD.lifted():
                hidden = super().prefill(x, slot, start)
        return hidden

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        n_rows = len(tokens)
        where = torch.tensor(positions)
        x = (self.model.embed(torch.tensor(tokens)) + self.model.wpe(where)).float().contiguous()
        hidden = torch.empty(n_rows, self._native.width)
        self._library.decode_step(self._native.pool, self._native.model, n_rows, _address(x), _address(where), _address(hidden))
        return hidden

    def head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        weight = self.model.lm_head.weight[first : first + count]
        hidden = hidden.float().contiguous()
        out = torch.empty(len(hidden), count)
        linear = _Linear(weight.data_ptr(), None, None)
        self._library.multiply_rows(
            self._native.pool, KINDS[weight.dtype], ctypes.byref(linear), len(hidden), hidden.shape[1], count, _address(hidden), _address(out)
        )
        return out

    def choose(self, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> list[int]:
        """As `Engine`'s, while torch has one thread: its others would go on spinning for work when the kernel's need the cores."""
        with ONE_THREAD:
            return super().choose(rows, options, min_end_prob)


class NativeWindows:
    """The fine model's blocks in the compiled kernel. May be called from several threads, one after the other."""

    def __init__(self, model: FineGPT, library: ctypes.CDLL, int8_acts: bool = False) -> None:
        """`int8_acts`: as in `run_window`. Raises: NativeUnavailable for a model that the kernel was not written for, or a processor."""
        config, dtype = model.config, model.wpe.weight.dtype
        self._cache = KVCache(1, 1, config.block_size, config.n_embd, dtype, "cpu")  # one layer's, for each in turn
        self._native = _NativeModel(model, self._cache.keys.expand(config.n_layer, -1, -1, -1), self._cache.values, library)
        self.int8_acts, self._lock = int8_acts, threading.Lock()
        if self._native.run_window(torch.zeros(1, config.n_embd), 0, 0, 0, False, int8_acts) is None:
            raise NativeUnavailable("the kernel runs windows of widths in steps of 64, and on processors with AVX-512 and without AMX")

    def __call__(self, x: Tensor, first: int) -> Tensor:
        """Run embeddings with positions (B, T, C); return the normed hidden states at first … T − 1, (B, T − first, C) float32."""
        with self._lock:
            made = [self._native.run_window(row, 0, 0, first, False, self.int8_acts) for row in x]
        return torch.stack(cast("list[Tensor]", made))


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
