"""The kernel on ARM: compiled for each level there, run under an emulator, held against torch's numbers. Speed says nothing here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bark_core.engine.levels import LEVELS
from bark_core.engine.loop import Engine
from bark_core.engine.native import FLAGS, KINDS
from bark_core.model.quantize import Int8Linear
from bark_core.model.transformer import Block, CausalGPT, FineGPT
from tests.engine.test_native import TOLERANCES, error_of, make_causal, make_fine

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
KERNEL = Path(__file__).parents[2] / "bark_core" / "engine" / "kernel"
ROWS, POSITIONS, STEPS, HEAD = 3, 80, 2, 50
PROMPT = 67  # more than a block of attention, and no multiple of a tile
WORDS = {"armv8-a": "NEON", "armv8.2-a+dotprod": "NEON with dotprod", "armv8.6-a": "NEON with dotprod and bf16"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR)), reason="no ARM compiler and emulator here (Debian: g++-aarch64-linux-gnu, qemu-user)"
    ),
]


@pytest.fixture(scope="module", params=LEVELS["aarch64"], ids=lambda level: level.name)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The kernel with a driver, compiled for a level; and the level's name."""
    made = tmp_path_factory.mktemp("arm") / "driver"
    flags = [flag for flag in FLAGS if not flag.startswith("-O")]
    source = Path(__file__).with_name("arm_driver.cpp")
    subprocess.run([COMPILER, "-O1", "-static", *flags, *request.param.flags, f"-I{KERNEL}", str(source), "-o", str(made)], check=True)
    return request.param.name, made


def pack(tensor: Tensor | None, like: Tensor) -> bytes:
    """Return a vector as float32, zeros where there is none."""
    return (torch.zeros(len(like)) if tensor is None else tensor).float().numpy().tobytes()


def pack_weight(weight: Tensor) -> bytes:
    return (weight.contiguous().view(torch.int16) if weight.dtype is torch.bfloat16 else weight).numpy().tobytes()


def describe(model: CausalGPT | FineGPT, head: Tensor, prompt: Tensor, embedded: Tensor, int8_acts: bool, causal: bool, first: int) -> bytes:
    """Return what the driver reads."""
    config, blocks = model.config, cast("list[Block]", list(model.h))
    kind = KINDS[blocks[0].mlp.c_fc.weight.dtype]
    sizes = [kind, len(blocks), config.n_head, config.n_embd, ROWS, POSITIONS, len(prompt), len(embedded), int8_acts, causal, len(head), first]
    parts = [np.array(sizes, dtype=np.int32).tobytes()]
    for block in blocks:
        for norm in (block.ln_1, block.ln_2):
            parts += [pack(norm.weight, norm.weight), pack(norm.bias, norm.weight)]
        for linear in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
            assert isinstance(linear, (nn.Linear, Int8Linear))
            parts.append(pack_weight(linear.weight))
            if isinstance(linear, Int8Linear):
                parts.append(pack(linear.scale, linear.scale))
            parts.append(pack(linear.bias, linear.weight))
    parts += [pack(model.ln_f.weight, model.ln_f.weight), pack(model.ln_f.bias, model.ln_f.weight), pack_weight(head)]
    return b"".join([*parts, prompt.float().numpy().tobytes(), embedded.float().numpy().tobytes()])


def run_emulated(program: tuple[str, Path], tmp_path: Path, request: bytes) -> np.ndarray:
    """Return all that the driver gives, float32, of which the first says whether there was such a window."""
    level, path = program
    (tmp_path / "in").write_bytes(request)
    command = [EMULATOR, "-cpu", "max", str(path), str(tmp_path / "in"), str(tmp_path / "out")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == WORDS[level]
    return np.fromfile(tmp_path / "out", dtype=np.float32)


@torch.inference_mode()
@pytest.mark.parametrize("precision", TOLERANCES)
def test_steps_and_prompts_give_what_torch_gives(program: tuple[str, Path], tmp_path: Path, precision: str) -> None:
    model = make_causal(precision, 128, 2, bias=True)
    engine, tokens = Engine(model, ROWS), torch.arange(PROMPT) * 7 % 300
    last = [engine.prefill(model.embed(tokens), row, 0) for row in range(ROWS)][-1]
    stepped = [engine.step([5 + k, 9, 40 + k], [PROMPT + k] * ROWS) for k in range(STEPS)]
    wanted = torch.cat([last.flatten(), *(each.flatten() for each in stepped), engine.head(stepped[-1], 17, HEAD).flatten()]).float()

    embedded = torch.stack([model.embed(torch.tensor([5 + k, 9, 40 + k])) + model.wpe.weight[PROMPT + k] for k in range(STEPS)])
    prompt = model.embed(tokens) + model.wpe.weight[:PROMPT]
    request = describe(model, model.lm_head.weight[17 : 17 + HEAD], prompt, embedded, False, True, PROMPT - 1)
    found = run_emulated(program, tmp_path, request)
    assert found[0] == 1 and len(found) == 1 + len(wanted)
    n_hidden = (1 + STEPS * ROWS) * model.config.n_embd
    for part in (slice(0, n_hidden), slice(n_hidden, None)):  # the hidden states, then the logits
        assert error_of(torch.from_numpy(found[1:][part]), wanted[part]) < TOLERANCES[precision]


@torch.inference_mode()
@pytest.mark.parametrize(("precision", "int8_acts"), [*((precision, False) for precision in TOLERANCES), ("int8", True)])
def test_windows_give_what_torch_gives(program: tuple[str, Path], tmp_path: Path, precision: str, int8_acts: bool) -> None:
    model = make_fine(precision, 128, 4, bias=True)
    x = torch.randn(1, PROMPT, 128, generator=torch.Generator().manual_seed(3)).to(model.wpe.weight.dtype)
    wanted = model.run_in_torch(x, 5).float()[0]
    head = torch.zeros(1, 128, dtype=model.wpe.weight.dtype)
    found = run_emulated(program, tmp_path, describe(model, head, x[0], torch.zeros(0, ROWS, 128), int8_acts, False, 5))
    assert found[0] == (0 if int8_acts and program[0] == "armv8-a" else 1)  # products of 8 bits come with dotprod
    if found[0]:
        assert error_of(torch.from_numpy(found[1 : 1 + wanted.numel()]).view_as(wanted), wanted) < TOLERANCES[precision]
