"""Step 5: text → semantic tokens. Words first, then phrases, then sentences, in Bark's own prompt layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_core.config import BarkConfig
from bark_core.model.transformer import Block, CausalGPT
from bark_core.stages.semantic import semantic_prompt
from training.demo import make_config
from training.lines import Line, Lines
from training.loop import Plan, autocast, learning_parser, open_run, random_for, train
from training.swaps import swap_phones
from training.tables import join_factors, share_rows, text_factors, token_factors
from training.voices import pick_voices
from training.workspace import Workspace

RATE = 1.5e-3

_WATCHED_HEADS = 3
"""The heads that look at the letter being spoken, the one after it, and the one after that."""

_GAZE_WEIGHT = 0.3

_SWAPPED = 0.5
"""How many lines are learned with some of their phones swapped."""


def stage_weights(share: float) -> dict[str, float]:
    """Return how often each stage is drawn when `share` of all steps is done: words lead, sentences follow."""
    if share < 0.08:
        return {"words": 1.0, "phrases": 0.15}
    if share < 0.3:
        return {"words": 0.3, "phrases": 0.6, "sentences": 0.1}
    return {"words": 0.06, "common": 0.04, "phrases": 0.35, "wide": 0.25, "sentences": 0.27, "quantities": 0.03}


class Reader(nn.Module):
    """The semantic model, and a watch on what some heads of its last layer but one look at.

    While it learns, these heads are also taught to look at the letter that is being spoken and at the next ones. Left to
    itself, a small model finds its way through the text late, and loses it soon.
    """

    def __init__(self, config: BarkConfig) -> None:
        super().__init__()
        self.gpt = CausalGPT(config.semantic)
        tokens = token_factors(config)
        share_rows(self.gpt.wte, join_factors(tokens, text_factors(config)))
        share_rows(self.gpt.lm_head, tokens)
        self._n_head = config.semantic.n_head
        self._watched = torch.empty(0)
        block = self.gpt.h[max(0, config.semantic.n_layer - 2)]
        cast(nn.Linear, cast(Block, block).attn.c_attn).register_forward_hook(lambda _module, _given, made: setattr(self, "_watched", made))

    def forward(self, x: Tensor) -> Tensor:
        """Return hidden states (B, T, C) of embeddings (B, T, C)."""
        return self.gpt(x)

    def gaze(self, head: int, n_columns: int) -> Tensor:
        """Return, of the last run, one head's attention logits (B, T − n_columns, T) from positions `n_columns` on; −inf ahead of them."""
        q, k, _ = self._watched.unflatten(-1, (3, self._n_head, -1))[:, :, :, head].unbind(2)  # (B, T, D)
        scores = q[:, n_columns:] @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        ahead = torch.ones(scores.shape[1:], dtype=torch.bool).triu(n_columns + 1)
        return scores.float().masked_fill(ahead, -torch.inf)


