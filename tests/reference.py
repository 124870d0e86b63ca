"""Bark computed slowly and plainly: no cache, everything recomputed, one sequence, one generator. What the fast core is held against.

Written from the description of the original alone. Takes a configuration's numbers and plain state dicts; shares no code
with bark_core. A `guide` (near_ties.Guide) is asked about every draw, and its answer is gone on with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

State = dict[str, Tensor]


def layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    out = (x - mean) / torch.sqrt(variance + 1e-5) * state[f"{name}.weight"]
    return out + state[f"{name}.bias"] if f"{name}.bias" in state else out


def linear(x: Tensor, state: State, name: str) -> Tensor:
    out = x @ state[f"{name}.weight"].T
    return out + state[f"{name}.bias"] if f"{name}.bias" in state else out


def run_blocks(x: Tensor, state: State, n_layer: int, n_head: int, causal: bool) -> Tensor:
    """Run embeddings (T, C) through all blocks and the last norm."""
    n, width = x.shape
    size = width // n_head
    for i in range(n_layer):
        q, k, v = linear(layer_norm(x, state, f"h.{i}.ln_1"), state, f"h.{i}.attn.c_attn").split(width, dim=1)
        heads = []
        for h in range(n_head):
            part = slice(h * size, (h + 1) * size)
            scores = q[:, part] @ k[:, part].T / math.sqrt(size)
            if causal:
                scores = scores + torch.full((n, n), -math.inf).triu(1)
            heads.append(torch.softmax(scores, dim=-1) @ v[:, part])
        x = x + linear(torch.cat(heads, dim=1), state, f"h.{i}.attn.c_proj")
        wide = linear(layer_norm(x, state, f"h.{i}.ln_2"), state, f"h.{i}.mlp.c_fc")
        x = x + linear(wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2))), state, f"h.{i}.mlp.c_proj")
    return layer_norm(x, state, "ln_f")


def causal_logits(x: Tensor, state: State, sizes: Any, n_last: int = 1) -> Tensor:
    """Return the logits (n_last, V) of the last positions of token embeddings (T, C)."""
    hidden = run_blocks(x + state["wpe.weight"][: len(x)], state, sizes.n_layer, sizes.n_head, causal=True)
    return hidden[-n_last:] @ state["lm_head.weight"].T


class Sequence:
    """A prompt (T, C) and the tokens drawn after it, recomputed whole at each step.

    Where a guide knows the tokens to come, one pass over them all gives every step's logits, since a position sees none
    after it: the same sums, in a sixtieth of the time.
    """

    def __init__(self, prompt: Tensor, state: State, sizes: Any, expected: list[int]) -> None:
        self._prompt, self._state, self._sizes = prompt, state, sizes
        self._expected = expected[: len(state["wpe.weight"]) - len(prompt)]
        self.tokens: list[int] = []
        self._rows = self._compute(self._expected, len(self._expected) + 1)

    def _compute(self, tokens: list[int], n_last: int) -> Tensor:
        x = torch.cat([self._prompt, self._state["wte.weight"][tokens]]) if tokens else self._prompt
        return causal_logits(x, self._state, self._sizes, n_last)

    def logits(self) -> Tensor:
        """Return the logits (V,) of the next token."""
        if self.tokens == self._expected[: len(self.tokens)]:
            return self._rows[len(self.tokens)]
        return self._compute(self.tokens, 1)[0]


def filtered(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Put −inf where top-p, then top-k, rules a logit out."""
    if top_p is not None:
        values = logits.numpy().copy()
        order = np.argsort(values)[::-1]
        cumulative = np.cumsum(softmax(values[order]))
        for place, index in enumerate(order):
            if place > 0 and cumulative[place - 1] > top_p:
                values[index] = -np.inf
        logits = torch.from_numpy(values)
    if top_k is not None:
        least = torch.topk(logits, min(top_k, len(logits))).values[-1]
        logits = torch.where(logits < least, torch.tensor(-math.inf), logits)
    return logits


def draw(logits: Tensor, generator: torch.Generator, options: dict[str, Any], guide: Any = None) -> tuple[int, Tensor]:
    """Draw one index; return it, or what the guide makes of it, and the probabilities it came from."""
    state = generator.get_state()
    index, probs = draw_once(logits, generator, **options)
    if guide is not None:
        again = torch.Generator()

        def redraw(nudged: Tensor) -> Tensor:
            return torch.tensor([draw_once(nudged[0], again.set_state(state), **options)[0]])

        index = int(guide.settle(logits[None], torch.tensor([index]), redraw)[0])
    return index, probs


def draw_once(
    logits: Tensor, generator: torch.Generator, temperature: float = 0.7, top_k: int | None = None, top_p: float | None = None
) -> tuple[int, Tensor]:
    """Draw one index; return it and the probabilities it came from."""
    logits = filtered(logits, top_k, top_p)
    if temperature == 0:
        return int(torch.argmax(logits)), torch.softmax(logits, dim=-1)
    probs = torch.softmax(logits / temperature, dim=-1)
    return int(torch.multinomial(probs, 1, generator=generator)), probs


