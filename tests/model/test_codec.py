"""The codec: encodec's own decoder with weight norm folded, and the one way in to that package."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bark_core.config import CodecConfig
from bark_core.model.codec import Codec, fold_weight_norm, import_seanet

CONFIG = CodecConfig(n_filters=4)


@torch.inference_mode()
@pytest.mark.parametrize("frames", [50, 65, 150])
def test_folded_weights_decode_in_blocks_as_encodec_does_in_one(frames: int) -> None:
    torch.manual_seed(3)
    theirs = import_seanet().SEANetDecoder(n_filters=4, ratios=[8, 5, 4, 2], lstm=2, norm="weight_norm", causal=True).eval()
    for parameter in theirs.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    state = {}
    for name, tensor in theirs.state_dict().items():
        if name.endswith("weight_g"):
            state[f"decoder.{name[:-2]}"] = fold_weight_norm(tensor, theirs.state_dict()[f"{name[:-1]}v"])
        elif not name.endswith("weight_v"):
            state[f"decoder.{name}"] = tensor
    codec = Codec(CONFIG)
    codec.load_state_dict({**state, "codebooks": torch.randn(8, 1024, 128)})
    codes = torch.randint(0, 1024, (8, frames))
    wanted = theirs(torch.stack([codec.codebooks[k][codes[k]] for k in range(8)]).sum(0).T[None])[0, 0]
    torch.testing.assert_close(codec(codes), wanted, rtol=1e-6, atol=1e-6)
    assert wanted.shape == (frames * 320,) and float(wanted.std()) > 0


@pytest.mark.parametrize("frames", [1, 2, 7, 75])
def test_a_frame_is_320_samples_and_fewer_codebooks_will_do(frames: int) -> None:
    codec = Codec(CONFIG)
    assert codec(torch.zeros(8, frames, dtype=torch.int64)).shape == (320 * frames,)
    assert codec(torch.zeros(2, frames, dtype=torch.int64)).shape == (320 * frames,)
    assert CONFIG.frame_samples == 320


@pytest.mark.slow
def test_the_stand_in_is_gone_after_the_import() -> None:
    code = (
        "import sys; from bark_core.model.codec import import_seanet; import_seanet(); import_seanet()\n"
        "found = sys.modules.get('torchaudio'); assert found is None or found.__spec__ is not None, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
