"""Two versions of the model behind two real Cog servers: what scripts/compare.py says of them, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.compare import Spoken, find_difference
from scripts.server import Server

pytestmark = pytest.mark.slow

TEXT = "Good morning. It is a fine day."


def run(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "scripts/compare.py", *arguments], cwd=root, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def old() -> Iterator[str]:
    with Server({"BARK_MODEL": "demo"}) as server:
        yield server.url


@pytest.fixture(scope="module")
def new(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another version: its fine stage takes the likeliest code, whatever temperature is asked for."""
    folder = tmp_path_factory.mktemp("version")
    last = r"( +)return Path\(self\.service\.speak\("
    source, n_changes = re.subn(last, r'\1inputs["fine_temp"] = 0.0\n\g<0>', (root / "predict.py").read_text(encoding="utf-8"))
    assert n_changes == 1
    (folder / "predict.py").write_text(source, encoding="utf-8")
    with Server({"BARK_MODEL": str(root / "weights" / "demo"), "PYTHONPATH": str(root)}, folder / "predict.py", folder) as server:
        yield server.url


@pytest.fixture
def cases(tmp_path: Path) -> list[str]:
    inputs = {"warm": {"prompt": TEXT, "seed": 7}, "cold": {"prompt": TEXT, "fine_temp": 0, "seed": 7}, "empty": {"prompt": " "}}
    paths = [tmp_path / f"{name}.json" for name in inputs]
    for path, case in zip(paths, inputs.values(), strict=True):
        path.write_text(json.dumps(case), encoding="utf-8")
    return [str(path) for path in paths]


def test_one_version_is_the_same_as_itself(old: str, cases: list[str], root: Path) -> None:
    done = run(old, old, "--inputs", *cases, "--seeds", "2", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"warm, seed 7: the same, \d\.\d s", lines[0])
    assert lines[1].startswith("warm, seed 8: the same")
    assert "empty, seed 0: refused by both: " in lines[4]
    assert lines[-1] == "All 6 are the same, 4 of them spoken."


def test_the_stage_that_differs_first_is_named(old: str, new: str, cases: list[str], root: Path) -> None:
    done = run(old, new, "--inputs", *cases, root=root)
    assert done.returncode == 1, done.stdout + done.stderr
    warm, cold, empty, last = done.stdout.splitlines()
    assert re.match(r"warm, seed 7: differs first in the fine stage, from frame \d+, codebook [2-7] of \d+ on", warm)
    assert "cold, seed 7: the same" in cold
    assert "refused by both" in empty
    assert last == "1 of 3 differ."


def test_what_cannot_be_compared_has_an_exit_code_of_its_own(old: str, cases: list[str], tmp_path: Path, root: Path) -> None:
    gone = run(old, "http://127.0.0.1:9", "--inputs", *cases, root=root)
    assert (gone.returncode, "http://127.0.0.1:9 does not answer" in gone.stderr) == (2, True), gone
    nothing = run(old, old, "--inputs", cases[2], root=root)
    assert (nothing.returncode, "nothing was compared" in nothing.stderr) == (2, True), nothing
    (tmp_path / "list.json").write_text("[]")
    wrong = run(old, old, "--inputs", str(tmp_path / "list.json"), root=root)
    assert (wrong.returncode, "must hold one object" in wrong.stderr) == (2, True), wrong


def make(semantic: list[int], coarse: int = 3, audio: float = 0.0, error: str | None = None) -> Spoken:
    tokens = np.array(semantic)
    arrays = {"semantic_prompt": tokens, "coarse_prompt": np.full((2, 4), coarse), "fine_prompt": np.full((8, 4), 3)}
    return Spoken(arrays, np.full(8, audio), error)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (make([1, 2, 3]), make([1, 5, 3]), r"in the semantic stage, from token 1 of 3 on \(33.3% of its tokens"),
        (make([1, 2, 3]), make([1, 2]), "in the semantic stage, which stops after 3 steps in the old version and 2 in the new"),
        (make([1]), make([1], coarse=4), "in the coarse stage, from frame 0, codebook 0 of 4 on"),
        (make([1]), make([1], audio=0.5), "the same tokens, and samples that differ by up to 0.5000"),
        (make([1]), make([1], error="No."), "refused by the new version only: No."),
        (make([1], error="No."), make([1]), "refused by the old version only: No."),
        (make([1], error="No."), make([1], error="Never."), "refused by both, with other sentences: 'No.' and 'Never.'"),
        (make([1]), make([1], audio=0.0005), None),
    ],
)
def test_difference_is_a_sentence(old: Spoken, new: Spoken, sentence: str | None) -> None:
    found = find_difference(old, new)
    assert found is None if sentence is None else re.search(sentence, found or "")
