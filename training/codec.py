"""Step 4: the codec's decoder, a vocoder for quantised log-mel frames. Learns from crops by spectral losses at several resolutions."""

from __future__ import annotations

import argparse
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from bark_core.model.codec import Codec
from training.demo import make_config
from training.features import HOP, mel_filters, to_codec_rate
from training.loop import USUAL_STEPS, Plan, random_for, train
from training.recordings import load_shard, shard_paths
from training.tokens import Sample, load_quantiser, load_samples
from training.workspace import Workspace, argument_parser, open_workspace

N_VALIDATION = 16
_LEAD = 16
"""Frames at the start of a crop that the loss leaves out: in use the decoder has heard all that came before."""


class SpectralLoss(nn.Module):
    """How far apart two waveforms sound: log-mel and log-magnitude distances over several windows, (B, N) each → scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (2048, 1024, 512, 256, 128)
        for size in self.sizes:
            self.register_buffer(f"mel_{size}", mel_filters(size, min(96, size // 6)))
            self.register_buffer(f"window_{size}", torch.hann_window(size))

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        total = made.new_zeros(())
        for size in self.sizes:
            a, b = (self._magnitude(audio, size) for audio in (made, real))
            filters = cast(Tensor, getattr(self, f"mel_{size}"))
            mels = [(each @ filters).clamp(min=1e-4).log() for each in (a, b)]
            total = total + (mels[0] - mels[1]).abs().mean()
            total = total + 0.3 * (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()
            total = total + 0.5 * (a - b).norm() / b.norm().clamp(min=1e-3)
        return total

    def _magnitude(self, audio: Tensor, size: int) -> Tensor:
        window = cast(Tensor, getattr(self, f"window_{size}"))
        spectrum = torch.stft(audio, size, size // 4, window=window, return_complex=True, center=False)
        return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt().transpose(1, 2) * (2 / size)  # (B, T, F)


class Crops:
    """Speech of both voices as codes and samples, and random crops of it."""

    def __init__(self, workspace: Workspace) -> None:
        self.codes: list[np.ndarray] = []
        self.audio: list[np.ndarray] = []
        for path in shard_paths(workspace.need("tokens", step="tokens"), "heard-*"):
            spoken = {each.text: each for each in load_shard(workspace.need("speech", path.name, step="speech"))}
            self._take([(sample, spoken[sample.text].audio) for sample in load_samples(path)])

    def _take(self, pairs: list[tuple[Sample, np.ndarray]]) -> None:
        for sample, audio in pairs:
            n_frames = min(sample.codes.shape[1], len(audio) * 3 // 2 // HOP)
            self.codes.append(sample.codes[:, :n_frames].astype(np.int16))
            self.audio.append(audio[: n_frames * HOP * 2 // 3 + 1])

    def draw(self, rng: np.random.Generator, count: int, n_frames: int) -> tuple[Tensor, Tensor]:
        """Return codes (B, 8, T) and samples (B, 320 T) of random crops, none from the recordings kept for validation."""
        held = min(N_VALIDATION, len(self.codes) // 4)
        picked: list[tuple[Tensor, Tensor]] = []
        while len(picked) < count:
            i = int(rng.integers(held, len(self.codes)))
            start = int(rng.integers(0, max(1, self.codes[i].shape[1] - n_frames)))
            codes, audio = self.whole(i)
            if codes.shape[1] >= n_frames:
                picked.append((codes[:, start : start + n_frames], audio[start * HOP : (start + n_frames) * HOP]))
        codes, audio = zip(*picked, strict=True)
        return torch.stack(codes), torch.stack(audio)

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one recording's codes (8, T) and samples (320 T,)."""
        codes = torch.from_numpy(self.codes[index].astype(np.int64))
        audio = to_codec_rate(self.audio[index])[: codes.shape[1] * HOP]
        return codes, torch.from_numpy(np.pad(audio, (0, codes.shape[1] * HOP - len(audio))))


def make_codec(workspace: Workspace, normed: bool = True) -> Codec:
    """Return a codec with this run's codebooks and an untrained decoder, its convolutions under weight norm while it learns."""
    codec = Codec(make_config(workspace.smoke).codec)
    codec.codebooks = nn.Parameter(load_quantiser(workspace).codebooks, requires_grad=False)
    if normed:
        for module in codec.decoder.modules():
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
                parametrizations.weight_norm(module)
    return codec


def fold(codec: Codec) -> Codec:
    """Fold weight norm into plain weights, as checkpoints hold them; return the codec."""
    for module in codec.decoder.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(cast(nn.Module, module), "weight")
    return codec


def embed_batch(codec: Codec, codes: Tensor) -> Tensor:
    """Return summed codebook vectors (B, width, T) of codes (B, 8, T)."""
    return torch.cat([codec.embed(each) for each in codes])


def train_codec(workspace: Workspace, steps: int) -> None:
    """Train the decoder on crops; validate on whole recordings by the distance of their log-mel frames."""
    torch.manual_seed(0)
    codec, crops, loss = make_codec(workspace), Crops(workspace), SpectralLoss()
    count, n_frames = (2, 48) if workspace.smoke else (6, 96)
    held = [crops.whole(i) for i in range(min(N_VALIDATION, max(1, len(crops.codes) // 4)))]

    def loss_of(step: int) -> Tensor:
        rng = random_for(step)
        codes, audio = crops.draw(rng, count, n_frames)
        # The finer codes are guesses when speaking: what the first ones say has to do alone, too.
        codes = codes[:, : int(rng.choice([2, 3, codes.shape[1]], p=[0.4, 0.2, 0.4]))]
        made = codec.decoder(embed_batch(codec, codes))[:, 0]
        return loss(made[:, _LEAD * HOP :], audio[:, _LEAD * HOP :])

    def validate() -> dict[str, float]:
        distances = [float(loss(codec(codes)[None], audio[None])) for codes, audio in held]
        return {"validation": float(np.mean(distances))}

    plan = Plan("codec", steps, rate=1e-3, warm_up=50, cool_from=0.7, decay=0.0, validate_every=5 if workspace.smoke else 250)
    train(workspace, plan, codec.decoder, loss_of, validate)


def _arguments() -> argparse.Namespace:
    parser = argument_parser("Train the codec's decoder.")
    parser.add_argument("--steps", type=int, default=None, help="steps to train in all (default: 16000; 10 in a smoke run)")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    space = open_workspace(given)
    torch.set_num_threads(1)
    train_codec(space, given.steps or (10 if space.smoke else USUAL_STEPS["codec"]))
