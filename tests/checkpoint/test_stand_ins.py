"""What stands in a file's place is told from its first bytes, in every format that is read; and what is none of that is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bark_core.checkpoint.hashes import SUMS
from bark_core.checkpoint.open import Checkpoint, open_checkpoint
from bark_core.checkpoint.tensorfiles import read_json, read_npy, read_safetensors, read_torch
from bark_core.config import PARTS
from bark_core.errors import BarkError, CheckpointError
from bark_core.filekinds import describe_file, describe_stand_in
from bark_core.text.wordpiece import TextEncoder
from bark_core.voices.voice import Voice
from tests.checkpoints import random_states, tiny_config, with_config, write_original, write_own, write_transformers

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

READERS: dict[str, Callable[[Path], object]] = {
    "config.json": read_json,
    "weights.safetensors": read_safetensors,
    "weights.bin": read_torch,
    "weights.pt": read_torch,
    "weights.th": read_torch,
    "prompt.npy": read_npy,
    "tokenizer.json": lambda path: TextEncoder.load(path, 256),
    "vocab.txt": lambda path: TextEncoder.load(path, 256),
    "voice.npz": Voice.load,
    "voice.wav": Voice.load,
}


@pytest.mark.parametrize(
    ("content", "said"),
    [(POINTER, "is a git-LFS pointer, not the file itself; run `git lfs pull`"), (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML><p>", "is a web page")],
    ids=["pointer", "page"],
)
@pytest.mark.parametrize("name", READERS)
def test_every_reader_tells_a_pointer_and_a_page_from_a_damaged_file(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BarkError, match=said) as caught:
        READERS[name](path)
    assert str(path) in str(caught.value) and str(caught.value).endswith(".")
    path.write_bytes(b"neither of them")
    with pytest.raises(BarkError) as caught:
        READERS[name](path)
    assert "pointer" not in str(caught.value) and "web page" not in str(caught.value)


def load_whole(checkpoint: Checkpoint) -> None:
    for part in PARTS:
        checkpoint.load_state(part)
    TextEncoder.load(checkpoint.load_tokenizer_file(), 256)
    for voice in checkpoint.voices:
        Voice.from_arrays(checkpoint.load_voice_arrays(voice), voice)


@pytest.mark.parametrize("write", [write_own, write_transformers, lambda *given: with_config(write_original(*given), given[1])])
def test_a_clone_without_lfs_is_told_whichever_of_its_files_is_a_pointer(write: Callable[..., Path], tmp_path: Path) -> None:
    config = tiny_config("tiny", n_layer=1)
    folder = write(tmp_path / "clone", config, random_states(config))
    load_whole(open_checkpoint(folder))
    # The hashes beside a checkpoint of ours are read by its check alone.
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SUMS]
    assert len(files) >= 5
    for path in files:
        content = path.read_bytes()
        path.write_bytes(POINTER)
        with pytest.raises(BarkError, match="git-LFS pointer"):
            load_whole(open_checkpoint(folder))
        path.write_bytes(content)


def test_files_of_ours_are_none_of_these(demo_folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(9))
    for path in [tmp_path / "a.npy", *(path for path in demo_folder.rglob("*") if path.is_file())]:
        assert describe_file(path) is None
    assert describe_file(tmp_path) is None and describe_file(tmp_path / "missing") is None
    assert describe_stand_in(b"") is None and describe_stand_in(b"version https://example.org") is None


def test_the_missing_one_of_the_originals_three_files_is_named(tmp_path: Path) -> None:
    config = tiny_config("tiny", n_layer=1)
    with_config(write_original(tmp_path, config, random_states(config), large=True), config)
    (tmp_path / "coarse_2.pt").unlink()
    for given in (tmp_path, tmp_path / "text_2.pt"):
        with pytest.raises(CheckpointError, match=r"has text_2.pt and fine_2.pt, but no coarse_2.pt; put it there"):
            open_checkpoint(given)
    write_original(tmp_path, config, random_states(config))
    assert open_checkpoint(tmp_path).config.coarse == config.coarse, "the three small ones are whole"
    with pytest.raises(CheckpointError, match="but no coarse_2.pt"):
        open_checkpoint(tmp_path / "fine_2.pt")
    (tmp_path / "fine.pt").unlink()
    (tmp_path / "text.pt").unlink()
    with pytest.raises(CheckpointError, match="has text_2.pt and fine_2.pt, but no coarse_2.pt"):
        open_checkpoint(tmp_path)
