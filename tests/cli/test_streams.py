"""The command line where streams are closed, full, or of an encoding that cannot hold what is printed; and where texts come from."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bark_core.audio.wav import encode_wav
from bark_core.cli.console import MAX_TEXT_BYTES
from bark_core.cli.main import main
from bark_core.types import History
from bark_core.voices.files import pack_chunk, read_info


def shell(root: Path, line: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which `bark` is the command line; `arguments` are its $1 and so on."""
    script = f'bark() {{ {shlex.quote(sys.executable)} -m bark_core "$@"; }}; {line}'
    return subprocess.run(["sh", "-c", script, "sh", *arguments], cwd=root, env={**os.environ, **environment}, capture_output=True, check=False)


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV whose text no old encoding holds."""
    path = tmp_path_factory.mktemp("noted") / "♪.wav"
    history = History(np.zeros(20, np.int64), np.zeros((2, 30), np.int64), np.zeros((8, 30), np.int64))
    path.write_bytes(encode_wav(np.zeros(320), 24_000, pack_chunk(history, {"text": "♪ in 😀"})))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "ascii:strict", "utf-16"])
def test_json_stays_json_in_every_encoding(root: Path, noted: Path, encoding: str) -> None:
    done = shell(root, 'bark info "$1"', noted, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode(encoding.partition(":")[0]))["text"] == "♪ in 😀"


def test_messages_and_help_are_printed_in_every_encoding(root: Path, tmp_path: Path) -> None:
    done = shell(root, 'bark info "$1"', tmp_path / "♪.wav", PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and rb"There is no file" in done.stderr and rb"\u266a.wav" in done.stderr
    done = shell(root, "bark speak --help", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")


CLOSED = [
    ('bark info "$1" >&-', 1, b"bark: Standard output is closed, so that there is nowhere to write to; leave it open, or redirect it to a file.\n"),
    ("bark speak Hi. -o - >&-", 1, b"bark: Speech would go to standard output, which is closed here; redirect it or give a file's name.\n"),
    ("bark speak - -o /nowhere/x.wav <&-", 1, b"bark: Standard input is closed, so that there is no text to read; give the text itself, or a file of it.\n"),
    ("bark info none.wav 2>&-", 1, b""),
    ("bark --version >&- 2>&-", 0, b""),
]


@pytest.mark.parametrize(("line", "code", "said"), CLOSED, ids=[line for line, _, _ in CLOSED])
def test_closed_streams_are_sentences(root: Path, noted: Path, line: str, code: int, said: bytes) -> None:
    done = shell(root, line, noted)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", said)


@pytest.mark.slow
def test_speech_needs_no_stream(root: Path, tmp_path: Path) -> None:
    done = shell(root, 'bark speak Hi. -o "$1" --seed 1 --max-seconds 0.2 <&- >&- 2>&-', tmp_path / "a.wav")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = shell(root, 'bark speak Hi. -o - --seed 1 --max-seconds 0.2 2>&- > "$1"', tmp_path / "b.wav")
    assert done.returncode == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(root: Path, noted: Path) -> None:
    done = shell(root, 'bark info "$1" > /dev/full', noted)
    assert (done.returncode, done.stderr) == (1, b"bark: Standard output cannot be written: No space left on device.\n")


DASHED = [
    (["-hello there", "-o", "x.wav"], "bark speak -- '-hello there'"),
    (["-Hm", "--seed", "-1"], "bark speak -- -Hm"),
    (["-o yes"], "bark speak -- '-o yes'"),
    (["--Oh, well=yes?", "too", "many"], "bark speak -- '--Oh, well=yes?'"),
    (["--seed", "x", "Hi."], None),
    (["--sed=3", "Hi."], None),
    (["-o", "x.wav"], None),
]


@pytest.mark.parametrize(("arguments", "hint"), DASHED, ids=[" ".join(arguments) for arguments, _ in DASHED])
def test_texts_that_begin_with_a_dash_are_told_how(arguments: list[str], hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speak", *arguments])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    if hint is None:
        assert "error: " in last
    else:
        assert last == f"bark: a text that begins with - is taken for an option; put -- before it: {hint}"


@pytest.mark.slow
def test_dashes_and_the_names_of_files_are_spoken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a story.txt").write_text("\ufeffOnce upon a time.\n", encoding="utf-8")
    common = ["-o", "x.wav", "--seed", "1", "--max-seconds", "0.1"]
    for arguments, text in ((["--", "-hello there"], "-hello there"), (["a story.txt"], "a story.txt"), (["--file", "a story.txt"], "Once upon a time.\n")):
        assert main(["speak", *common, *arguments]) == 0
        hinted = "bark: a story.txt is a file; its name is spoken. To speak what is in it: --file 'a story.txt'\n" in capsys.readouterr().err
        assert read_info("x.wav")["text"] == text and hinted == (arguments == ["a story.txt"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "none.txt cannot be read: No such file or directory. Give a text file."),
        (".", None, ". cannot be read: Is a directory. Give a text file."),
        ("latin.txt", "grün".encode("latin-1"), "latin.txt is not UTF-8 text; save it in UTF-8."),
        ("long.txt", b"a" * (MAX_TEXT_BYTES + 1), "long.txt has more than 16777216 bytes; no text is that long. Split it."),
        ("empty.txt", b"", "The text is empty; give at least one word to speak."),
    ],
)
def test_files_of_text_that_cannot_be_read_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    assert main(["speak", "--file", name]) == 1
    assert capsys.readouterr().err == f"bark: {said}\n"
