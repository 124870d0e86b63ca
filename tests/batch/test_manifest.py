"""The manifest: who has it, what is in it when a run was killed, and what becomes of one that somebody edited."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bark_core.batch.keeping import Keeper
from bark_core.batch.manifest import NAME
from bark_core.errors import InvalidInput
from tests.batch.lines import Parrot, read_report, write_lines

LINES = ({"id": "a", "text": "One."}, {"id": "b", "text": "Two."})


@pytest.fixture
def source(speak: Any, tmp_path: Path) -> Path:
    """A file of two lines that were spoken into `out`."""
    source = write_lines(tmp_path / "a.jsonl", *LINES)
    assert speak(source, Parrot()).n_spoken == 2
    return source


def edit(folder: Path, *statements: str) -> None:
    base = sqlite3.connect(folder / NAME)
    for statement in statements:
        base.execute(statement)
    base.commit()
    base.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_kill_around_the_moment_when_a_file_gets_its_name(speak: Any, source: Path, tmp_path: Path, is_there: bool) -> None:
    """The record comes before the name: where the file is there, the line is not spoken again."""
    edit(tmp_path / "out", "UPDATE lines SET state = 'pending' WHERE key = 'a'")
    if not is_there:  # of the same size
        (tmp_path / "out" / "a.wav").write_bytes(b"Won.")
    progress = speak(source, Parrot())
    assert progress.n_unchanged == (2 if is_there else 1)
    assert (tmp_path / "out" / "a.wav").read_bytes() == b"One."
    assert speak(source, Parrot()).n_unchanged == 2


def test_what_a_killed_run_was_writing_is_cleared_away(speak: Any, source: Path, tmp_path: Path) -> None:
    left, others = tmp_path / "out" / ".bark-0123456789abcdef.part", tmp_path / "out" / ".bark-mine.part"
    left.touch()
    others.touch()
    speak(source, Parrot())
    assert not left.exists() and others.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE lines",
        "ALTER TABLE lines RENAME COLUMN digest TO hash",
        "ALTER TABLE lines DROP COLUMN sha256",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 0",
    ],
)
def test_a_manifest_that_is_not_as_it_was_made_is_refused(speak: Any, source: Path, tmp_path: Path, statement: str) -> None:
    edit(tmp_path / "out", statement)
    if statement.startswith("DROP"):  # which leaves one without lines: all are spoken again
        assert speak(source, Parrot()).n_spoken == 2
        return
    with pytest.raises(InvalidInput, match="Move it away, and every line is spoken again"):
        speak(source, Parrot())
    (tmp_path / "out" / NAME).rename(tmp_path / "elsewhere")
    assert speak(source, Parrot()).n_spoken == 2


@pytest.mark.parametrize("damage", ["a text", "a cut", "overwritten"])
def test_a_manifest_that_is_damaged_is_refused(speak: Any, source: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "out" / NAME
    data = path.read_bytes()
    page = int.from_bytes(data[16:18], "big")
    path.write_bytes({"a text": b"a,One.\n" * 100, "a cut": data[: page + 100], "overwritten": data[:page] + b"\x55" * (len(data) - page)}[damage])
    with pytest.raises(InvalidInput, match="was edited or damaged|was not written by this version"):
        speak(source, Parrot())


def test_values_that_were_edited_count_for_nothing_but_their_line(speak: Any, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    edit(folder, "UPDATE lines SET digest = 'x' WHERE key = 'a'", "UPDATE lines SET file = '../../b.wav', size = size + 1 WHERE key = 'b'")
    assert speak(source, Parrot()).n_spoken == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]
    edit(folder, "UPDATE lines SET notes = 'no JSON'")
    assert speak(source, Parrot()).n_unchanged == 2, "what is done is not thrown away where the report cannot be written"
    with pytest.raises(sqlite3.IntegrityError):
        edit(folder, "UPDATE lines SET size = 'abc'")


def test_lines_that_are_no_longer_in_the_file_are_left_alone(speak: Any, source: Path, tmp_path: Path) -> None:
    speak(write_lines(source, {"id": "c", "text": "Three."}), Parrot())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == ["a.wav", "b.wav", "c.wav"]
    assert [each["id"] for each in read_report(tmp_path / "out")["spoken"]] == ["c"]
    assert speak(write_lines(source, *LINES), Parrot()).n_unchanged == 2


@pytest.mark.usefixtures("source")
def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    for each in read_report(tmp_path / "out")["spoken"]:
        assert each["sha256"] == hashlib.sha256((tmp_path / "out" / each["file"]).read_bytes()).hexdigest()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).mkdir()
    with pytest.raises(InvalidInput, match="manifest.sqlite cannot be written; give a folder that is writable"):
        Keeper(tmp_path / "out", print)
