"""The predictor by itself: what it keeps, what it deletes, what it prints. What clients see of it is in test_http.py."""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cog.types import URLFile

from bark_core.errors import BarkError, InvalidInput
from bark_core.speech import service
from bark_core.speech.output import OutputOptions
from bark_core.speech.service import describe_request, read_inputs
from predict import Predictor, find_source


@pytest.fixture(scope="module")
def loaded() -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARK_MODEL", "demo")
        predictor = Predictor()
        predictor.setup()
        yield predictor


def speak(predictor: Predictor, **inputs: Any) -> Path:
    """Call predict as the server does: inputs left out take their declared defaults."""
    parameters = inspect.signature(predictor.predict).parameters
    return predictor.predict(**{**{name: parameter.default.default for name, parameter in parameters.items()}, **inputs})


def test_each_output_is_a_new_file_and_the_last_one_goes(loaded: Predictor) -> None:
    first = speak(loaded, prompt="Yes.", seed=1)
    with wave.open(str(first)) as file:
        assert file.getframerate() == 24_000
    second = speak(loaded, prompt="Yes.", seed=1)
    assert second.exists()
    assert not first.exists()
    assert first.name != second.name
    assert list(Path(loaded.service._folder.name).iterdir()) == [second]


def test_a_failed_prediction_deletes_the_last_output_too(loaded: Predictor) -> None:
    speak(loaded, prompt="Yes.", seed=1)
    with pytest.raises(InvalidInput, match="The text is empty"):
        speak(loaded, prompt="")
    assert not list(Path(loaded.service._folder.name).iterdir())


def test_an_unexpected_error_is_printed_whole_and_raised_again(
    loaded: Predictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("for this test")

    monkeypatch.setattr(loaded.service.bark, "generate", break_down)
    with pytest.raises(ZeroDivisionError):
        speak(loaded)
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "in break_down" in shown


@pytest.mark.slow
def test_one_line_says_what_is_spoken_and_how(loaded: Predictor, capsys: pytest.CaptureFixture[str]) -> None:
    first = speak(loaded, prompt="One.\nTwo.", seed=3, top_k=50.0)
    wanted = "seed 3, text_temp 0.7, waveform_temp 0.7, fine_temp 0.5, min_eos_p 0.2, top_k 50, top_p None"
    assert f"Speaking 'One.\\nTwo.' with voice None, {wanted}\n" in capsys.readouterr().out
    speak(loaded, text_prompt="x " * 120, seed=3, custom_history_prompt=io.BytesIO(first.read_bytes()))
    said = capsys.readouterr().out
    assert f"Speaking {('x ' * 100)!r} … (240 characters) with voice custom_history_prompt, seed 3" in said and "/" not in said
    assert "\n" not in describe_request("a\r\x1b[2K\u2028b\n", {"voice": None}, OutputOptions(format="wav"))


def test_an_expected_error_is_a_sentence_without_a_traceback(loaded: Predictor, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BarkError):
        speak(loaded, prompt=" ")
    assert "Traceback" not in capsys.readouterr().err


def test_an_upload_that_was_not_downloaded_is_its_url() -> None:
    assert find_source(URLFile("https://example.org/a%20voice.npz?key=1")) == "https://example.org/a%20voice.npz?key=1"
    assert find_source(file := io.BytesIO()) is file
    assert find_source("/etc/passwd") == "/etc/passwd"
    assert find_source(None) is None


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"voices": "{ANNA"}, "voices was '{ANNA', which is no JSON"),
        ({"voices": '["a"]'}, "it must be a JSON object of speakers and presets"),
        ({"voices": '{"A": 3}'}, "it must be a JSON object of speakers and presets"),
        ({"voices": '{"A": "/etc/passwd"}'}, "it must be the name of a preset"),
        ({"voices": '{"A": "voice.npz"}'}, "it must be the name of a preset"),
        ({"output_format": "wma"}, "format 'wma' is not known"),
        ({"sample_rate": 100}, "100"),
        ({"speed": 3}, "speed of 3"),
    ],
)
def test_inputs_that_a_server_might_let_pass_are_refused(inputs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_inputs({"prompt": "Hello.", **inputs})


def test_a_name_of_a_voice_opens_no_file_of_the_server(loaded: Predictor, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert Path("LICENSE").is_file()
    for inputs in ({"history_prompt": "LICENSE"}, {"voices": '{"ANNA": "LICENSE"}'}):
        with pytest.raises(InvalidInput, match="The model demo has no voice 'LICENSE'"):
            speak(loaded, prompt="ANNA: Yes.\nANNA: No.", **inputs)


def test_model_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str, **_: Any) -> None:
        asked.append(name)
        raise BarkError("far enough")

    monkeypatch.setattr(service.Bark, "load", load)
    for value in ("small", "", None):
        if value is None:
            monkeypatch.delenv("BARK_MODEL")
        else:
            monkeypatch.setenv("BARK_MODEL", value)
        with pytest.raises(BarkError, match="far enough"):
            Predictor().setup()
    assert asked == ["small", "large", "large"]


def run_script(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, root / "scripts" / "predict.py", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_script_writes_what_the_server_gives(root: Path, tmp_path: Path) -> None:
    first = run_script(root, "--model", "demo", "-i", "prompt=One, two.", "-i", "seed=3", "-i", "text_temp=0.6", "-o", tmp_path / "a.wav")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"Wrote {tmp_path / 'a.wav'}: ")
    assert first.stdout.endswith("with seed 3.\n")
    assert "Seed: 3\n" in first.stderr
    assert "100%|" in first.stderr
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() > 0
    second = run_script(
        root, "--model", "demo", "-q", "-i", "prompt=Three.", "-i", f"custom_history_prompt=@{tmp_path / 'a.wav'}", "-o", tmp_path / "b.wav"
    )
    assert second.returncode == 0, second.stderr
    assert second.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.slow
def test_script_writes_and_says_so_in_every_encoding(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, root / "scripts" / "predict.py", "--model", "demo", "-i", "prompt=One.", "-i", "seed=3", "-q", "-o", tmp_path / "a.wav"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and rb"\xd7 its length" in done.stdout
    assert (tmp_path / "a.wav").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-i", "volume=3"], 2, "is not name=value with a name among prompt, history_prompt"),
        (["-i", "prompt"], 2, "is not name=value"),
        (["-o", "/proc/x.wav"], 2, "/proc/x.wav cannot be written"),
        (["-o", "."], 2, ". cannot be written: Is a directory"),
        (["-i", "seed=x"], 2, "seed must be an integer"),
        (["-i", "text_temp=x"], 2, "text_temp must be a number"),
        (["-i", "custom_history_prompt=voice.npz"], 2, "put @ before its path to send it: -i custom_history_prompt=@voice.npz"),
        (["-i", "custom_history_prompt=@/no/file"], 2, "/no/file cannot be read: No such file"),
        (["--model", "demo", "-i", "top_k=0"], 2, "the server refused the inputs: top_k: 0 is less than the minimum of 1"),
        (["--model", "demo", "-i", "prompt= "], 1, "The text is empty"),
        (["--model", "/no/model"], 1, "The server's setup failed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_script_says_what_is_wrong(root: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = run_script(root, "-o", tmp_path / "out.wav", *arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
