"""The examples run as they stand, each in a folder of its own, and are as short as they claim."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
MADE = {
    "batch": ["batch_0.wav", "batch_1.wav", "batch_2.wav"],
    "dialogue": ["dialogue.wav"],
    "keep_a_voice": ["first.wav", "second.wav", "third.wav", "voice.npz"],
    "many_lines": ["lines.txt", "speech"],
    "long_text": ["harbour.srt", "harbour.wav"],
    "progress": [],
    "speak": ["speak.wav"],
    "stage_by_stage": [],
    "stream": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == MADE[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 20
