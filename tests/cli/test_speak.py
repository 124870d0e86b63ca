"""`speak` with long texts, dialogue, streams, formats and subtitles; its plain uses are in test_cli.py."""

from __future__ import annotations

import io
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from bark_core.cli.main import main
from bark_core.voices.files import read_info

TEXT = "Good morning. The train leaves at nine. It stops at every village on the way. Nobody is in a hurry today. We shall see the sea before noon."
SPEAK = [sys.executable, "-m", "bark_core", "speak", "--precision", "int8", "--seed", "3"]


@pytest.mark.slow
def test_dialogue_with_subtitles_in_another_format(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    script = tmp_path / "script.txt"
    script.write_text("ANNA: Good morning.\nBEN: Hello, Anna. [pause 1s] Goodbye.", encoding="utf-8")
    arguments = ["speak", "--file", str(script), "--speaker", "ANNA=demo_speaker_1", "--speaker", "BEN=demo_speaker_0", "--seed", "1"]
    assert main([*arguments, "-o", str(tmp_path / "both.flac"), "--subtitles", str(tmp_path / "both.vtt"), "--speaker-pause", "0.7"]) == 0
    assert soundfile.info(tmp_path / "both.flac").samplerate == 24_000
    subtitles = (tmp_path / "both.vtt").read_text(encoding="utf-8")
    assert "<v ANNA>Good morning." in subtitles and subtitles.count("<v BEN>") >= 1


@pytest.mark.slow
def test_a_stream_to_a_pipe_is_what_is_written_to_a_file(root: Path, tmp_path: Path) -> None:
    whole = subprocess.run([*SPEAK, TEXT, "-o", str(tmp_path / "whole.wav"), "--split", "always"], cwd=root, capture_output=True, check=False)
    assert whole.returncode == 0, whole.stderr
    assert len(read_info(tmp_path / "whole.wav")["utterances"]) > 1, "first a short one, then the rest"
    streamed = subprocess.run([*SPEAK, TEXT, "--stream", "--format", "pcm", "--split", "always"], cwd=root, capture_output=True, check=False)
    assert streamed.returncode == 0, streamed.stderr
    with wave.open(str(tmp_path / "whole.wav")) as file:
        assert np.array_equal(np.frombuffer(streamed.stdout, "<i2"), np.frombuffer(file.readframes(file.getnframes()), "<i2"))


@pytest.mark.slow
def test_a_streamed_wav_can_be_read_and_a_reader_that_goes_away_stops_the_work(root: Path) -> None:
    process = subprocess.Popen([*SPEAK, TEXT * 6, "--stream"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    head = process.stdout.read(44 + 24_000)
    assert head[:4] == b"RIFF" and head[8:12] == b"WAVE" and np.frombuffer(head[44:], "<i2").any()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(120) == 141


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--stream", "-o", "x.wav"], "leave one of them out"),
        (["-o", "x.wma"], "ends in .wma, which stands for no format"),
        (["--sample-rate", "100"], "100"),
        (["--speed", "9"], "speed of 9"),
        (["--subtitles", "x.ass"], "does not end in .srt or .vtt"),
        (["--speaker", "ANNA"], "--speaker was 'ANNA'"),
        (["--stream", "--loudness", "-16"], "--loudness measures the whole speech"),
        (["--takes", "0"], "n_takes was 0"),
        (["--language", "xx"], "language was 'xx'"),
        (["--paragraph-pause", "-1"], "paragraph_s was -1"),
    ],
)
def test_wrong_options_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO()))
    assert main(["speak", "Hello.", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
