"""`script`: what would be spoken, shown without speaking."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bark_core.cli.main import main

DIALOGUE = "# At the door\n\nANNA: Who is there?\nMAN: It is only me. [pause 1.5s] Open the door, please.\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["script", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_utterances_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "dialogue.txt"
    file.write_text(DIALOGUE, encoding="utf-8")
    code, out, err = run(capsys, file, "--speaker", "ANNA=demo_speaker_1", "--speaker-pause", "0.7")
    assert code == 0
    assert [line.split(" s  ")[-1] for line in out.splitlines()] == ["At the door", "Who is there?", "MAN: It is only me.", "Open the door, please."]
    assert [line.split()[1] for line in out.splitlines()] == ["-", "ANNA", "MAN", "MAN"]
    assert [line[line.index("then") :][:11] for line in out.splitlines()] == ["then 0.80 s", "then 0.70 s", "then 1.50 s", "then 0.00 s"]
    assert err.startswith("bark: 4 utterances, about ")


def test_utterances_are_shown_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "dialogue.txt"
    file.write_text(DIALOGUE, encoding="utf-8")
    code, out, _ = run(capsys, file, "--speaker", "ANNA=demo_speaker_1", "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["number"], row["speaker"], row["voice"], row["line"], row["heading"]) for row in rows] == [
        (1, None, None, 1, "At the door"),
        (2, "ANNA", "demo_speaker_1", 3, "At the door"),
        (3, "MAN", None, 4, "At the door"),
        (4, "MAN", None, 4, "At the door"),
    ]
    assert all(row["seconds"] > 0 and row["tokens"] > 0 for row in rows)


def test_a_short_text_is_one_utterance_and_numbers_can_be_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("unicode_rbnf", reason="the package unicode-rbnf (extra numbers) is not installed")
    file = tmp_path / "short.txt"
    file.write_text("I have 3 boats. They are old.", encoding="utf-8")
    assert run(capsys, file)[1].endswith("I have 3 boats. They are old.\n")
    assert run(capsys, file, "--normalize", "numbers")[1].endswith("I have three boats. They are old.\n")
    assert run(capsys, file, "--normalize", "numbers", "--language", "fr")[1].endswith("I have trois boats. They are old.\n")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("One.\n[pause -1s] Two.", [], "Line 2 has '[pause -1s]'"),
        ("[voice nobody] Hi.", [], "no voices were given"),
        ("...", [], "has no letter and no digit"),
        ("Hi.", ["--speaker", "ANNA"], "--speaker was 'ANNA'"),
        ("Hi.", ["--language", "nl"], "language was 'nl'"),
        ("Hi.", ["--model", "no/model"], "no/model"),
    ],
)
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, options: list[str], message: str) -> None:
    file = tmp_path / "text.txt"
    file.write_text(text, encoding="utf-8")
    code, out, err = run(capsys, file, *options)
    assert (code, out) == (1, "")
    assert err.startswith("bark: ") and message in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_text_from_a_pipe(root: Path) -> None:
    command = [sys.executable, "-m", "bark_core", "script", "-"]
    done = subprocess.run(command, cwd=root, input="Grüße!".encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().endswith("Grüße!\n")


def test_the_page_shows_what_is_shown(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "long-texts.md").read_text(encoding="utf-8")
    text, console = page.split("```text\n", 1)[1].split("```", 1)[0], page.split("```console\n", 1)[1].split("```", 1)[0]
    (tmp_path / "door.txt").write_text(text, encoding="utf-8")
    command, *shown = console.splitlines()
    code, out, err = run(capsys, tmp_path / "door.txt", *command.split()[6:])
    assert code == 0
    assert [*out.splitlines(), *err.splitlines()] == shown
