"""Blank models: the same modules, and nothing that loading a model has no use for."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from bark_core.config import CodecConfig, GPTConfig
from bark_core.model.blank import blank
from bark_core.model.codec import Codec
from bark_core.model.transformer import CausalGPT

SIZES = GPTConfig(block_size=8, input_vocab_size=6, output_vocab_size=7, n_layer=1, n_head=1, n_embd=4, bias=True)


def test_a_blank_model_has_the_same_tensors() -> None:
    for make in (lambda: CausalGPT(SIZES), lambda: Codec(CodecConfig())):
        with blank():
            empty = make()
        assert all(tensor.is_meta for tensor in empty.state_dict().values())
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
        assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == shapes


def test_others_are_initialised_as_ever() -> None:
    made: list[nn.Linear] = []
    with blank():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(3, 4)))
        thread.start()
        thread.join()
    made.append(nn.Linear(3, 4))
    for each in made:
        assert each.weight.device.type == "cpu" and bool((each.weight != 0).all()) and float(each.weight.detach().std()) > 0
    assert torch.zeros(2).tolist() == [0, 0]


@pytest.mark.slow
def test_loading_and_speaking_import_no_compiler(root: Path) -> None:
    """torch imports its compiler, seconds long, for less than one would think: a random number on the meta device is enough."""
    code = (
        "import sys; from bark_core import Bark; Bark.load('demo').generate('Good day.', seed=1, max_seconds=0.3); "
        "print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy', 'transformers', 'scipy.signal') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
