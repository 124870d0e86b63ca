"""`batch` on the command line: files of every kind, what is said on the way, and what is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bark_core.cli.main import main

QUICK = ["--precision", "fp32", "--max-seconds", "0.5", "--no-retry", "--split", "never"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["batch", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_table_into_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "speech"
    table.write_text("id,text,voice\nhello,Good morning.,demo_speaker_1\nbye,Goodbye.,\nshort\n", encoding="utf-8")
    code, shown, said = run(capsys, table, "--out", out, "--seed", 7, "--sample-rate", 8000, *QUICK)
    assert (code, shown) == (1, "")
    assert "bark: line 4: The row has 1 column where the header has 3 columns; give each row as many.\n" in said
    assert "bark: 3 of 3 lines, 1 failed, 1.0 s of speech in " in said and f"report in {out}/report.json\n" in said
    assert said.endswith("bark: 1 of 3 lines failed; mend them and start again: only they are spoken then.\n")
    assert sorted(path.name for path in out.iterdir()) == ["bye.wav", "hello.wav", "manifest.sqlite", "report.json"]
    table.write_text("id,text,voice\nhello,Good morning.,demo_speaker_1\nbye,Goodbye.,\n", encoding="utf-8")
    code, _, said = run(capsys, table, "--out", out, "--seed", 7, "--sample-rate", 8000, *QUICK)
    assert code == 0 and "2 of 2 lines, 2 as they were" in said
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["n_unchanged"] == 2


def test_a_dry_run_says_how_much_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Good morning.\n\nGoodbye.\n", encoding="utf-8")
    code, shown, said = run(capsys, tmp_path / "lines.txt", "--out", tmp_path / "out", "--dry-run", *QUICK)
    assert (code, said) == (0, "") and not (tmp_path / "out").exists()
    assert shown.startswith("2 lines: 2 to speak") and "measured by speaking 2 of them" in shown


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("absent.txt", [], "absent.txt cannot be read"),
        ("folder", [], "is a folder"),
        ("empty.txt", [], "has no line to speak"),
        ("lines.txt", ["--model", "no/model"], "no/model"),
        ("lines.txt", ["--seed", "-1"], "A seed of -1"),
        ("lines.txt", ["--format", "wma"], "The format 'wma' is not known"),
        ("lines.txt", ["--text-temp", "-1"], "A temperature of -1"),
        ("lines.txt", ["--batch-size", "0"], "--batch-size was 0"),
        ("lines.txt", ["--room-timeout", "nan"], "--room-timeout was nan"),
        ("lines.txt", ["--ray-timeout", "-5"], "--ray-timeout was -5"),
        ("lines.txt", ["--speaker", "ANNA"], "--speaker was 'ANNA'"),
    ],
)
def test_what_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, words: list[str], sentence: str) -> None:
    (tmp_path / "lines.txt").write_text("One.\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "folder").mkdir()
    code, shown, said = run(capsys, tmp_path / name, "--out", tmp_path / "out", *words)
    assert (code, shown) == (1, "") and said.startswith("bark: ") and sentence in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
