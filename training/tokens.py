"""Step 3: recordings → the tokens and codes that the models learn. Trains the codec's codebooks on the way.

Writes `tokens/quantiser.pt`, `tokens/ranges.json` and, for each shard of recordings, `tokens/SHARD.npz`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bark_core.config import BarkConfig
from bark_core.stages.coarse import count_steps
from training.demo import make_config
from training.features import log_mel, to_codec_rate
from training.phonetokens import Range, tokenise
from training.quantise import Quantiser
from training.recordings import Recording, load_shard, shard_paths
from training.speech import heard_recordings
from training.workspace import SEED, VOICES, Workspace, argument_parser, open_workspace

N_USED = 4
"""Codebooks that hold something: with four, decoded speech is understood as well as with eight."""

RECORDINGS_A_SHARD = 60
"""How many recordings of each shard the codebooks are learned from."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One spoken text in tokens: semantic (S,) and codes (8, T), both int64; codes (8, 0) where its sound was not kept."""

    text: str
    semantic: np.ndarray
    codes: np.ndarray


def gather_frames(workspace: Workspace, generator: torch.Generator) -> Tensor:
    """Return log-mel frames (N, D) of both voices and all kinds of texts alike, in any order, which codebooks are learned from."""
    frames = list[Tensor]()
    for path in shard_paths(workspace.need("speech", step="speech"), "heard-*"):
        recordings = list(load_shard(path))
        picked = recordings[:: max(1, len(recordings) // RECORDINGS_A_SHARD)]
        frames += [log_mel(torch.from_numpy(to_codec_rate(each.audio))) for each in picked]
    found = torch.cat(frames)
    return found[torch.randperm(len(found), generator=generator)[:160_000]]


def learn_quantiser(workspace: Workspace) -> Quantiser:
    """Return the codebooks, learned from both voices alike, or those of an earlier run."""
    path = workspace.path("tokens", "quantiser.pt")
    if not path.exists():
        n_entries, n_rounds = (64, 2) if workspace.smoke else (1024, 12)
        generator = torch.Generator().manual_seed(SEED)
        frames = gather_frames(workspace, generator)
        config = make_config(workspace.smoke).codec
        quantiser = Quantiser.train(frames, N_USED, config.n_codebooks, n_entries, n_rounds, generator)
        if n_entries < config.codebook_size:  # a rehearsal: repeat the entries, the first is always taken
            repeats = config.codebook_size // n_entries
            quantiser = Quantiser(quantiser.mean, quantiser.scale, quantiser.codebooks.repeat(1, repeats, 1))
        torch.save(quantiser.state(), path)
    return load_quantiser(workspace)


def load_quantiser(workspace: Workspace) -> Quantiser:
    """Return the codebooks that this step has saved."""
    return Quantiser(**torch.load(workspace.need("tokens", "quantiser.pt", step="tokens"), weights_only=True))


def measure_ranges(workspace: Workspace) -> dict[str, Range]:
    """Return each voice's pitch range, measured once."""
    path = workspace.path("tokens", "ranges.json")
    if not path.exists():
        ranges: dict[str, dict[str, float]] = {}
        for voice in VOICES:
            spoken = heard_recordings(workspace, voice, 500)
            phones, pitch = (np.concatenate([getattr(each, name) for each in spoken]) for name in ("phones", "pitch"))
            ranges[voice] = asdict(Range.measure(phones, pitch))
        path.write_text(json.dumps(ranges, indent=1), encoding="utf-8")
    return {voice: Range(**values) for voice, values in json.loads(path.read_text(encoding="utf-8")).items()}


def encode(recording: Recording, config: BarkConfig, ranges: dict[str, Range], quantiser: Quantiser) -> Sample:
    """Return a recording's tokens and, where its sound was kept, exactly as many codes as the coarse stage makes of them."""
    semantic = tokenise(recording.phones, recording.ends, recording.pitch, ranges[recording.voice], config.semantic_rate_hz)
    if not len(recording.audio):
        return Sample(recording.text, semantic, np.zeros((config.n_fine_codebooks, 0), np.int64))
    n_frames = count_steps(config, len(semantic)) // config.n_coarse_codebooks
    audio = np.pad(to_codec_rate(recording.audio), (0, config.codec.frame_samples * 2))
    codes = quantiser.encode(log_mel(torch.from_numpy(audio)))[:, :n_frames]
    return Sample(recording.text, semantic[: len(semantic)], codes.numpy())


def save_samples(path: Path, samples: list[Sample]) -> None:
    """Write samples to one file, whole or not at all."""
    temporary = path.with_suffix(".part.npz")
    np.savez(
        temporary,
        text=np.array([each.text for each in samples]),
        n_semantic=np.array([len(each.semantic) for each in samples]),
        n_frames=np.array([each.codes.shape[1] for each in samples]),
        semantic=np.concatenate([each.semantic for each in samples]).astype(np.uint16),
        codes=np.concatenate([each.codes for each in samples], axis=1).astype(np.uint16),
    )
    os.replace(temporary, path)


def load_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of one file."""
    with np.load(path, allow_pickle=False) as arrays:
        texts, semantic, codes = arrays["text"].tolist(), arrays["semantic"].astype(np.int64), arrays["codes"].astype(np.int64)
        semantic_edges = np.concatenate([[0], np.cumsum(arrays["n_semantic"])])
        frame_edges = np.concatenate([[0], np.cumsum(arrays["n_frames"])])
    for i, text in enumerate(texts):
        yield Sample(text, semantic[slice(*semantic_edges[i : i + 2])], codes[:, slice(*frame_edges[i : i + 2])])


@torch.no_grad()
def encode_shards(workspace: Workspace) -> int:
    """Encode the shards that are spoken and not encoded yet; return how many there were."""
    quantiser, ranges, config = learn_quantiser(workspace), measure_ranges(workspace), make_config(workspace.smoke)
    n_done = 0
    for path in shard_paths(workspace.need("speech", step="speech")):
        target = workspace.path("tokens", path.name)
        if target.exists():
            continue
        samples = [encode(each, config, ranges, quantiser) for each in load_shard(path) if len(each.text) and each.ends[-1] < 15]
        save_samples(target, samples)
        print(f"{path.stem}: {len(samples)} samples", flush=True)
        n_done += 1
    return n_done


if __name__ == "__main__":
    encode_shards(open_workspace(argument_parser("Turn recordings into tokens and codes.").parse_args()))
