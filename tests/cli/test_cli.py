"""The command line, run as a user runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
import wave
from pathlib import Path

import pytest

from bark_core.cli.main import main
from bark_core.voices.voice import Voice

BARK = [sys.executable, "-m", "bark_core"]


def run(root: Path, *arguments: str | Path, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*BARK, *arguments], cwd=root, input=text, capture_output=True, check=False)


@pytest.mark.slow
def test_speak_writes_a_wav_that_says_how_it_was_made(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    done = run(root, "speak", "One, two.", "-o", out, "--seed", "5", "--text-temp", "0.6", "--device", "cpu", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    *others, line = done.stderr.decode().splitlines()
    assert line.startswith(f"bark: {out}: ")
    assert line.endswith("seed 5")
    assert all(other.startswith("bark: ") for other in others), "no progress where it is not a terminal"
    shown = run(root, "info", out)
    info = json.loads(shown.stdout)
    assert (info["text"], info["seed"], info["text_temp"], info["model"]) == ("One, two.", 5, 0.6, "demo")


@pytest.mark.slow
def test_text_from_a_pipe_and_speech_to_a_pipe(root: Path, tmp_path: Path) -> None:
    done = run(root, "speak", "-", "-o", "-", "--seed", "5", text="Grün ist es!\n".encode())
    assert done.returncode == 0, done.stderr
    with wave.open(io.BytesIO(done.stdout)) as file:
        assert file.getnframes() > 0
    (tmp_path / "piped.wav").write_bytes(done.stdout)
    assert json.loads(run(root, "info", tmp_path / "piped.wav").stdout)["text"].strip() == "Grün ist es!"


@pytest.mark.slow
def test_speech_can_be_kept_as_a_voice(root: Path, tmp_path: Path) -> None:
    voice = tmp_path / "voice.npz"
    first = run(root, "speak", "Good morning, everyone.", "-o", tmp_path / "a.wav", "--seed", "5", "--save-voice", voice)
    assert first.returncode == 0, first.stderr
    assert Voice.load(voice).fine.shape[0] == 8
    second = run(root, "speak", "And you.", "-o", tmp_path / "b.wav", "--voice", voice, "--max-seconds", "2")
    assert second.returncode == 0, second.stderr
    assert json.loads(run(root, "info", tmp_path / "b.wav").stdout)["voice"].startswith("custom:")


def test_speech_is_written_though_its_voice_cannot_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["speak", "Yes.", "-o", "a.wav", "--seed", "1", "--max-seconds", "0.05", "--save-voice", "v.npz"]) == 1
    *_, spoken, failed = capsys.readouterr().err.splitlines()
    assert spoken.startswith("bark: a.wav: 0.0") and failed.startswith("bark: The voice was not saved: ") and "too short" in failed
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.slow
def test_a_voice_is_saved_though_the_reader_of_the_speech_has_gone(root: Path, tmp_path: Path) -> None:
    arguments = ["speak", "Good morning, everyone.", "-o", "-", "--seed", "5", "--save-voice", str(tmp_path / "v.npz")]
    process = subprocess.Popen([*BARK, *arguments], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(120) == 141
    assert len(Voice.load(tmp_path / "v.npz").semantic) > 10


def test_progress_is_drawn_on_a_terminal(root: Path, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen([*BARK, "speak", "One.", "-o", tmp_path / "o.wav", "--seed", "1"], cwd=root, stderr=terminal, stdin=subprocess.DEVNULL)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 4096)
        except OSError:  # how Linux says that the other side has gone
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait(60) == 0
    assert b"\r100%|" in shown
    assert "█".encode() in shown


@pytest.mark.slow
def test_voices_lists_names(root: Path, demo_folder: Path) -> None:
    done = run(root, "voices")
    assert done.returncode == 0
    assert done.stdout.decode().split() == sorted(path.stem for path in (demo_folder / "voices").glob("*.npz"))


@pytest.mark.slow
def test_info_on_a_model(root: Path) -> None:
    info = json.loads(run(root, "info", "demo").stdout)
    assert info["model"] == "demo"
    assert info["config"]["codebook_size"] == 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speak", " ", "-o", "x.wav"], "The text is empty"),
        (["speak", "Hi.", "-o", "x.wma"], "x.wma ends in .wma, which stands for no format"),
        (["speak", "Hi.", "-o", "no/folder/x.wav"], "no/folder/x.wav cannot be written: No such file or directory"),
        (["speak", "Hi.", "-o", "/proc/x.wav"], "/proc/x.wav cannot be written"),
        (["speak", "Hi.", "-o", "x.wav", "--save-voice", "/proc/v.npz"], "/proc/v.npz cannot be written"),
        (["speak", "Hi.", "-o", "a\0b.wav"], "holds a NUL character"),
        (["voices", "--model", "a\0b"], "holds a NUL character"),
        (["info", "a\0b.npz"], "holds a NUL character"),
        (["speak", "Hi.", "-o", "x.wav", "--save-voice", "v.wav"], "v.wav does not end in .npz"),
        (["speak", "Hi.", "-o", "x.wav", "--seed", "-1"], "A seed of -1 was given"),
        (["speak", "Hi.", "-o", "x.wav", "--text-temp", "-1"], "A temperature of -1.0 was given"),
        (["speak", "Hi.", "-o", "x.wav", "--text-temp", "nan"], "A temperature of nan was given"),
        (["speak", "Hi.", "-o", "x.wav", "--voice", "v2/en_speaker_6"], "which the model demo does not have"),
        (["speak", "Hi.", "-o", "x.wav", "--voice", "none.npz"], "There is no file none.npz"),
        (["speak", "Hi.", "-o", "x.wav", "--device", "tpu"], "A device of 'tpu' was given"),
        (["speak", "Hi.", "-o", "x.wav", "--precision", "fp8"], "A precision of 'fp8' was given"),
        (["speak", "Hi.", "-o", "x.wav", "--model", "no/model"], "no/model"),
        (["voices", "--model", "no/model"], "no/model"),
        (["info", "none.wav"], "There is no file none.wav"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_exit_code_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("bark: ")
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", ["1.5", "x", "+-5", "1" * 10_000])
@pytest.mark.parametrize("command", [["speak", "Hi."], ["batch", "lines.txt", "--out", "d"]])
def test_what_is_no_seed_is_told_its_range(command: list[str], seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--seed", seed])
    assert ended.value.code == 2
    assert f"A seed of {seed[:40]!r} was given; it must be a whole number from 0 to 4294967295" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["sing"], ["speak"], ["speak", "Hi.", "--seed", "x"], ["fetch"], ["voices", "--loud"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: bark")


def test_help_answers_without_loading_anything(root: Path) -> None:
    code = "import sys; from bark_core.cli.main import main\ntry: main(['speak', '--help'])\nfinally: assert not {'torch', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--waveform-temp" in done.stdout


# Speaks for ever, and says when it begins: no text takes long enough for every checkpoint and machine.
ENDLESS = """
import sys
from bark_core import Bark
from bark_core.cli import main as cli
speak = Bark.generate
def speak_for_ever(*given, **named):
    print("speaking", flush=True)
    while True:
        speak(*given, **named)
Bark.generate = speak_for_ever
sys.exit(cli.main(["speak", "Hello.", "-o", sys.argv[1]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [[*BARK, "speak", "-", "-o"], [sys.executable, "-c", ENDLESS]], ids=["waiting for a text", "speaking"])
def test_interruption_is_exit_code_130_and_leaves_nothing(root: Path, tmp_path: Path, command: list[str]) -> None:
    process = subprocess.Popen(
        [*command, tmp_path / "out.wav"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs these tests in the background has its children ignore interruptions.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    if command[-1] == ENDLESS:
        assert process.stdout.readline() == b"speaking\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert b"Traceback" not in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(root: Path) -> None:
    process = subprocess.Popen([*BARK, "info", "demo"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    shown = process.stderr.read()
    assert process.wait(60) == 141
    assert shown == b""
