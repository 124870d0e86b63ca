"""A machine that has never seen the hub, and a hub: what tests of fetching start from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from bark_core.checkpoint import fetch
from bark_core.checkpoint.open import fetch_checkpoint, open_checkpoint
from bark_core.config import PARTS
from tests.checkpoints import random_states, tiny_config, write_transformers
from tests.hub import Hub

ROOT = Path(__file__).resolve().parent.parent
VOICES = ("announcer", "v2/en_speaker_0", "v2/en_speaker_6")
BIN = "pytorch_model.bin"


@dataclass
class World:
    """A hub, and a machine that has never seen it."""

    hub: Hub
    home: Path
    weights: Path
    said: list[str] = field(default_factory=list)

    def register(self, name: str = "small", repository: str = "test/tiny", sha256: str | None = None, revision: str = "main") -> None:
        """Write a registry of one release, whose weights have the hub's hash unless another is given."""
        sha256 = sha256 or hashlib.sha256(self.hub.files[f"test/tiny/{BIN}"]).hexdigest()
        (self.weights / "registry.toml").write_text(
            f"""
            [{name}]
            repository = "{repository}"
            revision = "{revision}"
            licence = "MIT"
            voices = "speaker_embeddings_path.json"
            files = [
                {{ path = "{BIN}", sha256 = "{sha256}" }},
                {{ path = "config.json" }},
                {{ path = "generation_config.json" }},
                {{ path = "tokenizer.json", optional = true }},
                {{ path = "vocab.txt", optional = true }},
            ]
            [demo]
            licence = "MIT"
            """
        )

    def fetch(self, to: Path | None = None, half: bool = False, name: str = "small") -> Path:
        return fetch_checkpoint(name, to, half, self.said.append)

    def blobs(self) -> list[Path]:
        """Return every file in the cache that holds bytes of the repository."""
        return [path for path in (self.home / "hub").rglob("blobs/*") if path.is_file()]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment that gives a process this machine."""
        return {**os.environ, "HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.endpoint, "BARK_WEIGHTS": str(self.weights), **more}

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bark_core", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@contextmanager
def open_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Serve a tiny checkpoint as test/tiny, registered as small, to a machine below `tmp_path`."""
    config = tiny_config("tiny", n_layer=1)
    repository = write_transformers(tmp_path / "repository", config, random_states(config), voices=VOICES)
    with Hub() as hub:
        hub.add_folder("test/tiny", repository)
        world = World(hub, tmp_path / "home", tmp_path / "weights")
        world.weights.mkdir()
        world.register()
        # The package reads its environment when it is imported, which other tests have done; processes of their own use the variables.
        monkeypatch.setenv("BARK_WEIGHTS", str(world.weights))
        use_endpoint(monkeypatch, hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(world.home))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(world.home / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(fetch, "PAUSE_S", 0.01)
        yield world


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def check_weights(folder: Path, half: bool = False) -> None:
    checkpoint = open_checkpoint(folder)
    states = random_states(tiny_config("tiny", n_layer=1))
    assert checkpoint.voices == VOICES and checkpoint.is_half == half
    for part in PARTS[:3]:
        for name, tensor in checkpoint.load_state(part).items():
            assert torch.equal(tensor, states[part][name].to(tensor.dtype)), name
    checkpoint.load_state("codec")
