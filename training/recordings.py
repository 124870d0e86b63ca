"""Shards of spoken texts on disk: phones with end times and pitch always, 16 kHz samples where they are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
"""Samples a second of the teachers' voices."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One spoken text. phones (P,) uint8, ends (P,) seconds, pitch (P,) log Hz or nan, audio (N,) int16 at 16 kHz or empty."""

    text: str
    voice: str
    phones: np.ndarray
    ends: np.ndarray
    pitch: np.ndarray
    audio: np.ndarray


def save_shard(path: Path, recordings: list[Recording]) -> None:
    """Write recordings of one voice to one file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.npz")
    columns = {name: np.concatenate([getattr(each, name) for each in recordings]) for name in ("phones", "ends", "pitch", "audio")}
    np.savez(
        temporary,
        allow_pickle=False,
        text=np.array([each.text for each in recordings]),
        voice=np.array(recordings[0].voice),
        n_phones=np.array([len(each.phones) for each in recordings]),
        n_samples=np.array([len(each.audio) for each in recordings]),
        **columns,
    )
    os.replace(temporary, path)


def load_shard(path: Path) -> Iterator[Recording]:
    """Yield the recordings of one file."""
    with np.load(path, allow_pickle=False) as shard:
        arrays = {name: shard[name] for name in shard.files}
    phone_edges = np.concatenate([[0], np.cumsum(arrays["n_phones"])])
    sample_edges = np.concatenate([[0], np.cumsum(arrays["n_samples"])])
    for i, text in enumerate(arrays["text"].tolist()):
        a, b = phone_edges[i : i + 2]
        c, d = sample_edges[i : i + 2]
        phones, ends, pitch = (arrays[name][a:b] for name in ("phones", "ends", "pitch"))
        yield Recording(text, str(arrays["voice"]), phones, ends, pitch, arrays["audio"][c:d])


def shard_paths(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the finished shards of a folder that match, in order."""
    return sorted(path for path in folder.glob(f"{pattern}.npz") if not path.name.endswith(".part.npz"))
