"""Levels of processors: which can be asked for, which are refused and how, and what happens where a compiler cannot do one."""

from __future__ import annotations

import platform
import warnings
from pathlib import Path

import pytest

from bark_core.engine import levels
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.levels import LEVEL_VARIABLE, LEVELS, choose_levels, list_runnable
from bark_core.engine.native import describe_level, load_library
from bark_core.errors import InvalidInput

AVX2 = next(level for level in LEVELS["x86_64"] if level.name == "x86-64-v3")


def names(asked: str | None = None) -> list[str]:
    return [level.name for level in choose_levels(asked)]


@pytest.fixture
def avx2_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with AVX2 and nothing after it."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(levels, "read_instructions", lambda: AVX2.needs | {"sse2"})
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)


@pytest.mark.usefixtures("avx2_only")
def test_the_level_asked_for_comes_first_and_the_plainer_ones_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names() == names("native") == ["native", "x86-64-v3", "x86-64"]
    assert names("x86-64-v3") == ["x86-64-v3", "x86-64"]
    monkeypatch.setenv(LEVEL_VARIABLE, "x86-64")
    assert names() == ["x86-64"] and names("x86-64-v3") == ["x86-64-v3", "x86-64"]


@pytest.mark.usefixtures("avx2_only")
def test_a_level_that_this_processor_lacks_is_refused_and_not_run() -> None:
    with pytest.raises(InvalidInput, match="asks for the level x86-64-v4, and this processor lacks avx512bw, .*; it can run native, x86-64, x86-64-v3"):
        load_library(level="x86-64-v4")


@pytest.mark.usefixtures("avx2_only")
def test_a_level_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidInput, match="'avx9'; it must be one of native, x86-64, x86-64-v3, alderlake, x86-64-v4"):
        load_library(level="avx9")


def test_other_processors_have_levels_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(levels, "read_instructions", lambda: frozenset({"asimd", "asimddp"}))
    assert names() == ["native", "armv8.2-a+dotprod", "armv8-a"]
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert names() == ["native"]


@pytest.mark.slow
def test_each_level_of_this_machine_is_compiled_for_itself() -> None:
    found = [describe_level(load_library(level=level.name)) for level in list_runnable()]
    assert len(set(found)) == len(found)


@pytest.fixture
def failing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that knows the plainest level only, and counts what it refuses; for the plainest it has the library ready."""
    plainest = list_runnable()[0]
    try:
        ready = load_library(level=plainest.name)._name
    except NativeUnavailable as error:
        pytest.skip(f"no compiled step on this machine: {error}")
    compiler = tmp_path / "old-compiler"
    compiler.write_text(
        f'#!/bin/sh\ncase " $* " in *" {plainest.flags[0]} "*) ;; *) echo "error: bad value for -march" >&2; echo no >> {tmp_path}/refused; exit 1;; esac\n'
        f'for last; do :; done\ncp "{ready}" "$last"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return compiler


def test_a_compiler_that_fails_at_a_level_compiles_the_next_plainer_one_and_says_so_once(failing_compiler: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        library = load_library(tmp_path / "cache", "native")
    assert describe_level(library) == describe_level(load_library(level=list_runnable()[0].name))
    assert len(told) == 1
    assert f"compiled for {list_runnable()[0].name}, not for native, and may be slower: the C++ compiler {failing_compiler} failed: error: bad value" in str(
        told[0].message
    )
    assert len((tmp_path / "refused").read_text().splitlines()) == len(list_runnable())  # native, and all but the plainest


def test_a_compiler_that_fails_at_all_levels_says_why(failing_compiler: Path, tmp_path: Path) -> None:
    failing_compiler.write_text("#!/bin/sh\necho 'fatal error: no such header' >&2\nexit 1\n")
    with pytest.raises(NativeUnavailable, match="fatal error: no such header"):
        load_library(tmp_path / "cache", "native")
