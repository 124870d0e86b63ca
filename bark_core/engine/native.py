"""The decoding step and windows (prompts, the fine stage) in C++: compiled once for this machine, called through ctypes.

compile.py finds and makes the library. Whether to trust it is runtime.py's decision.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bark_core.engine.compile import CompilerFailed, NativeUnavailable, load_compiled
from bark_core.engine.levels import choose_levels
from bark_core.engine.loop import Drawn, Engine, Row
from bark_core.engine.threads import run_with_threads
from bark_core.errors import GenerationError
from bark_core.model.cache import KVCache
from bark_core.model.quantize import Int8Linear
from bark_core.model.transformer import Block, CausalGPT, FineGPT
from bark_core.types import SamplingOptions

FLAGS = ["-O3", "-std=c++20", "-pthread", "-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
CACHED = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16, torch.int8: torch.bfloat16}
"""What keys and values are in, by the type of a model's linears."""

HEAD_WIDTHS = (32, 64)
MAX_INPUTS = 8192
"""More inputs than this could overflow the int32 sums of 8-bit weights."""

WINDOW_WIDTH = 64
"""The width of a model whose windows the kernel runs is a multiple of this."""


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


def load_library(cache: Path | None = None, level: str | None = None) -> ctypes.CDLL:
    """Return the compiled kernel, compiling it where this machine has not yet (some twenty seconds).

    `level`: a name of levels.py's, BARK_KERNEL_LEVEL's where it is None. Where the compiler fails at that level, the next
    plainer one is taken, and one warning says so. Raises: NativeUnavailable; InvalidInput for a level that is none, or
    that this processor cannot run.
    """
    folder = Path(__file__).parent / "kernel"
    sources = [folder / "kernel.cpp", *sorted(folder.glob("*.hpp"))]
    failed: CompilerFailed | None = None
    first, *_ = levels = choose_levels(level)
    for chosen in levels:
        try:
            library = load_compiled(sources, [*chosen.flags, *FLAGS], cache)
        except CompilerFailed as error:
            failed = failed or error
            continue
        if failed:
            warnings.warn(f"The kernel is compiled for {chosen.name}, not for {first.name}, and may be slower: {failed}.", stacklevel=2)
        return _declare(library)
    assert failed is not None
    raise failed


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.pool_make.restype = ctypes.c_void_p
    library.pool_make.argtypes = [ctypes.c_int]
    library.pool_free.argtypes = [ctypes.c_void_p]
    library.run_window.restype = ctypes.c_bool
    library.kernel_level.restype = ctypes.c_char_p
    return library


def describe_level(library: ctypes.CDLL) -> str:
    """Return the instructions that a kernel was compiled for, in words."""
    return library.kernel_level().decode()


def has_vectors(library: ctypes.CDLL) -> bool:
    """Tell whether a kernel was compiled for vectors that it was written for: there, each precision is faster than the wider ones."""
    return describe_level(library) != "no vector extension"


