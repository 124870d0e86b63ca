"""Fetching on machines as they are: disks that are full or locked, processes that run side by side or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bark_core.checkpoint import fetch
from bark_core.errors import CheckpointError
from tests.world import BIN, ROOT, World, check_weights, open_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with open_world(tmp_path, monkeypatch) as world:
        yield world


def test_a_target_that_cannot_be_written_is_told_before_anything_is_downloaded(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    targets = [tmp_path / "file" / "small", Path("/proc/nowhere/small")]
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o555)
        targets.append(tmp_path / "locked" / "small")
    for target in targets:
        with pytest.raises(CheckpointError, match="cannot be written"):
            world.fetch(target)
    assert world.hub.requests == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount disks of a megabyte, with options; skip where that is refused."""
    folders: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_disk_is_told_before_anything_is_downloaded(world: World, mounted: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match="cannot be written: Read-only file system"):
        world.fetch(mounted("ro") / "small")
    assert world.hub.requests == []


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_full_disk_is_a_sentence_wherever_it_is(world: World, mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    disk = mounted("size=1m")
    with pytest.raises(CheckpointError, match="cannot be written: .*room"):
        world.fetch(disk / "small")
    assert list(disk.iterdir()) == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(disk / "hub"))
    with pytest.raises(CheckpointError, match=f"is full: {BIN} did not fit.*HF_HOME"):
        world.fetch()
    with pytest.raises(CheckpointError, match="GB free and .* needed"):
        fetch.check_room(disk / "a" / "b", 2**30)


@pytest.mark.slow
def test_two_processes_fetch_at_once_and_get_one_checkpoint(world: World) -> None:
    world.hub.pause_s[BIN] = 1.0
    processes = [world.start("fetch", "small") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        assert out == f"{world.weights / 'small'}\n"
        assert "%|" not in err, "no progress bars into a pipe"
    assert len(world.hub.downloads(BIN)) <= 2, "one GET, which may be redirected once"
    check_weights(world.weights / "small")
    assert {path.name for path in world.weights.iterdir()} == {"registry.toml", "small"}


@pytest.mark.slow
def test_after_a_killed_fetch_the_next_one_works_and_clears_up(world: World) -> None:
    world.hub.pause_s[BIN] = 60.0
    process = world.start("fetch", "small")
    assert world.hub.started.wait(120)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = [path for path in world.blobs() if path.suffix == ".incomplete"]
    assert not (world.weights / "small").exists()
    for path in left:
        os.utime(path, (0, 0))
    world.hub.pause_s.clear()
    check_weights(world.fetch())
    assert not [path for path in world.blobs() if path.suffix == ".incomplete"]


@pytest.mark.slow
def test_the_environment_of_a_process_is_honoured(world: World, tmp_path: Path) -> None:
    offline = world.start("fetch", "small", HF_HUB_OFFLINE="1")
    environment = world.environment(XDG_CACHE_HOME=str(tmp_path / "xdg"))
    del environment["HF_HOME"]
    code = "from bark_core.checkpoint.open import open_checkpoint; print(open_checkpoint('small').folder)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "xdg" / "huggingface" / "hub"))
    _, err = offline.communicate(timeout=120)
    assert offline.returncode == 1 and err.startswith("bark: The model small is not here, and HF_HUB_OFFLINE forbids") and "Traceback" not in err
