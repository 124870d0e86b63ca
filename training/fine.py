"""Step 7: the codes of codebooks 0 and 1 → all eight, in windows laid out as speaking lays them out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.model.transformer import FineGPT
from bark_core.stages.fine import FineRow
from training.demo import make_config
from training.loop import Plan, autocast, learning_parser, open_run, random_for, train
from training.tables import share_sound
from training.tokens import load_quantiser
from training.voices import SpokenSamples
from training.workspace import Workspace

_TURNS = (2, 3, 2, 4, 3, 2, 5, 3, 2, 6, 3, 2, 7, 3)
"""The codebook that each step learns: the first two, for the rest hold nothing."""


def make_window(config: BarkConfig, rng: np.random.Generator, spoken: SpokenSamples) -> tuple[Tensor, int, Tensor]:
    """Return a window as speaking opens it, (W, 8), the first position to fill, and the true codes (W, 8), −1 in the padding.

    Where an utterance has several windows one is picked, the earlier ones filled with what is true.
    """
    _, sample, history = spoken.draw(rng)
    row = FineRow(config, sample.codes[: config.n_coarse_codebooks], history, torch.Generator())
    past = np.zeros((config.n_fine_codebooks, 0), np.int64) if history is None else history.fine[:, -config.fine_history :]
    whole = np.concatenate([past, sample.codes], axis=1).T
    whole = np.pad(whole, ((0, max(0, config.fine_window - len(whole))), (0, 0)), constant_values=-1)
    chosen = int(rng.integers(row.n_loops))
    for turn in range(chosen):
        truth = _slice(config, whole, turn)
        row.close_window(torch.where(truth < 0, config.codebook_size, truth))
    return *row.open_window(), _slice(config, whole, chosen)


def _slice(config: BarkConfig, whole: np.ndarray, turn: int) -> Tensor:
    start = min(turn * config.fine_history, len(whole) - config.fine_window)
    return torch.from_numpy(whole[start : start + config.fine_window].copy())


def batch_loss(model: FineGPT, config: BarkConfig, windows: list[tuple[Tensor, int, Tensor]], codebook: int) -> Tensor:
    """Return the mean cross-entropy of one codebook's codes from each window's first position to fill on."""
    opened, firsts, truths = zip(*windows, strict=True)
    given, truth = torch.stack(opened), torch.stack(truths)  # (B, W, 8)
    known = torch.where((truth < 0) | (given < config.codebook_size), given, truth)
    fed = torch.cat([known[..., :codebook], given[..., codebook : codebook + 1]], dim=-1)
    x = torch.stack([model.embed(fed[..., k], k) for k in range(codebook + 1)]).sum(dim=0)
    logits = model(x, codebook, 0, config.codebook_size)
    counted = (torch.arange(truth.shape[1]) >= torch.tensor(firsts)[:, None]) & (truth[..., 0] >= 0)
    return F.cross_entropy(logits[counted].float(), truth[..., codebook][counted])


def make_model(config: BarkConfig, codebooks: Tensor) -> FineGPT:
    """Return an untrained fine model whose codes share what their codebook vectors have in common while it is trained."""
    model = FineGPT(config.fine)
    for table, vectors in zip(model.wtes, codebooks, strict=True):
        share_sound(table, vectors)
    return model


def train_fine(workspace: Workspace, steps: int) -> None:
    """Train the fine model: one codebook a step, in turn."""
    torch.manual_seed(0)
    config, spoken = make_config(workspace.smoke), SpokenSamples(workspace)
    model = make_model(config, load_quantiser(workspace).codebooks)
    drawn = range(config.n_coarse_codebooks, config.n_fine_codebooks)
    held = SpokenSamples(workspace)
    held.samples = held.held
    windows = [make_window(config, random_for(i, stream=1), held) for i in range(4 if workspace.smoke else 12)]

    def loss_of(step: int) -> Tensor:
        rng = random_for(step)
        batch = [make_window(config, rng, spoken) for _ in range(2 if workspace.smoke else 10)]
        with autocast():
            return batch_loss(model, config, batch, _TURNS[step % len(_TURNS)])

    def validate() -> dict[str, float]:
        with autocast():
            return {f"codebook {k}": float(batch_loss(model, config, windows, k)) for k in drawn}

    plan = Plan("fine", steps, rate=1e-3, warm_up=30, cool_from=0.5, validate_every=5 if workspace.smoke else 60)
    train(workspace, plan, model, loss_of, validate)


if __name__ == "__main__":
    train_fine(*open_run("fine", learning_parser("fine", "Train coarse codes to all codes.").parse_args()))
