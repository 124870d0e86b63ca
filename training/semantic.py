"""Step 5: text → semantic tokens. Words first, then phrases, then sentences, in Bark's own prompt layout."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.semantic import semantic_prompt
from bark_core.text import TextEncoder
from bark_core.transformer import CausalGPT
from training.demo import make_config, make_tokenizer
from training.loop import Plan, random_for, train
from training.recordings import shard_paths
from training.tables import join_factors, share_rows, text_factors, token_factors
from training.tokens import load_samples
from training.workspace import Workspace, argument_parser, open_workspace

POSITIONS = 4096
"""Positions in a batch, about."""

N_VALIDATION = 64


@dataclass(frozen=True, eq=False)
class Line:
    """One text as ids without offset, and its semantic tokens (S,)."""

    ids: list[int]
    semantic: np.ndarray

    @property
    def size(self) -> int:
        """Positions it takes."""
        return len(self.ids) + len(self.semantic) + 1


class Lines:
    """All lines of the teacher of durations, by stage and length; those kept for validation apart."""

    def __init__(self, workspace: Workspace, config: BarkConfig) -> None:
        self._workspace, self._encoder = workspace, TextEncoder(make_tokenizer(), config.max_text_tokens)
        self._longest = config.max_semantic_steps - 1
        self._seen: set[str] = set()
        self.stages: dict[str, list[Line]] = {}
        self.held: list[Line] = []
        self.refresh()

    def refresh(self) -> None:
        """Read shards that have come since the last time."""
        for path in shard_paths(self._workspace.need("tokens", step="tokens"), "*-rms-*"):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            lines = self.stages.setdefault(path.stem.split("-")[2], [])
            for i, sample in enumerate(load_samples(path)):
                # A final stop changes nothing of the teacher's speech, so that half the texts may have one.
                bare = i % 2 and sample.text[-1].isalnum()
                ids = self._encoder.tokenize(sample.text + "." if bare else sample.text)
                if len(ids) <= self._encoder.max_tokens and len(sample.semantic) <= self._longest:
                    lines.append(Line(ids, sample.semantic))
            if not self.held and "phrases" in path.stem:
                count = min(N_VALIDATION, len(lines) // 2)
                self.held, lines[:count] = lines[:count], []
        for lines in self.stages.values():
            lines.sort(key=lambda line: line.size)

    def draw(self, rng: np.random.Generator, weights: dict[str, float], room: int) -> list[Line]:
        """Return lines of similar length, so many that they take about POSITIONS with `room` positions besides."""
        names = [name for name in weights if self.stages.get(name)]
        shares = np.array([weights[name] for name in names])
        lines = self.stages[names[int(rng.choice(len(names), p=shares / shares.sum()))]]
        at = int(rng.integers(len(lines)))
        count = max(4, min(128, POSITIONS // (lines[at].size + room), len(lines)))
        near = lines[max(0, min(at - count, len(lines) - 3 * count)) :][: 3 * count]
        return [near[i] for i in rng.permutation(len(near))[:count]]


def stage_weights(share: float) -> dict[str, float]:
    """Return how often each stage is drawn when `share` of all steps is done: words lead, sentences follow."""
    if share < 0.08:
        return {"words": 1.0, "phrases": 0.15}
    if share < 0.3:
        return {"words": 0.3, "phrases": 0.6, "sentences": 0.1}
    return {"words": 0.12, "phrases": 0.48, "sentences": 0.4}


def batch_loss(model: CausalGPT, config: BarkConfig, lines: list[Line], histories: Sequence[np.ndarray | None], n_columns: int) -> Tensor:
    """Return the mean cross-entropy of the lines' tokens and ends.

    `n_columns`: how many of the prompt's positions are fed. All texts must end before; the pads behind are left out
    while learning is young, which saves most of the time, and every position keeps its own embedding.
    """
    prompts = [semantic_prompt(config, line.ids, past) for line, past in zip(lines, histories, strict=True)]
    text, past = (torch.stack(rows)[:, :n_columns] for rows in zip(*prompts, strict=True))  # (B, columns)
    longest = max(len(line.semantic) for line in lines)
    tokens = np.full((len(lines), longest + 1), config.semantic_pad_token)
    for row, line in zip(tokens, lines, strict=True):
        row[: len(line.semantic)] = line.semantic
    fed = np.concatenate([np.full((len(lines), 1), config.semantic_infer_token), tokens[:, :-1]], axis=1)
    x = torch.cat([model.embed(text) + model.embed(past), model.embed(torch.from_numpy(fed))], dim=1)  # (B, T, C)
    where = torch.cat([torch.arange(n_columns), config.max_text_tokens + torch.arange(longest + 1)])
    hidden = model(x + model.wpe.weight[where] - model.wpe.weight[: len(where)])[:, n_columns:]
    counted = torch.from_numpy(np.arange(longest + 1) <= np.array([[len(line.semantic)] for line in lines]))
    logits = model.lm_head(hidden[counted])
    return F.cross_entropy(logits.float(), torch.from_numpy(tokens)[counted])


def draw_histories(rng: np.random.Generator, lines: Lines, count: int) -> list[np.ndarray | None]:
    """Return what a voice would bring: the tokens of another utterance or two, for about half of the batch."""
    pool = lines.stages["phrases"]
    histories: list[np.ndarray | None] = []
    for _ in range(count):
        picked = [pool[int(rng.integers(len(pool)))].semantic for _ in range(int(rng.integers(1, 4)))]
        histories.append(np.concatenate(picked) if rng.random() < 0.6 else None)
    return histories


def make_model(config: BarkConfig) -> CausalGPT:
    """Return an untrained semantic model whose tables share rows while they are trained."""
    model = CausalGPT(config.semantic)
    tokens = token_factors(config)
    share_rows(model.wte, join_factors(tokens, text_factors(config)))
    share_rows(model.lm_head, tokens)
    return model


def validation_figures(model: CausalGPT, config: BarkConfig, held: list[Line]) -> dict[str, float]:
    """Return the loss with each line's own text and with another's (what lies between them is what the text says), and with all pads fed."""
    wrong = [Line(other.ids, line.semantic) for line, other in zip(held, [*held[1:], held[0]], strict=True)]
    columns = max(len(line.ids) for line in held)
    figures: dict[str, float] = {}
    for name, lines, fed in (("right", held, columns), ("wrong", wrong, columns), ("whole", held, config.max_text_tokens)):
        parts = [lines[i : i + 16] for i in range(0, len(lines), 16)]
        with torch.autocast("cpu", torch.bfloat16):
            losses = [batch_loss(model, config, part, [None] * len(part), fed) for part in parts]
        figures[name] = float(torch.stack(losses).mean())
    return figures


def train_semantic(workspace: Workspace, steps: int) -> None:
    """Train the semantic model."""
    torch.manual_seed(0)
    config = make_config(workspace.smoke)
    model, lines = make_model(config), Lines(workspace, config)

    def loss_of(step: int) -> Tensor:
        if step % 50 == 0:
            lines.refresh()
        rng, share = random_for(step), step / steps
        whole = rng.random() < (0.0 if share < 0.25 else 0.15 if share < 0.6 else 0.4)
        drawn = lines.draw(rng, stage_weights(share), config.max_text_tokens if whole else 0)
        longest = max(len(line.ids) for line in drawn)
        columns = config.max_text_tokens if whole else min(config.max_text_tokens, longest + int(rng.integers(1, 12)))
        histories = draw_histories(rng, lines, len(drawn)) if whole else [None] * len(drawn)
        with torch.autocast("cpu", torch.bfloat16):
            return batch_loss(model, config, drawn, histories, columns)

    plan = Plan("semantic", steps, rate=1.5e-3, cool_from=0.6, validate_every=5 if workspace.smoke else 100)
    train(workspace, plan, model, loss_of, partial(validation_figures, model, config, lines.held))


def _arguments() -> argparse.Namespace:
    parser = argument_parser("Train text to semantic tokens.")
    parser.add_argument("--steps", type=int, default=None, help="steps to train in all (default: 4000; 10 in a smoke run)")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    space = open_workspace(given)
    torch.set_num_threads(1)
    train_semantic(space, given.steps or (10 if space.smoke else 4000))
