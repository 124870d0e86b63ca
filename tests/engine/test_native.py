"""The compiled decoding step against torch's: same numbers, rows that do not feel each other, and a way back where it cannot be had."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bark_core.config import BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.engine import runtime
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.loop import Engine
from bark_core.engine.native import NativeEngine, NativeWindows
from bark_core.engine.placement import plan_placement
from bark_core.engine.runtime import Runtime, make_model
from bark_core.model.quantize import Int8Linear, quantize_linears
from bark_core.model.transformer import Block, CausalGPT, FineGPT

TOLERANCES = {"fp32": 2e-6, "bf16": 0.03, "int8": 0.03}


def make_causal(precision: str, width: int = 128, n_head: int = 2, bias: bool = False) -> CausalGPT:
    torch.manual_seed(width)
    model = CausalGPT(GPTConfig(n_layer=3, n_head=n_head, n_embd=width, input_vocab_size=300, output_vocab_size=310, block_size=160, bias=bias))
    for parameter in model.requires_grad_(False).parameters():
        parameter.add_(torch.randn_like(parameter) * 0.08)
    if precision == "int8":
        quantize_linears(model)
    return model if precision == "fp32" else model.bfloat16()


@torch.inference_mode()
def run(engine: Engine, rows: list[int], steps: int = 3) -> tuple[Tensor, Tensor]:
    """Feed prompts of 5 + 4 × row tokens, then steps; return all hidden states and the last logits, in float32."""
    generator = torch.Generator().manual_seed(5)
    prompts = {row: torch.randint(300, (5 + 4 * row,), generator=generator) for row in range(11)}
    for slot, row in enumerate(rows):
        engine.prefill(engine.model.embed(prompts[row]), slot, 0)
    hidden = [engine.step([(row * 7 + k) % 300 for row in rows], [5 + 4 * row + k for row in rows]) for k in range(steps)]
    return torch.stack(hidden, dim=1).float(), engine.head(hidden[-1], 17, 250).float()


def error_of(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize(("width", "n_head", "bias"), [(64, 2, False), (128, 2, True), (192, 3, False), (256, 4, True)])
def test_gives_what_torch_gives(library: ctypes.CDLL, precision: str, width: int, n_head: int, bias: bool) -> None:
    model = make_causal(precision, width, n_head, bias)
    rows = [0, 3, 1]
    hidden, logits = run(NativeEngine(model, 3, library), rows)
    plain_hidden, plain_logits = run(Engine(model, 3), rows)
    assert error_of(hidden, plain_hidden) < TOLERANCES[precision]
    assert error_of(logits, plain_logits) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_row_of_any_batch_is_bit_for_bit_that_row_alone(library: ctypes.CDLL, precision: str) -> None:
    model = make_causal(precision)
    alone = [run(NativeEngine(model, 1, library), [row]) for row in range(11)]
    for size in range(2, 12):
        hidden, logits = run(NativeEngine(model, size, library), list(range(size)))
        for row in range(size):
            assert torch.equal(hidden[row], alone[row][0][0]) and torch.equal(logits[row], alone[row][1][0])


def test_every_number_of_threads_gives_the_same(library: ctypes.CDLL) -> None:
    model, before, found = make_causal("fp32", 192, 3), torch.get_num_threads(), []
    try:
        for n in (1, 2, 3, 5):
            torch.set_num_threads(n)
            found.append(run(NativeEngine(model, 2, library), [0, 1])[0])
    finally:
        torch.set_num_threads(before)
    # Where prefill is torch's, it may round by threads; the steps after it may differ by no more than that.
    assert all(error_of(each, found[0]) < 1e-6 for each in found)


def test_eight_bit_weights_err_by_half_a_step_at_most() -> None:
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 2, 40)[:, None]
    linear = Int8Linear(weight, None)
    step = linear.scale[:, None]
    assert float(((linear.weight.float() * step - weight).abs() / step).max()) <= 0.5001
    assert torch.equal(linear.scale, linear.scale.bfloat16().float())
    assert int(linear.weight.abs().max()) <= 127
    assert torch.equal(Int8Linear(torch.zeros(2, 32), None)(torch.ones(1, 32)), torch.zeros(1, 2))


def test_models_that_the_kernel_was_not_written_for_are_refused(native_library: ctypes.CDLL) -> None:
    with pytest.raises(NativeUnavailable, match="steps of 32"):
        NativeEngine(make_causal("fp32", 48, 3), 1, native_library)
    with pytest.raises(NativeUnavailable, match="not on cpu in torch.float16"):
        NativeEngine(make_causal("fp32").half(), 1, native_library)


def tiny_runtime(plain: bool = False) -> Runtime:
    sizes: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 64}
    config = BarkConfig(
        semantic=GPTConfig(**sizes, input_vocab_size=129_600, output_vocab_size=10_048),
        coarse=GPTConfig(**sizes, input_vocab_size=12_096, output_vocab_size=12_096),
        fine=FineConfig(**sizes, input_vocab_size=1056, output_vocab_size=1056),
        codec=CodecConfig(n_filters=2),
    )
    return Runtime(config, lambda part: make_model(config, part).state_dict(), plan_placement("cpu", "fp32"), plain)


def engine_of(made: Runtime) -> type[Engine]:
    with made.lend_engine("coarse", 1) as engine:
        return type(engine)


@torch.inference_mode()
@pytest.mark.parametrize("precision", TOLERANCES)
def test_attention_over_several_blocks_gives_the_same(library: ctypes.CDLL, precision: str) -> None:
    model = make_causal(precision)
    lengths = [62, 63, 64, 127, 128, 140]  # a block is 64 positions
    generator = torch.Generator().manual_seed(9)
    prompts = [torch.randint(300, (length,), generator=generator) for length in lengths]

    def steps(engine: Engine, chosen: list[int]) -> Tensor:
        for slot, i in enumerate(chosen):
            engine.prefill(model.embed(prompts[i]), slot, 0)
        return torch.stack([engine.step([7 + k] * len(chosen), [lengths[i] + k for i in chosen]) for k in range(4)]).float()

    everyone = list(range(len(lengths)))
    together = steps(NativeEngine(model, len(lengths), library), everyone)
    assert error_of(together, steps(Engine(model, len(lengths)), everyone)) < TOLERANCES[precision]
    for i in everyone:
        assert torch.equal(steps(NativeEngine(model, 1, library), [i])[:, 0], together[:, i])


def make_fine(precision: str, width: int, n_head: int, bias: bool = False) -> FineGPT:
    torch.manual_seed(width)
    model = FineGPT(FineConfig(n_layer=3, n_head=n_head, n_embd=width, input_vocab_size=90, output_vocab_size=90, block_size=320, bias=bias))
    for parameter in model.requires_grad_(False).parameters():
        parameter.add_(torch.randn_like(parameter) * 0.08)
    if precision == "int8":
        quantize_linears(model)
    return model if precision == "fp32" else model.bfloat16()


def list_windows(model: FineGPT, library: ctypes.CDLL) -> list[NativeWindows]:
    """Return the kernel's ways to run a model's windows: with 8-bit weights, those with activations of 16 bits and, where there are such products, of 8."""
    made = list[NativeWindows]()
    for int8_acts in (False, True) if any(isinstance(module, Int8Linear) for module in model.modules()) else (False,):
        with contextlib.suppress(NativeUnavailable):
            made.append(NativeWindows(model, library, int8_acts))
    if not made:
        pytest.skip("this processor's windows are left to torch")
    return made


@torch.inference_mode()
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize(
    ("n_rows", "length", "first", "width", "n_head", "bias"), [(1, 64, 0, 64, 1, True), (2, 191, 0, 128, 4, False), (1, 320, 77, 192, 3, False)]
)
def test_windows_give_what_torch_gives(
    library: ctypes.CDLL, precision: str, n_rows: int, length: int, first: int, width: int, n_head: int, bias: bool
) -> None:
    model = make_fine(precision, width, n_head, bias)
    x = torch.randn(n_rows, length, width).to(model.wpe.weight.dtype)
    plain = model.run_in_torch(x, first).float()
    for windows in list_windows(model, library):
        found = windows(x, first)
        assert found.shape == plain.shape and error_of(found, plain) < TOLERANCES[precision]
        assert torch.equal(windows(x[-1:], first)[0], found[-1])


@torch.inference_mode()
@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_prompt_fed_in_parts_gives_what_it_gives_at_once(library: ctypes.CDLL, precision: str) -> None:
    model = make_causal(precision)
    list_windows(make_fine(precision, 128, 2), library)
    prompt = model.embed(torch.arange(150) * 7 % 300)

    def feed(engine: Engine, cuts: list[int]) -> list[Tensor]:
        last = [engine.prefill(prompt[start:stop], 1, start) for start, stop in itertools.pairwise(cuts)][-1]
        return [last.float(), engine.cache.keys[:, 1, :150].float(), engine.cache.values[:, 1, :150].float()]

    at_once, plain = (feed(make(), [0, 150]) for make in (lambda: NativeEngine(model, 2, library), lambda: Engine(model, 2)))
    assert all(error_of(one, other) < TOLERANCES[precision] for one, other in zip(at_once, plain, strict=True))
    for cuts in ([0, 64, 150], [0, 1, 37, 149, 150]):
        assert all(torch.equal(one, other) for one, other in zip(feed(NativeEngine(model, 2, library), cuts), at_once, strict=True))


def test_windows_that_the_kernel_cannot_do_are_left_to_torch(native_library: ctypes.CDLL) -> None:
    with pytest.raises(NativeUnavailable, match="steps of 64"):
        NativeWindows(make_fine("fp32", 96, 3), native_library)


def test_activations_of_eight_bits_are_used_only_where_they_are_good_enough(native_library: ctypes.CDLL) -> None:
    model = make_fine("int8", 128, 2)
    if len(list_windows(model, native_library)) < 2:
        pytest.skip("this processor has no products of 8 bits")
    runtime._speed_up_fine(model, native_library, 0.05)
    chosen = [model.run_blocks]
    # One input a hundred times as large as the others, as some trained models have them, leaves those no bits.
    norm = cast(Block, model.h[0]).ln_1
    norm.weight[0] *= 100
    runtime._speed_up_fine(model, native_library, 0.05)
    chosen.append(model.run_blocks)
    assert [cast(NativeWindows, each).int8_acts for each in chosen] == [True, False]


@pytest.mark.usefixtures("native_library")
def test_a_step_that_errs_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine_of(tiny_runtime()) is NativeEngine
        assert engine_of(tiny_runtime(plain=True)) is Engine
    monkeypatch.setitem(runtime.TOLERANCES, "fp32", 1e-12)
    with pytest.warns(UserWarning, match="hidden states are off by"):
        assert engine_of(tiny_runtime()) is Engine


@pytest.mark.slow
def test_without_a_compiler_torch_decodes_and_one_warning_says_so(tmp_path: Path) -> None:
    script = "from tests.engine.test_native import *; made = tiny_runtime(); assert engine_of(made) is Engine; print('decoded by torch')"
    bare = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "CXX": str(tmp_path / "no-compiler")}
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **bare}, capture_output=True, text=True, check=False)
    assert "decoded by torch" in done.stdout, done.stderr
    assert done.stderr.count("several times slower than it could") == 1
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.slow
@torch.inference_mode()
def test_fp32_rounds_no_more_than_torch_does(library: ctypes.CDLL) -> None:
    for width, n_head in ((192, 3), (1088, 17)):  # the second is deeper than what is packed at once
        model, fine = make_causal("fp32", width, n_head), make_fine("fp32", width, n_head)
        x = torch.randn(1, 40, width)
        exact = [*run(Engine(copy.deepcopy(model).double(), 2), [0, 3]), copy.deepcopy(fine).double().run_in_torch(x.double(), 3).float()]
        by_torch = [*run(Engine(model, 2), [0, 3]), fine.run_in_torch(x, 3)]
        by_kernel = [*run(NativeEngine(model, 2, library), [0, 3]), list_windows(fine, library)[0](x, 3)]
        for kernel, plain, wanted in zip(by_kernel, by_torch, exact, strict=True):
            assert error_of(kernel, wanted) < 1.5 * error_of(plain, wanted)


def test_whole_numbers_at_their_largest_do_not_overflow(library: ctypes.CDLL) -> None:
    """Every weight and activation at its limit, with the same sign: the sums of 8-bit weights must still be exact."""
    model = make_causal("int8", 1024, 16)
    for linear in (module for module in model.modules() if isinstance(module, Int8Linear)):
        linear.weight.fill_(127)
        linear.scale.fill_(2**-20)
    for norm in (module for module in model.modules() if isinstance(module, nn.LayerNorm)):
        norm.weight.zero_()
        norm.bias = nn.Parameter(torch.full_like(norm.weight, 3.0), requires_grad=False)
    found, wanted = run(NativeEngine(model, 1, library), [3]), run(Engine(model, 1), [3])
    assert all(error_of(one, other) < TOLERANCES["int8"] for one, other in zip(found, wanted, strict=True))
