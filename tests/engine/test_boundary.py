"""What the kernel is given is checked before its address goes to C++: types, places, gaps, lengths, positions."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bark_core.engine import loop
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.native import NativeEngine, NativeWindows, load_library
from bark_core.errors import GenerationError
from bark_core.model.transformer import Block, CausalGPT
from tests.engine.test_native import make_causal, make_fine


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    try:
        return load_library()
    except NativeUnavailable as error:
        pytest.skip(f"no compiled step on this machine: {error}")


@pytest.fixture(scope="module")
def engine(library: ctypes.CDLL) -> NativeEngine:
    return NativeEngine(make_causal("fp32"), 2, library, n_positions=32)  # width 128, 310 logits


X = torch.zeros(2, 128)

REFUSED: list[tuple[Callable[[NativeEngine], object], str]] = [
    (lambda engine: engine._native.decode_step(X[:, :64], [0, 0]), "shape [2, 64], on cpu, contiguous; it takes torch.float32, [2, 128]"),
    (lambda engine: engine._native.decode_step(X[:1], [0, 0]), "shape [1, 128]"),
    (lambda engine: engine._native.decode_step(X.to("meta"), [0, 0]), "on meta"),
    (lambda engine: engine.step([1, 1], [0, 32]), "positions [0, 32] of rows [0, 1]; its cache has 32 positions in 2 rows"),
    (lambda engine: engine._native.decode_step(X, [-1, 0]), "positions [-1, 0]"),
    (lambda engine: engine._native.decode_step(X, [3, 3], [1, 1]), "positions [3, 3] of rows [1, 1]"),
    (lambda engine: engine._native.decode_step(X, [3, 3], [0, 2]), "positions [3, 3] of rows [0, 2]"),
    (lambda engine: engine.step([1, 1, 1], [0, 0, 0]), "of rows [0, 1, 2]"),
    (lambda engine: engine.head(X[:, :96], 0, 10), "shape [2, 96]"),
    (lambda engine: engine._native.describe_rows(torch.zeros(10, 128).half()), "torch.float16"),
    (lambda engine: engine._native.describe_rows(torch.zeros(128, 10).T), "with gaps; it takes torch.float32, [10, 128]"),
    (lambda engine: engine._native.describe_rows(torch.zeros(10, 96)), "[10, 96]"),
    (lambda engine: engine._native.run_window(torch.zeros(9, 128), 24, 0, 0, True), "positions 24 to 32 of row 0"),
    (lambda engine: engine._native.run_window(torch.zeros(3, 128), 0, 2, 0, True), "of row 2"),
    (lambda engine: engine._native.run_window(torch.zeros(3, 128), 0, 0, 3, True), "from the 3th"),
    (lambda engine: engine._native.run_window(torch.zeros(3, 128), -1, 0, 0, True), "positions -1 to 1"),
    (lambda engine: engine._native.run_window(torch.zeros(3, 64), 0, 0, 0, True), "shape [3, 64]"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_the_kernel_would_misread_is_refused(engine: NativeEngine, call: Callable[[NativeEngine], object], sentence: str) -> None:
    with pytest.raises(GenerationError, match=re.escape(sentence)):
        call(engine)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_of_activations_are_converted(engine: NativeEngine, dtype: torch.dtype) -> None:
    x = torch.randn(2, 128).bfloat16().half()
    assert torch.equal(engine.head(x.to(dtype), 3, 20), engine.head(x.to(dtype).float(), 3, 20))


def bf16_matrix(model: CausalGPT) -> None:
    linear = block(model).mlp.c_fc
    linear.weight = nn.Parameter(linear.weight.bfloat16(), requires_grad=False)


def turned_matrix(model: CausalGPT) -> None:
    linear = block(model).mlp.c_proj
    linear.weight = nn.Parameter(linear.weight.T.contiguous().T, requires_grad=False)


def short_norm(model: CausalGPT) -> None:
    model.ln_f.weight = nn.Parameter(torch.ones(64), requires_grad=False)


def small_matrix(model: CausalGPT) -> None:
    linear = block(model).attn.c_attn
    linear.weight = nn.Parameter(linear.weight[:128].clone(), requires_grad=False)


def block(model: CausalGPT) -> Block:
    last = model.h[-1]
    assert isinstance(last, Block)
    return last


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (bf16_matrix, "torch.bfloat16, shape [512, 128], on cpu, contiguous; it takes torch.float32, [512, 128]"),
        (turned_matrix, "with gaps"),
        (short_norm, "shape [64]"),
        (small_matrix, "shape [128, 128], on cpu, contiguous; it takes torch.float32, [384, 128]"),
    ],
)
def test_models_whose_weights_it_would_misread_are_refused(library: ctypes.CDLL, change: Callable[[CausalGPT], None], sentence: str) -> None:
    model = make_causal("fp32")
    change(model)
    with pytest.raises(NativeUnavailable, match=re.escape(sentence)):
        NativeEngine(model, 1, library)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda keys: keys.half(), "torch.float16"),
        (lambda keys: keys[:, :, :, :64], "shape [3, 2, 32, 64]"),
        (lambda keys: keys.repeat_interleave(2, 3)[..., ::2], "with gaps"),
        (lambda keys: keys[:2], "shape [2, 2, 32, 128]"),
    ],
)
def test_a_cache_that_it_would_misread_is_refused(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor], sentence: str
) -> None:
    class Other(loop.KVCache):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # pyright: ignore[reportArgumentType]
            self.values = change(self.values)

    monkeypatch.setattr(loop, "KVCache", Other)
    with pytest.raises(NativeUnavailable, match=re.escape(sentence)):
        NativeEngine(make_causal("fp32"), 2, library, n_positions=32)


@torch.inference_mode()
def test_windows_are_checked_too(library: ctypes.CDLL) -> None:
    try:
        windows = NativeWindows(make_fine("fp32", 64, 1), library)
    except NativeUnavailable as error:
        pytest.skip(str(error))
    with pytest.raises(GenerationError, match="positions 0 to 320 of row 0"):
        windows(torch.zeros(1, 321, 64), 0)
    with pytest.raises(GenerationError, match=re.escape("shape [5, 32]")):
        windows(torch.zeros(1, 5, 32), 0)
