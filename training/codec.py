"""Step 4: the codec's decoder, a vocoder for quantised log-mel frames. Learns from crops by spectral losses at several
resolutions, and at the end, of drawn codes, by what `ear` hears as well."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from bark_core.model.codec import Codec
from training.demo import make_config
from training.ear import Ear, hear_difference, load_ear
from training.features import HOP, magnitudes, mel_filters, to_codec_rate
from training.loop import Plan, learning_parser, open_run, random_for, train
from training.recordings import load_shard, shard_paths
from training.tokens import Sample, load_quantiser, load_samples
from training.workspace import Workspace

RATE = 1e-3
N_VALIDATION = 16
_LEAD = 16
"""Frames at the start of a crop that the loss leaves out: in use the decoder has heard all that came before."""

EAR_SHARE = 0.5
"""How strongly what the ear hears, which tells phones, pulls at the samples, beside what the spectra do."""

_DRAWN_SHARE = 0.6
"""How many batches are of drawn codes, once there are some: the rest keep what the decoder makes of true ones."""

DELAY = 2
"""Frames by which the decoder speaks late. A causal network then hears two frames more before it has to say what they are between."""


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
            a, b = (magnitudes(audio, cast(Tensor, getattr(self, f"window_{size}")), size // 4) for audio in (made, real))
            filters = cast(Tensor, getattr(self, f"mel_{size}"))
            mels = [(each @ filters).clamp(min=1e-4).log() for each in (a, b)]
            total = total + (mels[0] - mels[1]).abs().mean()
            total = total + 0.3 * (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()
            total = total + 0.5 * (a - b).norm() / b.norm().clamp(min=1e-3)
        return total


class Crops:
    """Speech of both voices as codes and samples, and random crops of it; with `drawn`, some of the codes as the models draw them."""

    def __init__(self, workspace: Workspace, drawn: bool = False) -> None:
        self.codes: list[np.ndarray] = []
        self.drawn: list[np.ndarray] = []
        self.audio: list[np.ndarray] = []
        tokens = workspace.need("tokens", step="tokens")
        for path in shard_paths(tokens, "heard-*"):
            if drawn and not (tokens / f"drawn-{path.name}").exists():
                continue
            spoken = {each.text: each for each in load_shard(workspace.need("speech", path.name, step="speech"))}
            self._take([(sample, spoken[sample.text].audio) for sample in load_samples(path)])
            if drawn:
                self.drawn += [sample.codes.astype(np.int16) for sample in load_samples(tokens / f"drawn-{path.name}")]
        if drawn and not self.drawn:
            raise SystemExit("No codes are drawn yet; run python -m training.drawn first.")

    def _take(self, pairs: list[tuple[Sample, np.ndarray]]) -> None:
        for sample, audio in pairs:
            n_frames = min(sample.codes.shape[1], len(audio) * 3 // 2 // HOP)
            self.codes.append(sample.codes[:, :n_frames].astype(np.int16))
            self.audio.append(audio[: n_frames * HOP * 2 // 3 + 1])

    def draw(self, rng: np.random.Generator, count: int, n_frames: int, drawn: bool = False) -> tuple[Tensor, Tensor]:
        """Return codes (B, 8, T) and samples (B, 320 T) of random crops, none from the recordings kept for validation."""
        held = min(N_VALIDATION, len(self.codes) // 4)
        picked: list[tuple[Tensor, Tensor]] = []
        while len(picked) < count:
            i = int(rng.integers(held, len(self.codes)))
            start = int(rng.integers(0, max(1, self.codes[i].shape[1] - n_frames)))
            codes, audio = self.whole(i, drawn)
            if codes.shape[1] >= n_frames:
                picked.append((codes[:, start : start + n_frames], audio[start * HOP : (start + n_frames) * HOP]))
        codes, audio = zip(*picked, strict=True)
        return torch.stack(codes), torch.stack(audio)

    def whole(self, index: int, drawn: bool = False) -> tuple[Tensor, Tensor]:
        """Return one recording's codes (8, T), true or drawn, and the samples (320 T,) to make of them, DELAY frames late."""
        n_frames = self.codes[index].shape[1]
        codes = torch.from_numpy((self.drawn if drawn else self.codes)[index][:, :n_frames].astype(np.int64))
        audio = np.pad(to_codec_rate(self.audio[index]), (DELAY * HOP, HOP))[: n_frames * HOP]
        return codes, torch.from_numpy(np.pad(audio, (0, n_frames * HOP - len(audio))))


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


def balance(loss: SpectralLoss, ear: Ear, made: Tensor, real: Tensor) -> Tensor:
    """Return the spectral loss of samples (B, N), with a slope that has the ear's pull in it, EAR_SHARE as strong as the spectra's whatever the batch.

    Where sounds are far apart the ear's slope is steep and points anywhere: added as it is, it undoes what the spectra have taught.
    """
    samples = made.detach().requires_grad_()
    value = loss(samples, real)
    (spectral,) = torch.autograd.grad(value, samples)
    (heard,) = torch.autograd.grad(hear_difference(ear, samples, real), samples)
    pull = (made * (spectral + EAR_SHARE * spectral.norm() / heard.norm().clamp(min=1e-12) * heard)).sum()
    return pull + (value - pull).detach()


def train_codec(workspace: Workspace, steps: int, rate: float = RATE, drawn: bool = False) -> None:
    """Train the decoder on crops; validate on whole recordings by the distance of their log-mel frames."""
    torch.manual_seed(0)
    codec, crops, loss = make_codec(workspace), Crops(workspace, drawn), SpectralLoss()
    ear = load_ear(workspace) if drawn else None
    count, n_frames = (2, 48) if workspace.smoke else (6, 96)
    held = {
        name: [crops.whole(i, drawn=name == "drawn") for i in range(min(N_VALIDATION, max(1, len(crops.codes) // 4)))]
        for name in ("validation", "drawn")[: 1 + drawn]
    }

    def loss_of(step: int) -> Tensor:
        rng = random_for(step)
        as_drawn = bool(crops.drawn) and rng.random() < _DRAWN_SHARE
        codes, audio = crops.draw(rng, count, n_frames, as_drawn)
        # The finer codes are guesses when speaking: what the first ones say has to do alone, too.
        if not as_drawn:
            codes = codes[:, : int(rng.choice([2, 3, codes.shape[1]], p=[0.4, 0.2, 0.4]))]
        made = codec.decoder(embed_batch(codec, codes))[:, 0]
        made, audio = made[:, _LEAD * HOP :], audio[:, _LEAD * HOP :]
        return loss(made, audio) if ear is None else balance(loss, ear, made, audio)

    def validate() -> dict[str, float]:
        figures: dict[str, float] = {}
        for name, pairs in held.items():
            made = [(codec(codes)[None], audio[None]) for codes, audio in pairs]
            figures[name] = float(np.mean([float(loss(*pair)) for pair in made]))
            if ear is not None:
                figures[f"{name}, heard"] = float(np.mean([float(hear_difference(ear, *pair)) for pair in made]))
        return figures

    plan = Plan("codec", steps, rate=rate, warm_up=50, cool_from=0.7, decay=0.0, validate_every=5 if workspace.smoke else 250)
    train(workspace, plan, codec.decoder, loss_of, validate)


if __name__ == "__main__":
    parser = learning_parser("codec", "Train the codec's decoder.", RATE)
    parser.add_argument("--drawn", action="store_true", help="learn from codes as the models draw them, too (python -m training.drawn)")
    arguments = parser.parse_args()
    train_codec(*open_run("codec", arguments), arguments.rate, arguments.drawn)
