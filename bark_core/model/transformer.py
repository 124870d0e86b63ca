"""The GPTs of Bark: one block, a causal model for the semantic and coarse stages, a bidirectional one for the fine stage.

Weights and arithmetic only: no sampling, no files, no device or precision choice. Parameter names are the released
files' without their leading `transformer.`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_core.config import FineConfig, GPTConfig
from bark_core.model.cache import KVCache

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q, k, v), each (B, T, C) → what the positions gathered, (B, T, C)."""


def _attention(q: Tensor, k: Tensor, v: Tensor, n_head: int, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Attend with q (B, Tq, C) to k and v (B, Tk, C). `mask`: 0 where a key may be read, else −inf, broadcastable to (B, H, Tq, Tk).

    One of truth values would be turned into such a one here, in every layer.
    """
    q, k, v = (each.unflatten(-1, (n_head, -1)).transpose(1, 2) for each in (q, k, v))  # (B, H, T, D)
    gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return gathered.transpose(1, 2).flatten(-2)  # (B, Tq, C)


class SelfAttention(nn.Module):
    """Fused qkv projection, attention by the caller's rule, output projection."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        q, k, v = self.c_attn(x).chunk(3, dim=-1)
        return self.c_proj(attend(layer, q, k, v))


class MLP(nn.Module):
    """Four times as wide inside, with the exact (erf) GELU."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    """One pre-norm block: x (B, T, C) → (B, T, C)."""

    def __init__(self, config: GPTConfig, norm_bias: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5, bias=norm_bias)
        self.attn = SelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5, bias=norm_bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        x = x + self.attn(self.ln_1(x), layer, attend)
        return x + self.mlp(self.ln_2(x))


class Head(nn.Module):
    """A linear head without bias of which only the rows that can be drawn are computed."""

    def __init__(self, n_embd: int, vocab_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty((vocab_size, n_embd), dtype=torch.float32))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, hidden: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """Return the logits of tokens first … first + count, (…, count)."""
        stop = None if count is None else first + count
        return F.linear(hidden, self.weight[first:stop])


class CausalGPT(nn.Module):
    """The semantic or the coarse model. Works on embeddings, since the semantic prompt is a sum of two of them."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.wte: nn.Module = nn.Embedding(config.input_vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config, norm_bias=config.bias) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5, bias=config.bias)
        self.lm_head = Head(config.n_embd, config.output_vocab_size)
        self.apply(_init_weights)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the token embeddings of (…,) ids, (…, C), without positions."""
        return self.wte(tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Run token embeddings (B, T, C) at positions 0 … T − 1 without a cache; return hidden states (B, T, C). The plain path: training, tests."""
        return self._run(x + self.wpe.weight[: x.shape[1]], lambda _, q, k, v: _attention(q, k, v, self.config.n_head, causal=True))

    def prefill(self, x: Tensor, cache: KVCache, row: int, start: int) -> Tensor:
        """Feed token embeddings (T, C) at start … start + T of one row; return the last position's hidden state (1, C).

        The cache must hold that row's positions before `start`.
        """
        n_new = x.shape[0]
        mask = None
        if start and n_new > 1:
            mask = torch.full((n_new, start + n_new), -torch.inf, dtype=x.dtype, device=x.device).triu(start + 1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.write_span(layer, row, start, k, v)
            return _attention(q, keys, values, self.config.n_head, mask, causal=start == 0)

        x = x + self.wpe.weight[start : start + n_new]
        return self._run(x[None], attend)[:, -1]

    def step(self, tokens: Tensor, positions: Tensor, cache: KVCache, n_keys: int, mask: Tensor | None) -> Tensor:
        """Feed one token to each of rows 0 … B − 1; return hidden states (B, C).

        tokens, positions: (B,). Each row reads its first `n_keys` keys where `mask` (B, 1, 1, n_keys) is 0, not −inf; None: all.
        """
        x = self.wte(tokens) + self.wpe(positions)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.write_step(layer, positions, n_keys, k, v)
            return _attention(q, keys, values, self.config.n_head, mask)

        return self._run(x[:, None], attend)[:, 0]

    def _run(self, x: Tensor, attend: Attend) -> Tensor:
        for layer, block in enumerate(self.h):
            x = block(x, layer, attend)
        return self.ln_f(x)


class FineGPT(nn.Module):
    """The fine model: a sum of codebook embeddings in, the logits of one further codebook out; every position sees every other.

    The head of codebook i is the embedding of codebook i (tied, as in the released weights: n_codes_given = 1).
    """

    def __init__(self, config: FineConfig) -> None:
        super().__init__()
        self.config = config
        self.wtes = nn.ModuleList(nn.Embedding(config.input_vocab_size, config.n_embd) for _ in range(config.n_codes_total))
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config, norm_bias=True) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.run_blocks: Callable[[Tensor, int], Tensor] = self.run_in_torch  # runtime.py may know a faster way
        self.apply(_init_weights)

    def embed(self, codes: Tensor, codebook: int) -> Tensor:
        """Return one codebook's embeddings of (…,) codes, (…, C)."""
        return self.wtes[codebook](codes)

    def forward(self, x: Tensor, codebook: int, first: int = 0, count: int | None = None) -> Tensor:
        """Run summed embeddings (B, T, C); return `codebook`'s first `count` logits at positions first … T − 1, (B, T − first, count)."""
        hidden = self.run_blocks(x + self.wpe.weight[: x.shape[1]], first)
        weight = cast(nn.Embedding, self.wtes[codebook]).weight[:count]
        # In float32 where the blocks gave that: many CPUs have no products of 16 bits, and emulate them at a tenth of the speed.
        return F.linear(hidden, weight.to(hidden.dtype))

    def run_in_torch(self, x: Tensor, first: int) -> Tensor:
        """Run embeddings with positions (B, T, C) through all blocks; return the normed hidden states at first … T − 1, (B, T − first, C)."""
        for layer, block in enumerate(self.h):
            x = block(x, layer, lambda _, q, k, v: _attention(q, k, v, self.config.n_head))
        return self.ln_f(x[:, first:])


def _init_weights(module: nn.Module) -> None:
    """Start Linears and embeddings small, as GPT-2 does, for whoever trains."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
