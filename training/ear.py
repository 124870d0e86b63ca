"""After `drawn`: a small network that tells phones by their sound, so that the decoder is told which differences matter to a listener.

Learns from the teachers' recordings, whose phones are known, some of them loud, dull or noisy on purpose. Its own listening is no part of the
checkpoint, and has nothing to do with the recogniser of `evaluate`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bark_core.config import SAMPLE_RATE
from training.features import magnitudes, mel_filters, to_codec_rate
from training.loop import Plan, learning_parser, open_run, random_for, train
from training.phones import PHONES
from training.recordings import Recording, load_shard, shard_paths
from training.workspace import Workspace

_SIZE, _HOP, _BANDS, _WIDTH = 512, 128, 64, 128
_STRIDE = 2
_CROP = SAMPLE_RATE
_N_VALIDATION = 64


class Ear(nn.Module):
    """Audio (B, N) at 24 kHz → a logit for each phone, (B, P, T), at 94 frames a second, and what its layers make of it on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(_SIZE, _BANDS))
        self.register_buffer("window", torch.hann_window(_SIZE))
        self.layers = nn.ModuleList(
            nn.Conv1d(n_in, _WIDTH, 5, stride, padding=2 * dilation, dilation=dilation)
            for n_in, stride, dilation in ((_BANDS, _STRIDE, 1), (_WIDTH, 1, 2), (_WIDTH, 1, 4), (_WIDTH, 1, 1))
        )
        self.head = nn.Conv1d(_WIDTH, len(PHONES), 1)

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        bands = magnitudes(audio, cast(Tensor, self.window), _HOP) @ cast(Tensor, self.filters)
        hidden = (bands.clamp(min=1e-4).log().transpose(1, 2) + 6) / 2
        heard: list[Tensor] = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.1)
            heard.append(hidden)
        return self.head(hidden), heard


def hear_difference(ear: Ear, made: Tensor, real: Tensor) -> Tensor:
    """Return how differently two waveforms (B, N) are heard: in each layer, as a share of what is heard, and in the phones taken for the sound."""
    logits, heard = ear(made)
    with torch.no_grad():
        wanted, truly = ear(real)
    layers = [(a - b).abs().mean() / b.abs().mean().clamp(min=1e-3) for a, b in zip(heard, truly, strict=True)]
    phones = F.kl_div(logits.log_softmax(1), wanted.log_softmax(1), log_target=True, reduction="none").sum(1).mean()
    return torch.stack(layers).mean() + phones


def label_frames(recording: Recording, start: int, n_frames: int) -> np.ndarray:
    """Return the phone (T,) at the middle of each frame of a crop that starts at this sample of 24 kHz."""
    middles = (start + _SIZE / 2 + np.arange(n_frames) * _HOP * _STRIDE) / SAMPLE_RATE
    return recording.phones[np.searchsorted(recording.ends, middles).clip(max=len(recording.phones) - 1)].astype(np.int64)


def spoil(audio: Tensor, rng: np.random.Generator) -> Tensor:
    """Return audio (B, N) louder or softer, duller or brighter, and with noise: a decoder's speech is, too."""
    gain = torch.from_numpy(10 ** rng.uniform(-0.4, 0.3, (len(audio), 1))).float()
    tilt = torch.from_numpy(rng.uniform(-0.5, 0.5, (len(audio), 1))).float()
    tilted = audio - tilt * F.pad(audio, (1, 0))[:, :-1]
    level = torch.from_numpy(10 ** rng.uniform(-2.5, -0.4, (len(audio), 1))).float() * tilted.std(dim=1, keepdim=True)
    noise = torch.from_numpy(rng.standard_normal(audio.shape, np.float32))
    return gain * (tilted + level * noise)


class Phones:
    """Recordings of both voices, and random crops of them with their phones."""

    def __init__(self, workspace: Workspace) -> None:
        folder = workspace.need("speech", step="speech")
        each = 4 if workspace.smoke else 250
        self.recordings = [recording for path in shard_paths(folder, "heard-*") for recording in list(load_shard(path))[:each]]
        np.random.default_rng(0).shuffle(self.recordings)  # pyright: ignore[reportArgumentType] -- numpy takes lists, too

    def draw(self, rng: np.random.Generator, count: int, held: bool = False) -> tuple[Tensor, Tensor]:
        """Return samples (B, N) and phones (B, T)."""
        n_held = min(_N_VALIDATION, len(self.recordings) // 4)
        n_frames = ((_CROP - _SIZE) // _HOP + 1 + _STRIDE - 1) // _STRIDE
        crops, labels = list[np.ndarray](), list[np.ndarray]()
        while len(crops) < count:
            recording = self.recordings[int(rng.integers(n_held) if held else rng.integers(n_held, len(self.recordings)))]
            audio = to_codec_rate(recording.audio)
            if len(audio) < _CROP:
                audio = np.pad(audio, (0, _CROP - len(audio)))
            start = int(rng.integers(len(audio) - _CROP + 1))
            crops.append(audio[start : start + _CROP])
            labels.append(label_frames(recording, start, n_frames))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(labels))


def train_ear(workspace: Workspace, steps: int, rate: float = 2e-3) -> None:
    """Train it; validate by the share of frames whose phone is told."""
    torch.manual_seed(0)
    ear, phones = Ear(), Phones(workspace)
    held = phones.draw(np.random.default_rng(1), 4 if workspace.smoke else _N_VALIDATION, held=True)

    def loss_of(step: int) -> Tensor:
        rng = random_for(step)
        audio, labels = phones.draw(rng, 4 if workspace.smoke else 16)
        return F.cross_entropy(ear(spoil(audio, rng))[0], labels)

    def validate() -> dict[str, float]:
        return {"told": float((ear(held[0])[0].argmax(1) == held[1]).float().mean())}

    train(workspace, Plan("ear", steps, rate=rate, cool_from=0.4, validate_every=5 if workspace.smoke else 100), ear, loss_of, validate)


def load_ear(workspace: Workspace) -> Ear:
    """Return the trained one, which learns no more."""
    ear = Ear()
    ear.load_state_dict(torch.load(workspace.need("models", "ear.pt", step="ear"), weights_only=True, map_location="cpu")["model"])
    return ear.eval().requires_grad_(False)


if __name__ == "__main__":
    train_ear(*open_run("ear", learning_parser("ear", "Train what tells phones.").parse_args()))
