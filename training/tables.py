"""Embedding tables that learn from less: rows that have something in common share a part of themselves while they are trained.

A row is its own weight plus one row of each factor it has: the phone, the pitch class and the countdown of a semantic
token, the character of a piece of text. A code's row also has a projection of its codebook vector, so that codes that
sound alike start alike. Folding adds the parts up, so that a checkpoint holds plain tables.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bark_core.config import BarkConfig
from training.demo import list_pieces
from training.lexicon import SIGNS
from training.phonetokens import REMAINING, split_tokens


class SharedRows(nn.Module):
    """Adds factor rows to a table (V, C). `factors`: index arrays (V',), V' ≤ V, of −1 where a row lacks the factor."""

    def __init__(self, factors: list[np.ndarray], n_rows: int, width: int) -> None:
        super().__init__()
        padded = [np.pad(factor, (0, n_rows - len(factor)), constant_values=-1) + 1 for factor in factors]
        self.register_buffer("index", torch.from_numpy(np.stack(padded).astype(np.int64)), persistent=False)
        self.tables = nn.ModuleList(nn.Embedding(int(factor.max()) + 1, width, padding_idx=0) for factor in padded)
        for table in self.tables:
            nn.init.normal_(cast(nn.Embedding, table).weight[1:], std=0.02)

    def forward(self, weight: Tensor) -> Tensor:
        index = cast(Tensor, self.index)
        return weight + sum(table(row) for table, row in zip(self.tables, index, strict=True))


class SharedSound(nn.Module):
    """Adds to a table (V, C), from row `first` on, the codebook vectors (N, D) of its codes under a learned projection."""

    def __init__(self, vectors: Tensor, first: int, width: int) -> None:
        super().__init__()
        self.first = first
        # Each codebook corrects the one before it and is smaller: a code's place within its own is what matters.
        self.register_buffer("vectors", vectors / vectors.std().clamp(min=1e-6), persistent=False)
        self.projection = nn.Linear(vectors.shape[1], width, bias=False)
        nn.init.normal_(self.projection.weight, std=0.02 / vectors.shape[1] ** 0.5 * 2)

    def forward(self, weight: Tensor) -> Tensor:
        rows = self.projection(cast(Tensor, self.vectors)).to(weight.dtype)
        return weight + F.pad(rows, (0, 0, self.first, len(weight) - self.first - len(rows)))


def token_factors(config: BarkConfig) -> list[np.ndarray]:
    """Return the factors of the semantic tokens: phone with pitch class, phone, pitch class, countdown, phone with "last token"."""
    tokens = np.arange(config.semantic_vocab_size)
    phones, heights, remaining = split_tokens(tokens)
    return [tokens // REMAINING, phones, heights, remaining, phones * 2 + (remaining == 0)]


def text_factors(config: BarkConfig) -> list[np.ndarray]:
    """Return the factors of the pieces of text: the character, the phone that it is a sign of, whatever its stress, and whether it begins a word."""
    character = np.full(config.text_pad_token, -1)
    phone, begins = character.copy(), character.copy()
    plain = {sign: name.rstrip("01") for name, sign in SIGNS.items()}
    names, seen = sorted(set(plain.values())), dict[str, int]()
    for piece, number in list_pieces().items():
        bare = piece.removeprefix("##")
        if len(bare) == 1:
            row = config.text_encoding_offset + number
            character[row] = seen.setdefault(bare, len(seen))
            phone[row] = names.index(plain[bare]) if bare in plain else -1
            begins[row] = int(bare == piece)
    return [character, phone, begins]


def join_factors(*groups: list[np.ndarray]) -> list[np.ndarray]:
    """Return all factors of several groups, padded to one length."""
    longest = max(len(factor) for group in groups for factor in group)
    return [np.pad(factor, (0, longest - len(factor)), constant_values=-1) for group in groups for factor in group]


def share_rows(module: nn.Module, factors: list[np.ndarray]) -> None:
    """Let a module's `weight` (V, C) share rows by these factors."""
    weight = cast(Tensor, module.weight)
    parametrize.register_parametrization(module, "weight", SharedRows(factors, *weight.shape))


def share_sound(module: nn.Module, vectors: Tensor, first: int = 0) -> None:
    """Let the rows of a module's `weight` (V, C) from `first` on share what their codebook vectors (N, D) have in common."""
    weight = cast(Tensor, module.weight)
    parametrize.register_parametrization(module, "weight", SharedSound(vectors, first, weight.shape[1]))


def fold_tables(model: nn.Module) -> None:
    """Fold shared rows into plain tables, in place."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
