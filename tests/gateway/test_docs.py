"""The examples for clients in README.md, and those of docs/gateway.md, read out of them and run as they stand, but for the address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.gateway.running import Gateway

pytestmark = pytest.mark.slow

ADDRESS = "http://127.0.0.1:8000"
STARTS = {"speech.mp3": (b"ID3", b"\xff"), "speech.wav": (b"RIFF",), "speech.flac": (b"fLaC",)}


def read_example(path: Path, language: str) -> str:
    """Return a document's one block in a language."""
    text = path.read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return block


@pytest.mark.parametrize(
    ("language", "command", "file"),
    [
        ("sh", ["bash", "-euc"], "speech.mp3"),
        ("py", [sys.executable, "-c"], "speech.wav"),
        ("js", ["node", "-e"], "speech.flac"),
    ],
)
def test_an_example_runs_as_it_stands(root: Path, gateway: Gateway, tmp_path: Path, language: str, command: list[str], file: str) -> None:
    needed = "curl" if language == "sh" else command[0]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    example = read_example(root / "README.md", language)
    assert ADDRESS in example and file in example
    done = subprocess.run([*command, example.replace(ADDRESS, gateway.url)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    data = (tmp_path / file).read_bytes()
    assert data.startswith(STARTS[file]) and len(data) > 2_000
    if language == "py":
        assert done.stdout == "seed 7\n"


def test_node_gets_the_sentence_of_an_error(root: Path, gateway: Gateway, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    example = read_example(root / "README.md", "js").replace(ADDRESS, gateway.url).replace('"alloy"', '"nobody"')
    done = subprocess.run(["node", "-e", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0 and "There is no voice 'nobody'" in done.stderr


def test_the_table_of_voices_is_one(root: Path, tmp_path: Path) -> None:
    from bark_core.gateway.names import read_names

    path = tmp_path / "voices.toml"
    path.write_text(read_example(root / "docs" / "gateway.md", "toml"))
    assert read_names(path).own == tomllib.loads(path.read_text())


def test_every_option_that_the_document_names_exists(root: Path) -> None:
    text = (root / "docs" / "gateway.md").read_text(encoding="utf-8")
    shown = subprocess.run([sys.executable, "-m", "bark_core", "gateway", "--help"], cwd=root, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text))
    assert named
    assert all(option in shown for option in named), named