def batch_losses(
    model: Reader, config: BarkConfig, lines: list[Line], histories: Sequence[np.ndarray | None], n_columns: int
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropies of the lines' tokens and ends, and of the letters that the watched heads ought to look at.

    `n_columns`: how many of the prompt's positions are fed. All texts must end before; the pads behind are left out
    while learning is young, which saves most of the time, and every position keeps its own embedding.
    """
    gpt = model.gpt
    prompts = [semantic_prompt(config, line.ids, past) for line, past in zip(lines, histories, strict=True)]
    text, past = (torch.stack(rows)[:, :n_columns] for rows in zip(*prompts, strict=True))  # (B, columns)
    longest = max(len(line.semantic) for line in lines)
    tokens = np.full((len(lines), longest + 1), config.semantic_pad_token)
    places = np.zeros((len(lines), longest + 1), np.int64)
    for row, place, line in zip(tokens, places, lines, strict=True):
        row[: len(line.semantic)] = line.semantic
        place[: len(line.semantic)] = line.letters
        place[len(line.semantic)] = len(line.ids) - 1
    fed = np.concatenate([np.full((len(lines), 1), config.semantic_infer_token), tokens[:, :-1]], axis=1)
    x = torch.cat([gpt.embed(text) + gpt.embed(past), gpt.embed(torch.from_numpy(fed))], dim=1)  # (B, T, C)
    where = torch.cat([torch.arange(n_columns), config.max_text_tokens + torch.arange(longest + 1)])
    hidden = model(x + gpt.wpe.weight[where] - gpt.wpe.weight[: len(where)])
    counted = torch.from_numpy(np.arange(longest + 1) <= np.array([[len(line.semantic)] for line in lines]))
    logits = gpt.lm_head(hidden[:, n_columns:][counted])
    spoken = F.cross_entropy(logits.float(), torch.from_numpy(tokens)[counted])
    last = torch.tensor([[len(line.ids) - 1] for line in lines])
    looked = [
        F.cross_entropy(model.gaze(head, n_columns)[counted], torch.minimum(torch.from_numpy(places) + head, last)[counted])
        for head in range(min(_WATCHED_HEADS, config.semantic.n_head))
    ]
    return spoken, torch.stack(looked).mean()


def draw_histories(rng: np.random.Generator, lines: Lines, presets: list[np.ndarray], count: int) -> list[np.ndarray | None]:
    """Return what a voice would bring, for six lines in ten: a preset's tokens, or those of another utterance or two."""
    pool = lines.stages["phrases"]
    histories: list[np.ndarray | None] = []
    for _ in range(count):
        if rng.random() < 0.4:
            histories.append(None)
        elif rng.random() < 0.5:
            histories.append(presets[int(rng.integers(len(presets)))])
        else:
            picked = [pool[int(rng.integers(len(pool)))].semantic for _ in range(1 + int(rng.random() < 0.3))]
            histories.append(np.concatenate(picked))
    return histories


def swap(rng: np.random.Generator, line: Line) -> Line:
    """Return a line with some of its phones swapped for others."""
    return Line(*swap_phones(rng, line.ids, line.semantic, line.letters), line.letters)


def validation_figures(model: Reader, config: BarkConfig, held: list[Line]) -> dict[str, float]:
    """Return the loss with each line's own text and with another's (what lies between them is what the text says), and with all pads fed."""
    wrong = [Line(other.ids, line.semantic, line.letters) for line, other in zip(held, [*held[1:], held[0]], strict=True)]
    columns = max(len(line.ids) for line in held)
    figures: dict[str, float] = {}
    for name, lines, fed in (("right", held, columns), ("wrong", wrong, columns), ("whole", held, config.max_text_tokens)):
        parts = [lines[i : i + 16] for i in range(0, len(lines), 16)]
        with autocast():
            losses = [batch_losses(model, config, part, [None] * len(part), fed) for part in parts]
        figures[name], places = (float(torch.stack(each).mean()) for each in zip(*losses, strict=True))
        if name == "right":
            figures["places"] = places
    return figures


def train_semantic(workspace: Workspace, steps: int, rate: float = RATE) -> None:
    """Train the semantic model."""
    torch.manual_seed(0)
    config = make_config(workspace.smoke)
    model, lines = Reader(config), Lines(workspace, config)
    presets = [voice.semantic for voice in pick_voices(workspace).values()]

    def loss_of(step: int) -> Tensor:
        if step % 50 == 0:
            lines.refresh()
        rng, share = random_for(step), step / steps
        whole = rng.random() < (0.0 if share < 0.25 else 0.4)
        drawn = lines.draw(rng, stage_weights(share), config.max_text_tokens if whole else 0)
        longest = max(len(line.ids) for line in drawn)
        columns = config.max_text_tokens if whole else min(config.max_text_tokens, longest + int(rng.integers(1, 12)))
        histories = draw_histories(rng, lines, presets, len(drawn)) if whole else [None] * len(drawn)
        drawn = [swap(rng, line) if rng.random() < _SWAPPED else line for line in drawn]
        with autocast():
            spoken, places = batch_losses(model, config, drawn, histories, columns)
            return spoken + _GAZE_WEIGHT * places

    plan = Plan("semantic", steps, rate=rate, cool_from=0.7, validate_every=5 if workspace.smoke else 100)
    train(workspace, plan, model, loss_of, partial(validation_figures, model, config, lines.held))


if __name__ == "__main__":
    arguments = learning_parser("semantic", "Train text to semantic tokens.", RATE).parse_args()
    train_semantic(*open_run("semantic", arguments), arguments.rate)
