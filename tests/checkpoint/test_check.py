"""`info MODEL --check`: what is whole passes, and each thing that is wrong is named, all of them at once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bark_core.checkpoint.check import Check, check_checkpoint
from bark_core.checkpoint.open import open_checkpoint
from bark_core.cli.main import main
from tests.checkpoints import States, random_states, tiny_config, with_config, write_original, write_own, write_transformers
from tests.world import open_world

CONFIG = tiny_config("tiny", n_layer=1)


@pytest.fixture(scope="module")
def states() -> States:
    return random_states(CONFIG)


@pytest.fixture(scope="module")
def written(states: States, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own") / "tiny", CONFIG, states)


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "tiny"))


def check(folder: Path) -> Check:
    return check_checkpoint(open_checkpoint(folder), lambda message: None)


def test_what_is_whole_passes_in_every_layout(written: Path, states: States, tmp_path: Path) -> None:
    n_values = sum(tensor.numel() for part in states.values() for tensor in part.values())
    others = [write_transformers(tmp_path / "transformers", CONFIG, states), with_config(write_original(tmp_path / "original", CONFIG, states), CONFIG)]
    for folder in (written, *others):
        found = check(folder)
        assert found.problems == [] and found.n_values == n_values
    assert check(written).n_hashed == len([path for path in written.rglob("*") if path.is_file()]) - 1


def test_the_hashes_of_a_folder_are_what_sha256sum_reads(copied: Path, demo_folder: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum here")
    for folder in (copied, demo_folder):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_the_demo_is_whole(demo_folder: Path) -> None:
    found = check(demo_folder)
    assert found.problems == [] and found.n_hashed >= 7 and found.n_voices == 2


def spoil(path: Path, name: str, value: float, count: int = 1) -> None:
    tensors = load_file(path)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[1000 : 1000 + count] = value
    save_file(tensors, path)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nan": (
        lambda folder: spoil(folder / "coarse.safetensors", "wte.weight", float("nan"), 2),
        r"coarse part that are infinite or no numbers, in wte.weight \(2 of \d+\). Use",
    ),
    "infinite": (lambda folder: spoil(folder / "fine.safetensors", "wtes.3.weight", float("-inf")), r"fine part .*, in wtes.3.weight \(1 of"),
    "shape": (
        lambda folder: save_file({**load_file(folder / "semantic.safetensors"), "wpe.weight": torch.ones(3, 32)}, folder / "semantic.safetensors"),
        r"wpe.weight in its semantic part with the shape \[3, 32\]",
    ),
    "cut": (lambda folder: (folder / "codec.safetensors").write_bytes((folder / "codec.safetensors").read_bytes()[:-9]), "codec.safetensors cannot be read"),
    "one weight": (lambda folder: spoil(folder / "codec.safetensors", "codebooks", 0.5), "codec.safetensors has the SHA-256 .* it had where it came from"),
    "tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has neither tokenizer.json nor vocab.txt"),
    "voice": (lambda folder: np.savez(next((folder / "voices").rglob("*.npz")), semantic_prompt=np.arange(9)), "has no array coarse_prompt"),
    "sums": (lambda folder: (folder / "SHA256SUMS").write_text("no hashes"), "SHA256SUMS has a line that is no hash"),
    "sums of elsewhere": (lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../../x\n"), "lies outside of the checkpoint"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_thing_that_is_wrong_is_named(copied: Path, damage: str) -> None:
    change, said = DAMAGES[damage]
    change(copied)
    found = "\n".join(check(copied).problems)
    assert re.search(said, found), found


def test_all_that_is_wrong_is_told_and_the_exit_code_is_1(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(copied), "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    for change, _ in (DAMAGES["nan"], DAMAGES["infinite"], DAMAGES["no tokenizer"]):
        change(copied)
    assert main(["info", str(copied), "--check"]) == 1
    shown = capsys.readouterr()
    problems = json.loads(shown.out)["problems"]
    assert len(problems) == 6, "two parts, the tokenizer, and the hashes of all three"
    assert shown.err.splitlines()[-1].startswith("bark: tiny cannot be relied on: ") and shown.err.endswith("and 5 more.\n")
    assert main(["info", "voice.npz", "--check"]) == 1
    assert "--check reads models" in capsys.readouterr().err


def test_fetched_files_are_held_against_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_world(tmp_path, monkeypatch) as world:
        checkpoint = open_checkpoint("small")
        found = check_checkpoint(checkpoint, world.said.append)
        assert found.problems == [] and found.n_hashed == len([path for path in checkpoint.folder.rglob("*") if path.is_file()])
        index = (checkpoint.folder / "speaker_embeddings_path.json").resolve()
        index.write_bytes(index.read_bytes() + b"\n")
        (problem,) = check_checkpoint(checkpoint, world.said.append).problems
        assert "speaker_embeddings_path.json has the SHA-256" in problem and index.is_file()
