"""Step 6: semantic tokens → the codes of codebooks 0 and 1, in the very windows that speaking uses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.model.transformer import CausalGPT
from bark_core.stages.coarse import CoarseRow
from bark_core.types import History
from training.aim import aim_at_tokens
from training.demo import make_config
from training.loop import Plan, autocast, learning_parser, open_run, random_for, train
from training.tables import share_rows, share_sound, token_factors
from training.tokens import Sample, load_quantiser
from training.voices import SpokenSamples, as_history
from training.workspace import VOICES, Workspace

RATE = 1.5e-3

_FIRST_SHARE = 0.5
"""How often a sample without a voice is taken up at its first window."""

_BARE = 8
"""Codes at the start of a cut-off history that are not learned from: nothing before them tells how they go on."""


class _Ids(SimpleNamespace):
    """Stands where CoarseRow wants a model, so that its prompts come as ids and not as embeddings."""

    def embed(self, ids: Tensor) -> Tensor:
        return ids


_AS_IDS = cast(CausalGPT, _Ids(wpe=SimpleNamespace(weight=torch.zeros(1))))


def make_window(config: BarkConfig, sample: Sample, history: History | None, window: int) -> tuple[np.ndarray, int]:
    """Return the ids of a sample's n-th window, its prompt and the codes to come, and how many of them come before the first code."""
    row = CoarseRow(_AS_IDS, config, sample.semantic, history, torch.Generator())
    first = window * config.sliding_window
    flat = sample.codes[: config.n_coarse_codebooks].T.reshape(-1)[: row.n_steps]
    for code in flat[:first].tolist():
        row.accept(code)
    prompt = row.prompt()
    assert prompt is not None
    coming = flat[first : first + config.sliding_window]
    offsets = config.semantic_vocab_size + config.codebook_size * (np.arange(len(coming)) % config.n_coarse_codebooks)
    return np.concatenate([prompt[0].numpy(), coming + offsets]), config.coarse_semantic_window + 1


def count_windows(config: BarkConfig, sample: Sample) -> int:
    """Return how many windows a sample takes."""
    return -(-sample.codes.shape[1] * config.n_coarse_codebooks // config.sliding_window)


def batch_loss(model: CausalGPT, config: BarkConfig, rows: list[np.ndarray], begin: int, rng: np.random.Generator | None) -> Tensor:
    """Return the mean cross-entropy of the codes in windows whose first `begin` ids are prompt; with `rng`, some of what is fed is wrong."""
    longest = max(map(len, rows))
    ids = torch.from_numpy(np.stack([np.pad(row, (0, longest - len(row)), constant_values=-1) for row in rows]))
    fed = ids.clamp(min=0)
    if rng is not None:
        # What is drawn when speaking is never quite what was learned from: some codes fed are swapped for others.
        swapped = torch.from_numpy(rng.random(fed.shape) < 0.3 * rng.random((len(rows), 1)) * (rng.random((len(rows), 1)) < 0.7))
        swapped[:, :begin] = False
        others = fed[:, torch.from_numpy(begin + (rng.permutation((longest - begin) // 2)[:, None] * 2 + [0, 1]).reshape(-1))]
        tail = others.shape[1]
        same = fed[:, begin : begin + tail] - others < config.codebook_size
        same &= others - fed[:, begin : begin + tail] < config.codebook_size
        fed[:, begin : begin + tail] = torch.where(swapped[:, begin : begin + tail] & same, others, fed[:, begin : begin + tail])
    hidden = model(model.embed(fed[:, :-1]))[:, begin - 1 :]
    targets = ids[:, begin:].clone()
    full = torch.tensor([len(row) - begin > config.sliding_window for row in rows])
    targets[full, :_BARE] = -1
    losses = []
    for codebook in range(config.n_coarse_codebooks):
        first = config.semantic_vocab_size + codebook * config.codebook_size
        mine = (targets >= first) & (targets < first + config.codebook_size)
        logits = model.lm_head(hidden[mine], first, config.codebook_size)
        losses.append(F.cross_entropy(logits.float(), targets[mine] - first))
    return torch.stack(losses).mean()


def make_model(config: BarkConfig, codebooks: Tensor) -> CausalGPT:
    """Return an untrained coarse model whose tables share rows while they are trained."""
    model = CausalGPT(config.coarse)
    aim_at_tokens(model, config)
    share_rows(model.wte, token_factors(config))
    for module in (model.wte, model.lm_head):
        for codebook in range(config.n_coarse_codebooks):
            share_sound(module, codebooks[codebook], config.semantic_vocab_size + codebook * config.codebook_size)
    return model


def validation_windows(config: BarkConfig, spoken: SpokenSamples) -> dict[str, list[np.ndarray]]:
    """Return windows of held samples: by voice each sample's first but one, with a prompt of the same voice; and the first without any."""
    windows: dict[str, list[np.ndarray]] = {}
    for voice in VOICES:
        held = spoken.held[voice]
        histories = [as_history([sample]) for sample in [*held[1:], *held[:1]]]
        pairs = [(s, h) for s, h in zip(held, histories, strict=True) if count_windows(config, s) > 1]
        windows[voice] = [make_window(config, sample, history, 1)[0] for sample, history in pairs]
    windows["no voice"] = [make_window(config, sample, None, 0)[0] for sample in spoken.held[VOICES[0]]]
    return windows


def train_coarse(workspace: Workspace, steps: int, rate: float = RATE) -> None:
    """Train the coarse model."""
    torch.manual_seed(0)
    config, spoken = make_config(workspace.smoke), SpokenSamples(workspace)
    model = make_model(config, load_quantiser(workspace).codebooks)
    begin, count = config.coarse_semantic_window + 1, 4 if workspace.smoke else 16
    held = validation_windows(config, spoken)

    def loss_of(step: int) -> Tensor:
        rng = random_for(step)
        rows = []
        for _ in range(count):
            _, sample, history = spoken.draw(rng)
            # Without a voice nothing tells how to begin: that has to be learned more often than it comes by.
            first = history is None and rng.random() < _FIRST_SHARE
            window = 0 if first else int(rng.integers(count_windows(config, sample)))
            rows.append(make_window(config, sample, history, window)[0])
        with autocast():
            return batch_loss(model, config, rows, begin, rng)

    def validate() -> dict[str, float]:
        with autocast():
            return {voice: float(batch_loss(model, config, rows, begin, None)) for voice, rows in held.items()}

    plan = Plan("coarse", steps, rate=rate, cool_from=0.5, validate_every=5 if workspace.smoke else 50)
    train(workspace, plan, model, loss_of, validate)


if __name__ == "__main__":
    arguments = learning_parser("coarse", "Train semantic tokens to coarse codes.", RATE).parse_args()
    train_coarse(*open_run("coarse", arguments), arguments.rate)
