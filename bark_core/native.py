"""The decoding step and the fine stage's attention in C++: compiled once for this machine, called through ctypes.

Reads its source files and writes a cache of what it compiled. Whether to trust it is runtime.py's decision.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bark_core.decode import Engine
from bark_core.quantize import Int8Linear
from bark_core.transformer import Block, CausalGPT

SOURCES = ("kernel.cpp", "kernel_math.hpp", "kernel_window.hpp")
FLAGS = ["-O3", "-march=native", "-std=c++20", "-pthread", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
THREADING = ("-fopenmp", "-fopenmp-simd")
"""With torch's own threads, which are found in the process; where they are not, without."""

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
HEAD_WIDTHS = (32, 64)
MAX_INPUTS = 8192
"""More inputs than this to one product could overflow the whole-number sums of 8-bit weights."""


class NativeUnavailable(Exception):
    """The compiled step cannot be had here, or not for this model; the message says why."""


class _Linear(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("scale", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("norm1_weight", "norm1_bias", "norm2_weight", "norm2_bias")),
        *((name, _Linear) for name in ("qkv", "project", "widen", "narrow")),
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
    try:
        try:
            library = _load([*FLAGS, THREADING[0]], cache or _cache_folder())
        except OSError:
            library = _load([*FLAGS, THREADING[1]], cache or _cache_folder())
    except Exception as error:  # a compiler can fail in any way that it likes
        raise NativeUnavailable(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else error!r}") from error
    library.pool_make.restype = ctypes.c_void_p
    library.pool_make.argtypes = [ctypes.c_int]
    library.pool_free.argtypes = [ctypes.c_void_p]
    library.attend_window.restype = ctypes.c_bool
    return library


def _load(flags: list[str], cache: Path) -> ctypes.CDLL:
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in SOURCES)
    key = hashlib.sha256(sources + " ".join(flags).encode() + _describe_cpu()).hexdigest()[:24]
    target = cache / key / "bark_kernel.so"
    if not target.is_file():
        _compile(folder / SOURCES[0], target, flags)
    return ctypes.CDLL(str(target))


def _compile(source: Path, target: Path, flags: list[str]) -> None:
    """Compile into a folder of our own, which takes its place when it is whole; so builds side by side, or killed ones, harm nobody."""
    from torch.utils.cpp_extension import load  # slow to import, and needed once a machine

    target.parent.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent.parent))
    try:
        load(target.stem, [str(source)], extra_cflags=flags, build_directory=str(work), is_python_module=False)
        target.parent.mkdir(exist_ok=True)
        os.replace(next(work.glob("*.so")), target)  # the builder numbers a name that it has built before
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bark" / "kernels"


def _describe_cpu() -> bytes:
    """Return what decides whether a compiled kernel runs here, since a home folder may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"") + platform.machine().encode()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}".encode()


class NativeAttention:
    """The kernel's attention of whole windows in bf16, for heads of 64: twice as fast as torch's."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __call__(self, _layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Let every position attend to all: q, k, v (B, T, C), T a multiple of 64 → (B, T, C). Raises: NativeUnavailable."""
        if q.dtype != torch.bfloat16 or q.shape[1] % 64 or q.shape[2] % 64 or any(each.stride() != q.stride() for each in (k, v)) or q.stride(2) != 1:
            raise NativeUnavailable(f"the kernel's attention takes bf16 and windows in steps of 64, not {q.dtype} of {tuple(q.shape)}")
        out = torch.empty(q.shape, dtype=q.dtype)
        n_threads, stride = torch.get_num_threads(), ctypes.c_int64(q.stride(1))
        for row in zip(q, k, v, out, strict=True):
            *given, target = (_address(each) for each in row)
            if not self._library.attend_window(n_threads, q.shape[1], q.shape[2] // 64, *given, stride, target):
                raise NativeUnavailable("this processor has no products of bf16")
        return out


class NativeEngine(Engine):
    """An engine whose step is one call of the compiled kernel. Prefill is torch's, on the same cache."""

    def __init__(self, model: CausalGPT, n_rows: int, library: ctypes.CDLL, n_positions: int | None = None) -> None:
        """As `Engine`. Raises: NativeUnavailable for a model that the kernel was not written for."""
        super().__init__(model, n_rows, n_positions)
        config, weight = model.config, model.wpe.weight
        if weight.device.type != "cpu" or weight.dtype not in KINDS:
            raise NativeUnavailable(f"the kernel runs on CPUs in fp32, bf16 and int8, not on {weight.device} in {weight.dtype}")
        if config.n_embd % 32 or config.n_embd // config.n_head not in HEAD_WIDTHS or 4 * config.n_embd > MAX_INPUTS:
            raise NativeUnavailable(f"the kernel takes widths in steps of 32 with heads of 32 or 64, not {config.n_embd} in {config.n_head} heads")
        self._library = library
        self._kept: list[Any] = []  # what the kernel holds addresses of
        self._pool = ctypes.c_void_p(library.pool_make(torch.get_num_threads()))
        weakref.finalize(self, library.pool_free, self._pool)
        self._model = self._describe(model)
        self._width = config.n_embd

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        n_rows = len(tokens)
        where = torch.tensor(positions)
        x = (self.model.embed(torch.tensor(tokens)) + self.model.wpe(where)).float().contiguous()
        hidden = torch.empty(n_rows, self._width)
        self._library.decode_step(self._pool, ctypes.byref(self._model), n_rows, _address(x), _address(where), _address(hidden))
        return hidden

    def head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        weight = self.model.lm_head.weight[first : first + count]
        hidden = hidden.float().contiguous()
        out = torch.empty(len(hidden), count)
        linear = _Linear(weight.data_ptr(), None, None)
        self._library.multiply_rows(
            self._pool, KINDS[weight.dtype], ctypes.byref(linear), len(hidden), hidden.shape[1], count, _address(hidden), _address(out)
        )
        return out

    def _describe(self, model: CausalGPT) -> _Model:
        config, cache = model.config, self.cache
        layers = (_Layer * config.n_layer)()
        for layer, block in zip(layers, cast("list[Block]", list(model.h)), strict=True):
            for name, norm in (("norm1", block.ln_1), ("norm2", block.ln_2)):
                setattr(layer, f"{name}_weight", self._keep(norm.weight.float()))
                setattr(layer, f"{name}_bias", self._keep(norm.bias))
            parts = (("qkv", block.attn.c_attn), ("project", block.attn.c_proj), ("widen", block.mlp.c_fc), ("narrow", block.mlp.c_proj))
            for name, linear in parts:
                setattr(layer, name, self._linear(linear))
        self._kept.append(layers)
        kind = KINDS[cast(Block, model.h[0]).mlp.c_fc.weight.dtype]
        return _Model(
            kind, config.n_layer, config.n_head, config.n_embd, self._keep(model.ln_f.weight), self._keep(model.ln_f.bias),
            layers, cache.keys.data_ptr(), cache.values.data_ptr(), cache.keys.stride(0), cache.keys.stride(1),
        )  # fmt: skip

    def _linear(self, linear: nn.Linear | Int8Linear) -> _Linear:
        assert linear.weight.is_contiguous()
        scale = linear.scale if isinstance(linear, Int8Linear) else None
        return _Linear(linear.weight.data_ptr(), self._keep(scale), self._keep(linear.bias))

    def _keep(self, tensor: Tensor | None) -> int | None:
        """Return the address of a vector in float32, kept alive as long as this engine."""
        if tensor is None:
            return None
        self._kept.append(tensor.float().contiguous())
        return self._kept[-1].data_ptr()


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
