"""Each stage's logits and the codec's audio against transformers' on the same random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.engine.loop import Engine
from bark_core.engine.runtime import make_model
from tests.checkpoints import random_states, tiny_config, transformers_config, transformers_tensors
from tests.oracle import import_transformers


def check_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)



@pytest.fixture(scope="module", params=[False, True], ids=["no bias", "bias"])
def both(request: pytest.FixtureRequest) -> tuple[BarkConfig, dict[str, Any], Any]:
    """A configuration, our models and transformers' with the same weights, large enough for logits of some units."""
    transformers = import_transformers()
    config = tiny_config(width=64, n_layer=3, n_filters=4, bias=request.param)
    states = random_states(config, seed=3)
    for part in ("semantic", "coarse", "fine"):
        generator = torch.Generator().manual_seed(4)
        states[part] = {name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in states[part].items()}
    theirs = transformers.BarkModel(transformers.BarkConfig(**transformers_config(config))).eval()
    known = set(theirs.state_dict())
    given = {name: tensor for name, tensor in transformers_tensors(config, states, parametrized=True).items() if name in known}
    left = theirs.load_state_dict(given, strict=False).missing_keys
    assert not [name for name in left if not name.startswith(("codec_model.encoder", "codec_model.quantizer")) and not name.endswith("attn.bias")]
    ours = {}
    for part, state in states.items():
        ours[part] = make_model(config, part)
        ours[part].load_state_dict(state)
    return config, ours, theirs


@pytest.mark.parametrize(("stage", "theirs_name"), [("semantic", "semantic"), ("coarse", "coarse_acoustics")])
@torch.inference_mode()
def test_causal_logits(both: tuple[BarkConfig, dict[str, Any], Any], stage: str, theirs_name: str) -> None:
    config, ours, theirs = both
    tokens = torch.randint(0, 500, (1, 70), generator=torch.Generator().manual_seed(1))
    wanted = getattr(theirs, theirs_name)(tokens).logits
    assert float(wanted.std()) > 0.5
    model = ours[stage]
    check_close(model.lm_head(model(model.embed(tokens))), wanted)
    engine = Engine(model, 1)
    rows = [engine.prefill(model.embed(tokens[0, :40]), 0, 0)]
    rows += [engine.step([int(tokens[0, at])], [at]) for at in range(40, 70)]
    check_close(engine.head(torch.cat(rows), 7, 300), wanted[0, 39:, 7:307])
    assert getattr(config, stage).n_layer == 3


@pytest.mark.parametrize("codebook", range(1, 8))
@torch.inference_mode()
def test_fine_logits(both: tuple[BarkConfig, dict[str, Any], Any], codebook: int) -> None:
    _, ours, theirs = both
    codes = torch.randint(0, 1025, (2, 90, 8), generator=torch.Generator().manual_seed(codebook))
    wanted = theirs.fine_acoustics(codebook, codes).logits
    assert float(wanted.std()) > 0.5
    model = ours["fine"]
    x = torch.stack([model.embed(codes[..., each], each) for each in range(codebook + 1)]).sum(0)
    check_close(model(x, codebook), wanted)
    check_close(model(x, codebook, 30, 1000), wanted[:, 30:, :1000])


@torch.inference_mode()
def test_codec_audio(both: tuple[BarkConfig, dict[str, Any], Any]) -> None:
    _, ours, theirs = both
    for n, layer in enumerate(theirs.codec_model.quantizer.layers[:8]):
        layer.codebook.embed.copy_(ours["codec"].codebooks[n])
    codes = torch.randint(0, 1024, (8, 120), generator=torch.Generator().manual_seed(2))
    wanted = theirs.codec_decode(codes[None])[0].reshape(-1)
    found = ours["codec"](codes)
    assert found.shape == (120 * 320,) and float(wanted.std()) > 1e-3
    check_close(found, wanted)
