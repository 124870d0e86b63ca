"""Checkpoints of true shapes with random weights: speed does not depend on what the weights say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bark_core.checkpoint.convert import save_checkpoint
from bark_core.config import BarkConfig, FineConfig, GPTConfig
from bark_core.engine.runtime import make_model

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "benchmarks"
"""Where random checkpoints are kept unless said otherwise."""

SIZES = {"small": (12, 12, 768), "large": (24, 16, 1024)}

TINY = "tiny", (2, 2, 128)
"""A size for whoever checks that something runs, not how fast."""

N_SEMANTIC = 250
"""Five seconds of speech: what every run makes."""


def make_config(model: str) -> BarkConfig:
    """Return the configuration of a released size, or of "tiny"."""
    n_layer, n_head, n_embd = dict([TINY], **SIZES)[model]

    def stage(n_input: int, n_output: int) -> GPTConfig:
        return GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, input_vocab_size=n_input, output_vocab_size=n_output)

    fine = FineConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, input_vocab_size=1056, output_vocab_size=1056)
    return BarkConfig(name=model, semantic=stage(129_600, 10_048), coarse=stage(12_096, 12_096), fine=fine)


def find_checkpoint(model: str, work: Path, half: bool = False) -> Path:
    """Return the folder of the demo, or of a random checkpoint of a released size."""
    return ROOT / "weights" / "demo" if model == "demo" else make_checkpoint(model, work, half)


def make_checkpoint(model: str, work: Path, half: bool = False, ends: bool = False) -> Path:
    """Write a checkpoint of a released size into `work` if it is not there yet, with one full voice; return its folder.

    `ends`: its speech comes to an end of itself, after three to eight seconds, whatever the text.
    """
    folder = work / f"{model}{'-half' if half else ''}{'-ends' if ends else ''}"
    if folder.is_dir():
        return folder
    config = make_config(model)

    def load_state(part: str) -> dict[str, Tensor]:
        torch.manual_seed(len(part))
        state = {name: tensor.detach() for name, tensor in make_model(config, part).state_dict().items()}
        if part == "codec":
            state["codebooks"].normal_()
        if part == "semantic" and ends:
            _let_end(state, config)
        return state

    rng = np.random.default_rng(0)
    fine = rng.integers(0, 1024, (8, 900))
    voice = {"semantic_prompt": rng.integers(0, 10_000, 600), "coarse_prompt": fine[:2], "fine_prompt": fine}
    work.mkdir(parents=True, exist_ok=True)
    return save_checkpoint(folder, config, load_state, ROOT / "weights" / "demo" / "tokenizer.json", [("full", voice)], half)


def _let_end(state: dict[str, Tensor], config: BarkConfig) -> None:
    """Let the end become likely with the position: a channel of its own, which only the positions write and only the end reads."""
    first = config.max_text_tokens + 1
    state["wte.weight"][:, 0] = 0
    state["lm_head.weight"][:, 0] = 0
    state["lm_head.weight"][config.semantic_vocab_size, 0] = 0.36
    state["wpe.weight"][:, 0] = 0
    state["wpe.weight"][first + 150 :, 0] = 10  # from three seconds on about one step in a hundred ends
    state["wpe.weight"][first + 400 :, 0] = 200
