"""The cache: what is computed step by step equals what is computed at once, and memory never moves."""

from __future__ import annotations

import pytest
import torch

from bark_core.config import GPTConfig
from bark_core.engine.loop import Engine
from bark_core.model.cache import KVCache
from bark_core.model.transformer import CausalGPT

CONFIG = GPTConfig(n_layer=3, n_head=2, n_embd=64, input_vocab_size=200, output_vocab_size=200, block_size=64)


@pytest.fixture(scope="module")
def model() -> CausalGPT:
    torch.manual_seed(1)
    made = CausalGPT(CONFIG).requires_grad_(False)
    for parameter in made.parameters():
        parameter.mul_(3)
    return made


@pytest.mark.parametrize("split", [1, 2, 20, 39, 40])
@torch.inference_mode()
def test_cached_is_uncached(model: CausalGPT, split: int) -> None:
    tokens = torch.randint(200, (40,), generator=torch.Generator().manual_seed(split))
    whole = model(model.embed(tokens)[None])[0]
    engine = Engine(model, 1)
    rows = [engine.prefill(model.embed(tokens[:split]), 0, 0)]
    rows += [engine.step([int(tokens[at])], [at]) for at in range(split, 40)]
    torch.testing.assert_close(torch.cat(rows), whole[split - 1 :], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "second"), [(10, 25), (1, 2), (39, 40), (20, 21)])
@torch.inference_mode()
def test_prefill_goes_on_where_another_ended(model: CausalGPT, first: int, second: int) -> None:
    tokens = torch.randint(200, (second,), generator=torch.Generator().manual_seed(first))
    engine, other = Engine(model, 1), Engine(model, 1)
    engine.prefill(model.embed(tokens[:first]), 0, 0)
    parts = engine.prefill(model.embed(tokens[first:]), 0, first)
    torch.testing.assert_close(parts, other.prefill(model.embed(tokens), 0, 0), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_what_a_row_held_before_never_shows(model: CausalGPT) -> None:
    tokens = torch.arange(12)
    fresh, used = Engine(model, 2), Engine(model, 2)
    used.cache.keys.fill_(50)
    used.cache.values.fill_(50)
    for engine in (fresh, used):
        engine.prefill(model.embed(tokens), 0, 0)
        engine.prefill(model.embed(tokens[:5]), 1, 0)
    assert torch.equal(fresh.step([3, 4], [12, 5]), used.step([3, 4], [12, 5]))


def test_rows_move_whole_and_memory_stays() -> None:
    cache = KVCache(2, 3, 8, 4, torch.float32, "cpu")
    addresses = cache.keys.data_ptr(), cache.values.data_ptr()
    span = torch.arange(20.0).view(1, 5, 4)
    keys, values = cache.write_span(1, 2, 1, span, span + 100)
    assert keys.shape == (1, 6, 4) and torch.equal(keys[0, 1:], span[0]) and torch.equal(values[0, 1:], span[0] + 100)
    cache.move_row(2, 0, 6)
    assert torch.equal(cache.keys[:, 0], cache.keys[:, 2]) and torch.equal(cache.values[:, 0], cache.values[:, 2])
    keys, _ = cache.write_step(0, torch.tensor([4, 6]), 7, torch.ones(2, 1, 4), torch.ones(2, 1, 4))
    assert keys.shape == (2, 7, 4) and keys[0, 4].tolist() == [1.0] * 4 and keys[1, 6].tolist() == [1.0] * 4
    assert float(cache.keys[0].sum()) == 8
    assert addresses == (cache.keys.data_ptr(), cache.values.data_ptr())
