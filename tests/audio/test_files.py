"""Files written whole or not at all: where they land, and what cannot be written, found out before the work."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bark_core.audio.files import PendingFile, check_target, write_atomically
from bark_core.errors import InvalidInput


def test_file_is_whole_or_absent_and_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["out.wav"]
    assert target.stat().st_mode & 0o600 == 0o600


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "out.wav", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "out.wav").stat().st_mode & 0o777 == 0o644


def test_what_is_discarded_leaves_the_old_file(tmp_path: Path) -> None:
    target = write_atomically(tmp_path / "out.wav", b"old")
    pending = PendingFile(target)
    pending.file.write(b"half of the ne")
    pending.discard()
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["out.wav"]


def test_a_link_stays_one_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("there/real.wav")
    (tmp_path / "second.wav").symlink_to("link.wav")
    (tmp_path / "empty.wav").symlink_to("there/new.wav")
    write_atomically(tmp_path / "second.wav", b"new")
    write_atomically(tmp_path / "empty.wav", b"made")
    assert [(tmp_path / name).is_symlink() for name in ("link.wav", "second.wav", "empty.wav")] == [True] * 3
    assert (tmp_path / "there" / "real.wav").read_bytes() == b"new"
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"real.wav", "new.wav"}


def test_pipes_and_devices_are_written_to_and_stay(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    check_target(pipe)  # which must not wait for a reader
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"through a pipe")
    reader.join(10)
    assert heard == [b"through a pipe"] and stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "null.wav").symlink_to(os.devnull)
    write_atomically(tmp_path / "null.wav", b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode) and (tmp_path / "null.wav").is_symlink()


UNWRITABLE = {
    "missing folder": ("missing/out.wav", "No such file or directory"),
    "a folder": ("folder.wav", "Is a directory"),
    "below a file": ("file/out.wav", "Not a directory"),
    "too long a name": ("x" * 300 + ".wav", "File name too long"),
    "a link to itself": ("loop.wav", "Too many levels of symbolic links"),
    "no place for files": ("/proc/x.wav", "No such file or directory"),
    "NUL": ("a\0b.wav", "holds a NUL character"),
    "surrogate": ("a\ud800.wav", "holds a character that no file name here can"),
}


@pytest.mark.parametrize(("name", "reason"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_cannot_be_written_is_a_sentence_before_and_after_the_work(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    with pytest.raises(InvalidInput, match=reason):
        check_target(tmp_path / name)
    with pytest.raises(InvalidInput, match=reason):
        write_atomically(tmp_path / name, b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav", "loop.wav"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_its_user_may_not_write_to_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    code = f"from bark_core.audio.files import check_target; check_target({str(tmp_path / 'out.wav')!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"import os, bark_core.audio.files; os.setuid(65534); {code}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "cannot be written: Permission denied. Give a path in a folder that exists, is writable" in done.stderr


@pytest.mark.parametrize("path", [3, None, b"out.wav"])
def test_what_is_no_path_is_a_sentence(path: object) -> None:
    with pytest.raises(InvalidInput, match="A path of type .* was given"):
        check_target(path)  # pyright: ignore[reportArgumentType]