class NativeModel:
    """A model's description for the kernel, the tensors whose addresses it holds, and the thread pool that it runs on."""

    def __init__(self, model: CausalGPT | FineGPT, keys: Tensor, values: Tensor, library: ctypes.CDLL, beside: NativeModel | None = None) -> None:
        """`keys` and `values` (L, B, T, C): the cache. `beside`: a model whose threads this one takes, too, at other times.

        Raises: NativeUnavailable for a model that the kernel was not written for.
        """
        config, weight = model.config, model.wpe.weight
        if weight.device.type != "cpu" or weight.dtype not in KINDS:
            raise NativeUnavailable(f"the kernel runs on CPUs in fp32, bf16 and int8, not on {weight.device} in {weight.dtype}")
        if config.n_embd % 32 or config.n_embd // config.n_head not in HEAD_WIDTHS or 4 * config.n_embd > MAX_INPUTS:
            raise NativeUnavailable(f"the kernel takes widths in steps of 32 with heads of 32 or 64, not {config.n_embd} in {config.n_head} heads")
        self.width, self.n_rows, self.n_positions = config.n_embd, keys.shape[1], keys.shape[2]
        self._weight_dtype = cast(Block, model.h[0]).mlp.c_fc.weight.dtype
        self._dtype = CACHED[self._weight_dtype]
        self._library = library
        self._kept: list[Any] = []
        try:
            layers = (_Layer * config.n_layer)(*(self._layer(block) for block in cast("list[Block]", list(model.h))))
            self._kept.append(layers)
            self.model = ctypes.byref(_Model(
                KINDS[self._weight_dtype], config.n_layer, config.n_head, config.n_embd, self._keep(model.ln_f.weight), self._keep(model.ln_f.bias),
                layers, self._cache(keys, keys), self._cache(values, keys), keys.stride(0), keys.stride(1),
            ))  # fmt: skip
        except GenerationError as error:
            raise NativeUnavailable(str(error).rstrip(".")) from error
        if beside is not None:
            self._kept.append(beside)
            self.pool = beside.pool
            return
        self.pool = ctypes.c_void_p(library.pool_make(torch.get_num_threads()))
        weakref.finalize(self, _free_pool, library, self.pool, os.getpid())

    def run_window(self, x: Tensor, start: int, row: int, first: int, causal: bool, int8_acts: bool = False) -> Tensor | None:
        """Feed (T, C) at positions start … of a row; return the normed hidden states of those from the first-th on, (T − first, C).

        `int8_acts`: 8-bit weights × 8-bit activations, not 16-bit ones. None where the kernel lacks this processor or width, and torch runs it.
        """
        if self.width % WINDOW_WIDTH:
            return None
        n = len(x)
        if not (0 <= first < n and 0 <= start <= self.n_positions - n and 0 <= row < self.n_rows):
            raise GenerationError(
                f"The kernel was asked for positions {start} to {start + n - 1} of row {row}, from the {first}th of them on; "
                f"its cache has {self.n_positions} positions in {self.n_rows} rows."
            )
        x = x.float().contiguous()
        address, hidden = _address(x, torch.float32, n, self.width), x.new_empty((n - first, self.width))
        done = self._library.run_window(self.pool, self.model, int8_acts, n, start, row, causal, first, address, ctypes.c_void_p(hidden.data_ptr()))
        return hidden if done else None

    def decode_step(self, x: Tensor, positions: list[int], slots: Sequence[int] | None = None) -> Tensor:
        """Feed (B, C), positions added, at `positions` of the cache's `slots` (None: 0 … B − 1); return the normed hidden states (B, C) float32.

        Slots may be named several times, with a position for each: what is fed to one attends to what is fed before it, now or earlier.
        """
        n, slots = len(positions), range(len(positions)) if slots is None else slots
        has_places = 0 <= min(slots) <= max(slots) < self.n_rows and 0 <= min(positions) <= max(positions) < self.n_positions
        if not has_places or len({*zip(slots, positions, strict=True)}) != n:
            raise GenerationError(
                f"The kernel was asked for positions {positions} of rows {[*slots]}; its cache has {self.n_positions} positions in {self.n_rows} rows."
            )
        x = x.float().contiguous()
        address, hidden = _address(x, torch.float32, n, self.width), torch.empty_like(x)
        places = (ctypes.c_int32 * n)(*slots), (ctypes.c_int64 * n)(*positions)
        self._library.decode_step(self.pool, self.model, n, address, *places, ctypes.c_void_p(hidden.data_ptr()))
        return hidden

    def describe_rows(self, weight: Tensor, scale: Tensor | None = None) -> tuple[Any, int, int]:
        """Return what `multiply_rows` takes for rows of weights (N, C), in the model's type, or in 8 bits with a scale (N,) each."""
        self._kept.append(weight)
        dtype = self._dtype if scale is None else torch.int8
        linear = _Linear(_address(weight, dtype, len(weight), self.width), self._keep(scale, len(weight)), None)
        return ctypes.byref(linear), len(weight), KINDS[dtype]

    def multiply_rows(self, rows: tuple[Any, int, int], x: Tensor) -> Tensor:
        """Return x (B, C) times described rows of weights, in the weights' precision: (B, N) float32."""
        (linear, count, kind), x = rows, x.float().contiguous()
        n = x.shape[0]
        address, out = _address(x, torch.float32, n, self.width), x.new_empty((n, count))
        self._library.multiply_rows(self.pool, kind, linear, n, self.width, count, address, ctypes.c_void_p(out.data_ptr()))
        return out

    def _layer(self, block: Block) -> _Layer:
        norms = (self._keep(tensor) for norm in (block.ln_1, block.ln_2) for tensor in (norm.weight, norm.bias))
        shapes = ((block.attn.c_attn, 3, 1), (block.attn.c_proj, 1, 1), (block.mlp.c_fc, 4, 1), (block.mlp.c_proj, 1, 4))
        return _Layer(*norms, *(self._linear(linear, n_out * self.width, n_in * self.width) for linear, n_out, n_in in shapes))

    def _linear(self, linear: nn.Linear | Int8Linear, n_out: int, n_in: int) -> _Linear:
        scale = self._keep(linear.scale, n_out) if isinstance(linear, Int8Linear) else None
        return _Linear(_address(linear.weight, self._weight_dtype, n_out, n_in), scale, self._keep(linear.bias, n_out))

    def _keep(self, tensor: Tensor | None, n: int | None = None) -> ctypes.c_void_p | None:
        """Return the address of a vector of `n` numbers (the width where None) in float32, kept alive as long as this is."""
        if tensor is None:
            return None
        self._kept.append(tensor.float().contiguous())
        return _address(self._kept[-1], torch.float32, n or self.width)

    def _cache(self, tensor: Tensor, keys: Tensor) -> ctypes.c_void_p:
        """Return the address of keys or values, whose layers lie as far apart as those of `keys`, or are all one."""
        if tensor.shape != keys.shape or tensor.stride() != keys.stride():
            raise _refusal(tensor, self._dtype, keys.shape)
        return _address(tensor[0], self._dtype, self.n_rows, self.n_positions, self.width)


