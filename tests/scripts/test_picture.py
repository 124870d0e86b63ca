"""The picture of what was spoken, looked at: loud is high, a tone is a line at its frequency, and the one in the README is small enough."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bark_core.audio.wav import encode_wav
from scripts.picture import draw, find_top_khz, measure_spectrum

image = pytest.importorskip("PIL.Image", reason="pictures are looked at with pillow")
pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib: pip install 'bark-core[train]'")

RATE_HZ = 24_000


def make_tone(frequency_hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)


def test_a_tone_is_loudest_at_its_frequency() -> None:
    spectrum = measure_spectrum(make_tone(3000))
    assert spectrum.max() == 0
    middle = spectrum[:, spectrum.shape[1] // 2]
    assert abs(int(middle.argmax()) * RATE_HZ / 512 - 3000) < RATE_HZ / 512
    assert find_top_khz(make_tone(3000), RATE_HZ) == 4
    assert find_top_khz(np.zeros(100), RATE_HZ) == 2


def test_picture_shows_where_it_is_loud_and_how_high_it_is() -> None:
    # Half silent, then a low tone with a high one half as loud.
    audio = np.concatenate([np.zeros(RATE_HZ), make_tone(1000) + 0.5 * make_tone(6000)])
    picture = np.asarray(image.open(io.BytesIO(draw(audio, RATE_HZ, "Words", "facts"))).convert("L")).astype(int)
    height, width = picture.shape
    assert width > 1000
    silent, loud = picture[:, int(0.2 * width) : int(0.45 * width)], picture[:, int(0.65 * width) : int(0.9 * width)]
    wave, spectrum = slice(int(0.1 * height), int(0.35 * height)), slice(int(0.42 * height), int(0.88 * height))
    assert (loud[wave] < 150).mean() > 0.5
    assert (silent[wave] < 150).mean() < 0.1
    dark = np.flatnonzero(loud[spectrum].mean(axis=1) < 170)
    assert len(np.flatnonzero(np.diff(dark) > 5)) == 1, "two lines, for two tones"
    assert silent[spectrum].mean() > 240


@pytest.mark.slow
def test_script_draws_what_a_wav_of_ours_says(tmp_path: Path, root: Path) -> None:
    from bark_core import Bark

    Bark.load("demo").generate("Good night.", seed=1).save(tmp_path / "night.wav")
    done = subprocess.run(
        [sys.executable, root / "scripts" / "picture.py", tmp_path / "night.wav", "-o", tmp_path / "night.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "night.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "other.wav").write_bytes(encode_wav(make_tone(440), RATE_HZ))
    refused = subprocess.run([sys.executable, root / "scripts" / "picture.py", tmp_path / "other.wav"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("picture: ")
    assert "without a voice" in refused.stderr
    assert not list(tmp_path.glob("picture.png"))


@pytest.mark.parametrize(("name", "limit_bytes"), [("demo.png", 150_000), ("playground.png", 200_000)])
def test_pictures_of_the_readme_are_small_and_wide(root: Path, name: str, limit_bytes: int) -> None:
    path = root / "docs" / name
    assert path.stat().st_size <= limit_bytes
    width, height = image.open(path).size
    assert width > 1000
    assert width > height
    assert f"docs/{name}" in (root / "README.md").read_text(encoding="utf-8")