def semantic_once(config: Any, state: State, ids: list[int], voice: Any, generator: torch.Generator, options: dict[str, Any], guide: Any = None) -> list[int]:
    """Stage 1 of one text, drawn once: it may end at once and give nothing."""
    text = [token + config.text_encoding_offset for token in ids] + [config.text_pad_token] * (config.max_text_tokens - len(ids))
    past = [] if voice is None else voice.semantic.tolist()[-config.max_text_tokens :]
    past = past + [config.semantic_pad_token] * (config.max_text_tokens - len(past))
    wte = state["wte.weight"]
    prompt = torch.cat([wte[text] + wte[past], wte[[config.semantic_infer_token]]])
    sequence = Sequence(prompt, state, config.semantic, [] if guide is None else guide.peek(config.max_semantic_steps))
    tokens, seconds = sequence.tokens, 0.0
    min_eos_p, max_seconds = options.get("min_eos_p", 0.2), options.get("max_seconds")
    while len(tokens) < config.max_semantic_steps:
        logits = sequence.logits()[: config.semantic_vocab_size + 1]
        index, probs = draw(logits, generator, sampling(options), guide)
        stops = index == config.semantic_vocab_size or (min_eos_p is not None and np.float32(probs[-1]) >= np.float32(min_eos_p))
        if guide is not None:
            stops = bool(guide.settle_stop(torch.tensor([stops]), probs[None, -1], min_eos_p)[0])
        if stops:
            break
        tokens.append(index)
        seconds += 1 / config.semantic_rate_hz
        if max_seconds is not None and seconds > max_seconds:
            break
    return tokens


def sampling(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of a stage's options that say how it draws."""
    return {name: options[name] for name in ("temperature", "top_k", "top_p") if name in options}


def semantic(
    config: Any, state: State, ids: list[int], voice: Any, generator: torch.Generator, guide: Any = None, **options: Any
) -> list[int]:
    """Stage 1: drawn again, at most three times, where the speech ends before its first token."""
    for _ in range(4):
        tokens = semantic_once(config, state, ids, voice, generator, options, guide)
        if tokens:
            return tokens
    return []


def coarse(
    config: Any, state: State, new: list[int], voice: Any, generator: torch.Generator, guide: Any = None, **options: Any
) -> np.ndarray:
    """Stage 2: codes of codebooks 0 and 1, (2, T)."""
    ratio = config.coarse_rate_hz / config.semantic_rate_hz * 2
    n_past = math.floor(config.max_coarse_history / ratio)
    past_semantic: list[int] = []
    flat: list[int] = []
    offsets = [config.semantic_vocab_size, config.semantic_vocab_size + config.codebook_size]
    if voice is not None:
        whole = [int(code) + offsets[book] for frame in voice.coarse.T for book, code in enumerate(frame)]
        n = min(n_past, len(voice.semantic) - len(voice.semantic) % 2, math.floor(len(whole) / ratio))
        past_semantic = voice.semantic.tolist()[-n:]
        flat = whole[-round(n * ratio) :][:-2]
    steps = round(math.floor(len(new) * ratio / 2) * 2)
    tokens = past_semantic + new
    wte, made = state["wte.weight"], 0
    start = len(flat)
    while made < steps:
        at = len(past_semantic) + round(made / ratio)
        window = tokens[max(0, at - n_past) :][: config.coarse_semantic_window]
        window = window + [config.coarse_semantic_pad_token] * (config.coarse_semantic_window - len(window))
        ids = [*window, config.coarse_infer_token, *flat[-config.max_coarse_history :]]
        n_steps = min(config.sliding_window, steps - made)
        expected = [] if guide is None else [offsets[(made + k) % 2] + index for k, index in enumerate(guide.peek(n_steps))]
        sequence = Sequence(wte[ids], state, config.coarse, expected)
        for _ in range(n_steps):
            first = offsets[made % 2]
            index, _probs = draw(sequence.logits()[first : first + config.codebook_size], generator, sampling(options), guide)
            sequence.tokens.append(first + index)
            flat.append(first + index)
            made += 1
    frames = np.array(flat[start:], dtype=np.int64).reshape(-1, 2)
    return (frames - np.array(offsets)).T


def fine(
    config: Any, state: State, codes: np.ndarray, voice: Any, generator: torch.Generator, temperature: float = 0.5, guide: Any = None
) -> np.ndarray:
    """Stage 3: codes of all codebooks, (8, T)."""
    n_new, pad, window, hop = codes.shape[1], config.codebook_size, config.fine_window, config.fine_history
    array = np.full((n_new, 8), pad, dtype=np.int64)
    array[:, :2] = codes.T
    n_past = 0
    if voice is not None:
        past = voice.fine[:, -hop:].T
        n_past = len(past)
        array = np.concatenate([past, array])
    if len(array) < window:
        array = np.concatenate([array, np.full((window - len(array), 8), pad, dtype=np.int64)])
    for loop in range(max(0, math.ceil((n_new - (window - n_past)) / hop)) + 1):
        start = min(loop * hop, len(array) - window)
        fill = min(n_past + loop * hop, len(array) - hop)
        rel = fill - start
        buffer = torch.from_numpy(array[start : start + window].copy())
        for book in range(2, 8):
            x = state["wpe.weight"][:window].clone()
            for each in range(book + 1):
                x = x + state[f"wtes.{each}.weight"][buffer[:, each]]
            hidden = run_blocks(x, state, config.fine.n_layer, config.fine.n_head, causal=False)
            logits = (hidden @ state[f"wtes.{book}.weight"].T)[rel:, : config.codebook_size]
            before = generator.get_state()
            drawn = draw_codes(logits, temperature, generator)
            if guide is not None:
                again = torch.Generator().set_state(before)
                drawn = guide.settle(logits, drawn, lambda nudged, again=again: draw_codes(nudged, temperature, again))
            buffer[rel:, book] = drawn
        array[fill : start + window] = buffer[rel:].numpy()
    return array[n_past : n_past + n_new].T.copy()


def draw_codes(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw one code for each row of logits (T, V): (T,)."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=generator)[:, 0]