class NativeEngine(Engine):
    """An engine that runs in the compiled kernel, on the same cache as torch would."""

    def __init__(self, model: CausalGPT, n_rows: int, library: ctypes.CDLL, n_positions: int | None = None) -> None:
        """As `Engine`. Raises: NativeUnavailable for a model that the kernel was not written for."""
        super().__init__(model, n_rows, n_positions)
        self._n_threads = torch.get_num_threads()
        self._native = NativeModel(model, self.cache.keys, self.cache.values, library)
        self._heads: dict[tuple[int, int], Any] = {}

    def prefill(self, x: Tensor, slot: int, start: int) -> Tensor:
        placed = x + self.model.wpe.weight[start : start + len(x)]
        hidden = self._native.run_window(placed, start, slot, len(x) - 1, causal=True)
        return run_with_threads(self._n_threads, super().prefill, x, slot, start) if hidden is None else hidden

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        return self._native.decode_step(self.place(tokens, positions), positions)

    def step_many(self, tokens: list[int], positions: list[int], slots: list[int]) -> Tensor:
        """Feed tokens at positions of slots, any number to each; return hidden states (B, C), bit for bit those of single steps."""
        return self._native.decode_step(self.place(tokens, positions), positions, slots)

    def place(self, tokens: list[int], positions: list[int]) -> Tensor:
        """Return what is fed for tokens at positions: (B, C)."""
        # A row of numbers becomes a tensor faster by way of numpy.
        ids, where = torch.from_numpy(np.array(tokens, dtype=np.int64)), torch.from_numpy(np.array(positions, dtype=np.int64))
        return self.model.embed(ids) + torch.embedding(self.model.wpe.weight, where)

    def head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        if (first, count) not in self._heads:
            self._heads[first, count] = self._native.describe_rows(self.model.lm_head.weight[first : first + count])
        return self._native.multiply_rows(self._heads[first, count], hidden)

    def choose(self, rows: Sequence[Row], options: SamplingOptions | None, min_end_prob: float | None) -> list[Drawn]:
        """As `Engine`'s, while torch has one thread: its others would go on spinning for work when the kernel's need the cores."""
        self._n_threads = torch.get_num_threads()
        return run_with_threads(1, super().choose, rows, options, min_end_prob)


class NativeWindows:
    """The fine model's blocks in the compiled kernel. May be called from several threads, one after the other."""

    def __init__(self, model: FineGPT, library: ctypes.CDLL, int8_acts: bool = False) -> None:
        """`int8_acts`: as in `run_window`. Raises: NativeUnavailable for a model that the kernel was not written for, or a processor."""
        config, dtype = model.config, model.wpe.weight.dtype
        self._cache = KVCache(1, 1, config.block_size, config.n_embd, dtype, "cpu")  # one layer's, for each in turn
        keys, values = (each.expand(config.n_layer, -1, -1, -1) for each in (self._cache.keys, self._cache.values))
        self._native = NativeModel(model, keys, values, library)
        self.int8_acts, self._lock = int8_acts, threading.Lock()
        if self._native.run_window(torch.zeros((1, config.n_embd), dtype=torch.float32, device="cpu"), 0, 0, 0, False, int8_acts) is None:
            raise NativeUnavailable(
                "the kernel has no such windows: widths go in steps of 64, bf16 is torch's where there is AMX,"
                " and not every processor has products of 8 bits"
            )

    def __call__(self, x: Tensor, first: int) -> Tensor:
        """Run embeddings with positions (B, T, C); return the normed hidden states at first … T − 1, (B, T − first, C) float32."""
        with self._lock:
            made = [self._native.run_window(row, 0, 0, first, False, self.int8_acts) for row in x]
        return torch.stack(cast("list[Tensor]", made))


def _address(tensor: Tensor, dtype: torch.dtype, *shape: int) -> ctypes.c_void_p:
    """Return a tensor's address. Raises: GenerationError where the kernel, which is told of no types, would read or write something else there."""
    if tensor.dtype is not dtype or tensor.shape != shape or not tensor.is_cpu or not tensor.is_contiguous():
        raise _refusal(tensor, dtype, shape)
    return ctypes.c_void_p(tensor.data_ptr())


def _refusal(tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> GenerationError:
    how = "contiguous" if tensor.is_contiguous() else "with gaps"
    return GenerationError(
        f"The kernel was given a tensor of {tensor.dtype}, shape {list(tensor.shape)}, on {tensor.device}, {how}; "
        f"it takes {dtype}, {list(shape)}, on the CPU, contiguous."
    )


def _free_pool(library: ctypes.CDLL, pool: ctypes.c_void_p, process: int) -> None:
    """Free a thread pool where it was made: a fork has no threads to wait for."""
    if os.getpid() == process:
        library.pool_free(pool)
