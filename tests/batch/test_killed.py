"""The command, killed, without room, and twice at once: what it leaves is whole, and started again it does what is left and no more."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from bark_core.cli.main import main
from bark_core.voices.files import read_info
from tests.batch.lines import finish, list_words, read_report, read_speech, start, wait_for, write_lines

N_LINES = 24


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines, of which the last are long: there is time to kill what speaks them."""
    folder = tmp_path_factory.mktemp("lines")
    return write_lines(folder / "a.jsonl", *({"id": f"{n:02}", "text": f"This is line {n}.", **({} if n < 16 else {"max_seconds": 2.0})} for n in range(N_LINES)))


@pytest.fixture(scope="module")
def whole(source: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run gives that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(list_words(source, folder, tiny)) == 0
    return read_speech(folder)


def count_speech(folder: Path) -> int:
    return sum(path.suffix == ".wav" for path in folder.iterdir()) if folder.is_dir() else 0


@pytest.mark.slow
def test_killed_and_started_again(root: Path, source: Path, tiny: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    folder, spoken = tmp_path / "out", 0
    for least in (1, 13):
        process = start(root, source, folder, tiny, "--batch-size", "1")
        wait_for(process, lambda least=least: count_speech(folder) >= least)
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = read_speech(folder)
        assert left.items() <= whole.items(), "whatever has its name is whole"
        assert len(left) >= spoken
        spoken = len(left)
    assert spoken < N_LINES, "it was killed with something left to do"
    times = {path.name: path.stat().st_ino for path in folder.glob("*.wav")}
    assert main(list_words(source, folder, tiny)) == 0
    report = read_report(folder)
    assert read_speech(folder) == whole
    assert (report["n_unchanged"], report["n_spoken"]) == (spoken, N_LINES - spoken)
    assert times.items() <= {path.name: path.stat().st_ino for path in folder.glob("*.wav")}.items(), "what was done was not done again"
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    assert len({read_info(path)["seed"] for path in folder.glob("*.wav")}) == N_LINES


def limit(n_bytes: int) -> None:
    """Let no file of this process have more bytes: to the process, that is a disk without room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


@pytest.mark.slow
@pytest.mark.parametrize("comes", [True, False], ids=["room comes", "none comes"])
def test_a_folder_that_is_full(root: Path, source: Path, tiny: Path, whole: dict[str, bytes], tmp_path: Path, comes: bool) -> None:
    folder, most = tmp_path / "out", max(map(len, whole.values()))
    words = ("--room-timeout", "240" if comes else "0", "--batch-size", "2")
    process = start(root, source, folder, tiny, *words, preexec_fn=lambda: limit(most - 1))
    if comes:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "no room" in said and "Waiting up to 240 s; what is done is whole" in said
        assert read_speech(folder).items() <= whole.items()
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert "There is room again" in finish(process)
    else:
        assert "no room" in finish(process, 1)
        done = read_speech(folder)
        assert done.items() <= whole.items() and len(done) < N_LINES
        assert read_report(folder)["ended"] == "for lack of room"
        assert main(list_words(source, folder, tiny)) == 0
        assert read_report(folder)["n_unchanged"] == len(done)
    assert read_speech(folder) == whole


@pytest.mark.slow
def test_two_at_once(root: Path, source: Path, tiny: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = start(root, source, folder, tiny, "--batch-size", "1")
    wait_for(first, lambda: count_speech(folder) > 0)
    first.send_signal(signal.SIGSTOP)
    try:
        said = finish(start(root, source, folder, tiny), 1)
        assert said == f"bark: {folder} is being written by another run; wait for its end, or give another folder.\n"
    finally:
        first.send_signal(signal.SIGCONT)
    finish(first)
    assert read_speech(folder) == whole
