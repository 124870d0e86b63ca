"""Fetching from a stand-in for the hub: what arrives is whole and verified, whatever the network or the hub do."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bark_core.checkpoint.open import open_checkpoint
from bark_core.checkpoint.registry import load_registry
from bark_core.errors import CheckpointError
from tests.hub import COMMIT
from tests.world import BIN, VOICES, World, check_weights, open_world, use_endpoint


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with open_world(tmp_path, monkeypatch) as world:
        yield world


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub's pauses between retries pass at once."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_a_checkpoint_is_fetched_verified_and_converted(world: World) -> None:
    folder = world.fetch()
    assert folder == world.weights / "small"
    check_weights(folder)
    assert open_checkpoint("small").config.name == "small"
    assert json.loads((folder / "source.json").read_text())["commit"] == COMMIT
    assert {path.name for path in world.weights.iterdir()} == {"registry.toml", "small"}
    recorded = json.loads((world.home / "bark" / "hashes.json").read_text())
    assert recorded["test/tiny/config.json"]["sha256"] == hashlib.sha256(world.hub.files["test/tiny/config.json"]).hexdigest()
    # Every file was taken from the commit that the first one was of.
    asked = {path.split("/resolve/")[1] for method, path, _ in world.hub.requests if "/resolve/" in path and method == "GET"}
    assert {each.split("/")[1] for each in asked if each.startswith("main/")} <= {"config.json", "generation_config.json"}


def test_half_is_16_bits_in_a_folder_that_is_there_and_empty(world: World, tmp_path: Path) -> None:
    (tmp_path / "halved").mkdir()
    check_weights(world.fetch(tmp_path / "halved", half=True), half=True)
    assert world.fetch(tmp_path / "halved", half=True) == tmp_path / "halved"
    assert "there already" in world.said[-1]
    with pytest.raises(CheckpointError, match="already, in 16 bits; delete it"):
        world.fetch(tmp_path / "halved")


def test_a_name_alone_loads_from_the_cache_and_asks_the_network_once(world: World) -> None:
    check_weights(open_checkpoint("small", world.said.append).folder)
    assert any("Fetching test/tiny" in message for message in world.said)
    n_requests = len(world.hub.requests)
    assert n_requests > 0
    again = open_checkpoint("small", world.said.append)
    assert again.voices == VOICES and again.name == "small" and not (world.weights / "small").exists()
    assert len(world.hub.requests) == n_requests


def test_a_dropped_connection_is_taken_up_where_it_broke(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)  # what of it arrived is written in such pieces
    size = len(world.hub.files[f"test/tiny/{BIN}"])
    world.hub.drops[BIN] = [size // 2]
    check_weights(world.fetch())
    assert any(given and given.startswith("bytes=") for given in world.hub.downloads(BIN))


@pytest.mark.usefixtures("no_waiting")
def test_a_connection_that_keeps_breaking_is_a_sentence_and_the_next_fetch_works(world: World) -> None:
    world.hub.drops[BIN] = [0] * 60
    with pytest.raises(CheckpointError, match=rf"The model small is not here, and .*connection broke, at {BIN}.*python -m bark_core fetch small"):
        world.fetch()
    assert not (world.weights / "small").exists()
    world.hub.drops.clear()
    check_weights(world.fetch())


def test_wrong_bytes_are_named_and_not_kept(world: World) -> None:
    right = world.hub.files[f"test/tiny/{BIN}"]
    wanted = hashlib.sha256(right).hexdigest()
    wrong = right[:5000] + bytes([right[5000] ^ 1]) + right[5001:]
    world.hub.files[f"test/tiny/{BIN}"] = wrong
    with pytest.raises(CheckpointError) as caught:
        world.fetch()
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value) and wanted in str(caught.value) and "not kept" in str(caught.value)
    assert all(path.read_bytes() != wrong for path in world.blobs()) and not (world.weights / "small").exists()
    world.hub.files[f"test/tiny/{BIN}"] = right
    check_weights(world.fetch())


def test_a_cached_file_that_changed_is_found_out(world: World) -> None:
    open_checkpoint("small")
    blob = max(world.blobs(), key=lambda path: path.stat().st_size)
    with open(blob, "r+b") as file:
        file.seek(9000)
        file.write(b"\0\1\2\3")
    with pytest.raises(CheckpointError, match="was not kept; fetch again"):
        open_checkpoint("small")
    check_weights(open_checkpoint("small").folder)


def test_a_file_without_a_known_hash_must_stay_what_it_was_at_first(world: World) -> None:
    open_checkpoint("small")
    for path in sorted((world.home / "hub").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    world.hub.files["test/tiny/tokenizer.json"] += b"\n"
    with pytest.raises(CheckpointError, match=r"tokenizer.json has the SHA-256 .* when it was first fetched, by .*hashes.json"):
        open_checkpoint("small")


@pytest.mark.parametrize("name", ["config.json", "speaker_embeddings/announcer_fine_prompt.npy", "vocab.txt"])
def test_a_file_without_a_known_hash_must_be_of_its_kind(name: str, world: World) -> None:
    world.hub.files[f"test/tiny/{name}"] = b"" if name == "vocab.txt" else b"<html>Sign in to this network</html>"
    with pytest.raises(CheckpointError, match=f"{name.split('/')[-1]} (is a web page|is empty)"):
        world.fetch()
    assert not list((world.home / "hub").rglob(f"snapshots/*/{name}"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda world: world.register(repository="test/none"), "there is no such repository .404."),
        (lambda world: world.register(revision="v9"), "has no revision v9"),
        (lambda world: world.hub.files.pop("test/tiny/config.json"), "has no file config.json in its revision main .404."),
        (lambda world: world.hub.files.pop(f"test/tiny/{BIN}"), f"has no file {BIN}"),
        (lambda world: world.hub.statuses.update({"config.json": 503}), "answered with an error for config.json"),
        (lambda world: world.hub.statuses.update({"config.json": 403}), "refuses to send config.json .403."),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(change: Callable[[World], object], said: str, world: World) -> None:
    change(world)
    with pytest.raises(CheckpointError, match=said):
        world.fetch()
    assert not (world.weights / "small").exists()


@pytest.mark.usefixtures("world")
def test_without_a_network_the_sentence_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        use_endpoint(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}")
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match=r"The model small is not here, and .*could not be reached.*`python -m bark_core fetch small`"):
        open_checkpoint("small")
    assert time.monotonic() - begin < 10
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        open_checkpoint("small")


def test_what_is_cached_needs_no_network(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    open_checkpoint("small")
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check_weights(world.fetch())


def test_voices_that_the_repository_lacks_are_left_out_and_said(world: World) -> None:
    del world.hub.files["test/tiny/speaker_embeddings/announcer_fine_prompt.npy"]
    folder = world.fetch()
    assert open_checkpoint(folder).voices == VOICES[1:]
    assert any("lacks 1 of the voice files" in message for message in world.said)


def test_voices_that_cannot_be_downloaded_stop_a_fetch_but_not_a_load(world: World) -> None:
    world.hub.statuses["announcer_fine_prompt.npy"] = 500
    with pytest.raises(CheckpointError, match="announcer_fine_prompt"):
        world.fetch()
    assert "announcer" not in open_checkpoint("small", world.said.append).voices
    assert any("going on with those that are here" in message for message in world.said)
    world.hub.statuses.clear()
    assert open_checkpoint("small").voices == VOICES


def test_vocabulary_and_voices_may_come_from_another_repository(world: World) -> None:
    for path in [path for path in world.hub.files if "speaker" in path or "tokenizer" in path]:
        world.hub.files[path.replace("test/tiny", "test/shared")] = world.hub.files.pop(path)
    registry = world.weights / "registry.toml"
    text = registry.read_text().replace('voices = "speaker_embeddings_path.json"', "").replace("[demo]", """
        [small.companion]
        repository = "test/shared"
        voices = "speaker_embeddings_path.json"
        files = [{ path = "tokenizer.json" }]
        [demo]""")
    registry.write_text(text)
    checkpoint = open_checkpoint("small")
    assert checkpoint.voices == VOICES and checkpoint.load_voice_arrays("announcer")["coarse_prompt"].shape == (2, 150)
    check_weights(world.fetch())
    assert open_checkpoint("small").load_tokenizer_file() == world.weights / "small" / "tokenizer.json"


def test_the_registry_of_this_project_names_what_is_released() -> None:
    releases = load_registry()
    assert list(releases) == ["large", "small", "demo"]
    for name in ("large", "small"):
        hashed = [file for file in releases[name].files if file.sha256]
        assert [file.path for file in hashed] == [BIN] and len(str(hashed[0].sha256)) == 64 and releases[name].size > 1e9
        assert releases[name].licence == "MIT" and (releases[name].voices or releases[name].companion)


def test_names_that_cannot_be_fetched(world: World, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="comes with this project"):
        world.fetch(name="demo")
    with pytest.raises(CheckpointError, match="no model 'huge'; the names are small, demo"):
        world.fetch(name="huge")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is no checkpoint; give a folder that is empty"):
        world.fetch(tmp_path / "full")
