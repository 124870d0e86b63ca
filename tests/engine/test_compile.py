"""Finding, verifying and compiling a library: what is broken is made anew, what cannot be kept is used all the same, and who fails says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from bark_core.engine.compile import DIGEST_NAME, LIBRARY_NAME, NativeUnavailable, cache_key, find_library, load_compiled

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler on this machine")

FLAGS = ["-O1"]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of one function, and a compiler that writes down each time it is called."""
    path = tmp_path / "answer.cpp"
    path.write_text('extern "C" int answer() { return 42; }\n')
    compiler = tmp_path / "counting-compiler"
    compiler.write_text(f'#!/bin/sh\necho called >> "{tmp_path}/calls"\nexec c++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return path


def count_calls(source: Path) -> int:
    calls = source.parent / "calls"
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def test_a_library_is_compiled_once_and_found_after_that(source: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert load_compiled([source], FLAGS, tmp_path / "cache").answer() == 42
    assert count_calls(source) == 1
    load_compiled([source], ["-O2"], tmp_path / "cache")
    source.write_text(source.read_text() + "\n")
    load_compiled([source], FLAGS, tmp_path / "cache")
    assert count_calls(source) == 3
    left = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert left == [LIBRARY_NAME] * 3 + [DIGEST_NAME] * 3


def cut(library: Path) -> None:
    library.write_bytes(library.read_bytes()[:2000])


def flip_a_bit(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


def replace_by_a_folder(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    (path / "inside").mkdir(parents=True)


def replace_folder_by_a_file(library: Path) -> None:
    shutil.rmtree(library.parent)
    library.parent.write_text("")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "one bit": flip_a_bit,
    "empty": lambda library: library.write_bytes(b""),
    "missing": Path.unlink,
    "a folder": replace_by_a_folder,
    "a link to nothing": lambda library: (library.unlink(), library.symlink_to("nowhere")),
    "no digest": lambda library: library.with_name(DIGEST_NAME).unlink(),
    "an empty digest": lambda library: library.with_name(DIGEST_NAME).write_bytes(b""),
    "a digest of bytes": lambda library: library.with_name(DIGEST_NAME).write_bytes(b"\xff" * 64),
    "a digest that is a folder": lambda library: replace_by_a_folder(library.with_name(DIGEST_NAME)),
    "all a file": replace_folder_by_a_file,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_compiled_anew_and_never_loaded(source: Path, tmp_path: Path, damage: str) -> None:
    """In a process of its own, since loading a file that was cut short ends the process."""
    cache = tmp_path / "cache"
    script = (
        "import sys; from pathlib import Path; from bark_core.engine.compile import load_compiled\n"
        f"print(load_compiled([Path(sys.argv[1])], {FLAGS!r}, Path(sys.argv[2])).answer())"
    )

    def run() -> None:
        done = subprocess.run([sys.executable, "-W", "error", "-c", script, source, cache], capture_output=True, text=True, check=False)
        assert done.stdout == "42\n", (done.returncode, done.stderr)

    run()
    folder = cache / cache_key([source], FLAGS)
    DAMAGES[damage](folder / LIBRARY_NAME)
    assert find_library(folder) is None
    run()
    assert count_calls(source) == 2
    assert find_library(folder) == folder / LIBRARY_NAME
    run()
    assert count_calls(source) == 2


def test_a_cache_that_cannot_be_written_is_told_and_the_library_used_all_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"cannot be kept in .*/file/below \(Not a directory\)") as told:
            assert load_compiled([source], FLAGS, blocked / "below").answer() == 42
        assert len(told) == 1
    assert count_calls(source) == 2
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o555)
    with pytest.warns(UserWarning, match="Permission denied"):
        assert load_compiled([source], FLAGS, tmp_path / "cache").answer() == 42


def test_a_read_only_cache_that_holds_the_library_is_no_reason_for_words(source: Path, tmp_path: Path) -> None:
    load_compiled([source], FLAGS, tmp_path / "cache")
    for path in [*(tmp_path / "cache").rglob("*"), tmp_path / "cache"]:
        path.chmod(0o555)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_compiled([source], FLAGS, tmp_path / "cache").answer() == 42
    assert count_calls(source) == 1


def test_a_compiler_that_fails_says_so_in_its_own_words(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NativeUnavailable, match=r"counting-compiler failed: .*no-such-flag"):
        load_compiled([source], ["-fno-such-flag=3"], tmp_path / "cache")
    source.write_text("int answer( {")
    with pytest.raises(NativeUnavailable, match=r"failed: .*answer.cpp:1:.*error"):
        load_compiled([source], FLAGS, tmp_path / "cache")
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    with pytest.raises(NativeUnavailable, match=r"no C\+\+ compiler here \(.*nothing\).*CXX"):
        load_compiled([source], FLAGS, tmp_path / "cache")
    (tmp_path / "nothing").write_text("#!/nowhere\n")
    (tmp_path / "nothing").chmod(0o755)
    with pytest.raises(NativeUnavailable, match="does not start"):
        load_compiled([source], FLAGS, tmp_path / "cache")
    monkeypatch.setenv("CXX", "true")
    with pytest.raises(NativeUnavailable, match="no word"):
        load_compiled([source], FLAGS, tmp_path / "cache")
    with pytest.raises(NativeUnavailable, match="source cannot be read"):
        load_compiled([tmp_path / "absent.cpp"], FLAGS, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_compiler_may_come_with_arguments(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "c++ -DWHATEVER")
    assert load_compiled([source], FLAGS, tmp_path / "cache").answer() == 42
    assert count_calls(source) == 0
