"""Checkpoints: every layout gives the same weights, and whatever is wrong with one is a sentence that names it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bark_core.checkpoint.open import Checkpoint, open_checkpoint
from bark_core.config import PARTS, BarkConfig, FineConfig, GPTConfig
from bark_core.errors import CheckpointError
from bark_core.text.wordpiece import TextEncoder
from tests.checkpoints import States, random_states, tiny_config, with_config, write_original, write_own, write_transformers

Writer = Callable[[Path, BarkConfig, States], Path]

LAYOUTS: dict[str, Writer] = {
    "own": write_own,
    "transformers-bin": write_transformers,
    "transformers-safetensors": lambda folder, config, states: write_transformers(folder, config, states, "safetensors", parametrized=True),
    "transformers-shards": lambda folder, config, states: write_transformers(folder, config, states, "shards"),
    "original": lambda folder, config, states: with_config(write_original(folder, config, states), config),
    "original-large": lambda folder, config, states: with_config(write_original(folder, config, states, large=True, old_sizes=True), config),
}


@pytest.fixture(scope="module")
def config() -> BarkConfig:
    return tiny_config("tiny", n_layer=1)


@pytest.fixture(scope="module")
def states(config: BarkConfig) -> States:
    return random_states(config)


@pytest.fixture(scope="module")
def written(config: BarkConfig, states: States, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint in every layout."""
    root = tmp_path_factory.mktemp("layouts")
    return {name: write(root / name, config, states) for name, write in LAYOUTS.items()}


@pytest.fixture
def copied(written: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copy a checkpoint, to be damaged."""
    return lambda name: Path(shutil.copytree(written[name], tmp_path / name))


def load_all(checkpoint: Checkpoint) -> None:
    for part in PARTS:
        checkpoint.load_state(part)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_weights(layout: str, written: dict[str, Path], config: BarkConfig, states: States) -> None:
    checkpoint = open_checkpoint(written[layout])
    assert dataclasses.replace(checkpoint.config, name="tiny") == config
    for part in PARTS:
        loaded = checkpoint.load_state(part)
        assert loaded.keys() == states[part].keys()
        for name, tensor in loaded.items():
            if part == "codec":
                torch.testing.assert_close(tensor, states[part][name], rtol=1e-5, atol=1e-7)
            else:
                assert torch.equal(tensor, states[part][name]), name
    assert not checkpoint.is_half


def test_one_checkpoint_has_one_digest_in_every_layout(written: dict[str, Path], config: BarkConfig, tmp_path: Path) -> None:
    digests = {open_checkpoint(folder).digest for folder in written.values()}
    assert len(digests) == 1 and len(digests.pop()) == 16
    other = write_own(tmp_path / "other", config, random_states(config, seed=1))
    assert open_checkpoint(other).digest != open_checkpoint(written["own"]).digest


def test_16_bits_are_told_and_identified(written: dict[str, Path], config: BarkConfig, states: States, tmp_path: Path) -> None:
    half = open_checkpoint(write_own(tmp_path / "half", config, states, half=True))
    assert half.is_half
    assert {tensor.dtype for part in PARTS for tensor in half.load_state(part).values()} == {torch.float16}
    assert half.digest != open_checkpoint(written["own"]).digest


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_tokenizer_of_every_layout_reads(layout: str, written: dict[str, Path]) -> None:
    own, other = (TextEncoder.load(open_checkpoint(written[name]).load_tokenizer_file(), 256) for name in ("own", layout))
    assert len(own.tokenize("hello!")) == 6
    assert other.tokenize("hello!") == own.tokenize("hello!")


def test_the_original_files_say_their_own_sizes_and_the_rest_is_as_released(tmp_path: Path) -> None:
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "bias": True}
    config = BarkConfig(
        name="mine",
        semantic=GPTConfig(**sizes, input_vocab_size=129_600, output_vocab_size=10_048),
        coarse=GPTConfig(**sizes, input_vocab_size=12_096, output_vocab_size=12_096),
        fine=FineConfig(**sizes, input_vocab_size=1056, output_vocab_size=1056),
        codec=tiny_config().codec,
    )
    folder = write_original(tmp_path / "mine", config, random_states(config), old_sizes=True)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == config and checkpoint.name == "mine"
    load_all(checkpoint)
    # A clone of the hub's repository has transformers' config.json there, which says nothing of these files.
    (folder / "config.json").write_text('{"model_type": "bark"}')
    assert open_checkpoint(folder / "text.pt").config == config


def test_a_file_of_one_of_two_sizes_names_that_size(config: BarkConfig, states: States, tmp_path: Path) -> None:
    larger = tiny_config("tiny", n_layer=2)
    with_config(write_original(tmp_path, config, states), config)
    write_original(tmp_path, larger, random_states(larger), large=True)
    assert open_checkpoint(tmp_path / "coarse.pt").config.coarse.n_layer == 1
    assert open_checkpoint(tmp_path / "fine_2.pt").config.coarse.n_layer == 2
    assert open_checkpoint(tmp_path).config.coarse.n_layer == 2


def test_numbers_pickled_by_an_older_numpy_are_read(copied: Callable[[str], Path]) -> None:
    path = copied("original") / "text.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_suffix(".new"), "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in data
                data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            new.writestr(entry.filename, data)
    path.with_suffix(".new").rename(path)
    open_checkpoint(path).load_state("semantic")


def damage_own(folder: Path, change: Callable[[dict[str, torch.Tensor]], object], part: str = "coarse") -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / f"{part}.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / f"{part}.safetensors")


def damage_bin(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    change(tensors)
    torch.save(tensors, folder / "pytorch_model.bin")


def damage_pt(folder: Path, change: Callable[[dict[str, torch.Tensor]], object], name: str = "coarse.pt") -> None:
    values = torch.load(folder / name, weights_only=False)
    change(values["model"])
    torch.save(values, folder / name)


STRICT: list[Any] = [
    ("own", "coarse", damage_own, lambda t: t.pop("h.0.mlp.c_fc.weight"), "h.0.mlp.c_fc.weight"),
    ("own", "coarse", damage_own, lambda t: t.update({"h.7.ln_1.weight": torch.ones(32)}), "h.7.ln_1.weight"),
    ("own", "coarse", damage_own, lambda t: t.update({"wpe.weight": torch.ones(3, 32)}), "wpe.weight.*3, 32.*1024, 32"),
    ("own", "coarse", damage_own, lambda t: t.update({"ln_f.weight": torch.ones(32, dtype=torch.float64)}), "ln_f.weight.*float64"),
    ("transformers-bin", "semantic", damage_bin, lambda t: t.pop("semantic.lm_head.weight"), "lm_head.weight"),
    ("transformers-bin", "semantic", damage_bin, lambda t: t.update({"semantic.surprise": torch.ones(2)}), "surprise"),
    ("transformers-bin", "semantic", damage_bin, lambda t: t.update({"semantic.layers.0.attn.bias": torch.ones(9)}), "h.0.attn.bias"),
    ("transformers-bin", "fine", damage_bin, lambda t: t.update({"fine_acoustics.lm_heads.2.weight": torch.ones(1025, 32)}), "lm_heads.2.*wtes.3"),
    ("transformers-bin", "codec", damage_bin, lambda t: t.pop("codec_model.quantizer.layers.5.codebook.embed"), "layers.5._codebook.embed"),
    ("transformers-bin", "codec", damage_bin, lambda t: t.pop("codec_model.decoder.layers.0.conv.weight_v"), "weight_g but no .*weight_v"),
    ("transformers-bin", "codec", damage_bin, lambda t: t.update({"codec_model.decoder.layers.0.conv.weight_g": torch.ones(3)}), r"weight_g of shape \[3\]"),
    ("transformers-bin", "codec", damage_bin, lambda t: t.pop("codec_model.decoder.layers.1.lstm.bias_hh_l1"), "lstm.bias_hh_l1"),
    ("original", "coarse", damage_pt, lambda t: t.pop("_orig_mod.transformer.ln_f.weight"), "ln_f.weight"),
    ("original", "coarse", damage_pt, lambda t: t.update({"_orig_mod.transformer.extra": torch.ones(2)}), "extra"),
]


@pytest.mark.parametrize(("layout", "part", "damage", "change", "said"), STRICT, ids=[f"{row[0]}-{row[-1]}" for row in STRICT])
def test_a_missing_extra_or_misshapen_tensor_is_named(
    layout: str, part: str, damage: Any, change: Any, said: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(layout)
    damage(folder, change)
    checkpoint = open_checkpoint(folder)
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load_state(part)


@pytest.mark.parametrize(
    ("part", "sizes"),
    [
        ("semantic", {"n_layer": 10**9}),
        ("semantic", {"n_layer": 10**6}),
        ("coarse", {"n_embd": 2**62, "n_head": 1}),
        ("fine", {"output_vocab_size": 2**70}),
        ("codec", {"n_lstm_layers": 10**6}),
        ("codec", {"n_filters": "many"}),
        ("codec", {"ratios": [8, None]}),
        ("codec", {"dimension": -1}),
        ("codec", {"n_filters": 1.5}),
        ("codec", {"n_lstm_layers": "two", "n_residual_layers": None, "ratios": "8542"}),
        ("codec", {"ratios": [2] * 10**6}),
    ],
)
def test_sizes_that_no_model_has_are_a_sentence(part: str, sizes: dict[str, Any], copied: Callable[[str], Path]) -> None:
    folder = copied("own")
    values = json.loads((folder / "config.json").read_text())
    values[part].update(sizes)
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError):
        open_checkpoint(folder).load_state(part)


class Trap:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def claim(path: Path, size: int) -> None:
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])


DAMAGES: list[Any] = [
    ("own", "semantic.safetensors", truncate),
    ("own", "semantic.safetensors", lambda path: path.write_bytes(b"")),
    ("own", "semantic.safetensors", lambda path: claim(path, 2**62)),
    ("own", "semantic.safetensors", lambda path: claim(path, 99_000_000)),
    ("own", "semantic.safetensors", lambda path: path.write_bytes(struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"}')),
    ("own", "semantic.safetensors", lambda path: path.unlink()),
    ("own", "config.json", truncate),
    ("own", "config.json", lambda path: path.write_text("[1]")),
    ("own", "config.json", lambda path: path.write_text("[" * 100_000)),
    ("own", "config.json", lambda path: path.write_bytes(b'{"name": "\xff"}')),
    ("own", "config.json", lambda path: path.write_text('{"semantic": {"n_layer": "many"}}')),
    ("own", "config.json", lambda path: path.write_text('{"colour": 3}')),
    ("transformers-bin", "pytorch_model.bin", truncate),
    ("transformers-bin", "pytorch_model.bin", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100))),
    ("transformers-bin", "pytorch_model.bin", lambda path: torch.save([1, 2], path)),
    ("transformers-bin", "config.json", lambda path: path.write_text('{"semantic_config": 7}')),
    ("transformers-shards", "model.safetensors.index.json", lambda path: path.write_text("{}")),
    ("transformers-shards", "model.safetensors.index.json", lambda path: path.write_text('{"weight_map": {"semantic.a": "../x.safetensors"}}')),
    ("transformers-shards", "model-00002-of-00002.safetensors", lambda path: path.unlink()),
    ("original", "text.pt", truncate),
    ("original", "text.pt", lambda path: path.write_bytes(b"not a checkpoint")),
    ("original", "text.pt", lambda path: torch.save({"model": {}}, path)),
    ("original", "text.pt", lambda path: torch.save({"model": 3, "model_args": {"n_layer": 1}}, path)),
    ("original", "text.pt", lambda path: torch.save({"model": {}, "model_args": [1]}, path)),
    ("original", "encodec_24khz-d7cc33bc.th", lambda path: path.unlink()),
    ("original", "encodec_24khz-d7cc33bc.th", lambda path: torch.save({"a": torch.ones(1)}, path)),
]


@pytest.mark.parametrize(("layout", "file", "damage"), DAMAGES, ids=[f"{n}-{row[1]}" for n, row in enumerate(DAMAGES)])
def test_a_damaged_file_is_a_sentence(layout: str, file: str, damage: Any, copied: Callable[[str], Path]) -> None:
    folder = copied(layout)
    damage(folder / file)
    with pytest.raises(CheckpointError) as caught:
        load_all(open_checkpoint(folder))
    message = str(caught.value)
    assert message[0].isupper() or message.startswith(str(folder))
    assert message.endswith((".", ")")) and "\n" not in message and len(message) < 600


@pytest.mark.parametrize(("layout", "file"), [("transformers-bin", "pytorch_model.bin"), ("original", "fine.pt"), ("original", "encodec_24khz-d7cc33bc.th")])
def test_a_file_that_wants_to_run_something_is_refused(layout: str, file: str, copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(layout)
    torch.save({"model": {}, "model_args": {}, "trap": Trap(tmp_path / "sprung")}, folder / file)
    with pytest.raises(CheckpointError, match="something other than tensors"):
        load_all(open_checkpoint(folder))
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_is_no_checkpoint_says_what_one_has(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="in a layout that is known"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="There is no checkpoint at .*nowhere.*large, small, demo"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_checkpoint_without_a_tokenizer_says_which_it_needs(copied: Callable[[str], Path]) -> None:
    folder = copied("original")
    (folder / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="bert-base-multilingual-cased"):
        open_checkpoint(folder).load_tokenizer_file()


@pytest.mark.parametrize(("layout", "names"), [("own", ("demo_speaker_0", "demo_speaker_1")), ("transformers-bin", ("v2/en_speaker_6",)), ("original", ())])
def test_the_voices_of_every_layout(layout: str, names: tuple[str, ...], written: dict[str, Path]) -> None:
    checkpoint = open_checkpoint(written[layout])
    assert checkpoint.voices == names
    for name in names:
        arrays = checkpoint.load_voice_arrays(name)
        assert [arrays[key].shape for key in ("semantic_prompt", "coarse_prompt", "fine_prompt")] == [(100,), (2, 150), (8, 150)]
    with pytest.raises(CheckpointError, match="no voice 'other'"):
        checkpoint.load_voice_arrays("other")


def claim_more(path: Path) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})


@pytest.mark.parametrize("damage", [claim_more, truncate, lambda path: np.save(path, np.array([{}], dtype=object)), lambda path: path.write_bytes(b"")])
def test_a_damaged_voice_is_a_sentence(damage: Any, copied: Callable[[str], Path]) -> None:
    folder = copied("transformers-bin")
    damage(folder / "speaker_embeddings" / "v2_en_speaker_6_coarse_prompt.npy")
    with pytest.raises(CheckpointError, match="coarse_prompt.npy cannot be read"):
        open_checkpoint(folder).load_voice_arrays("v2/en_speaker_6")


@pytest.mark.parametrize("path", ["../../outside.npy", "/etc/passwd", "..\\outside.npy", "C:\\outside.npy"])
def test_a_voice_outside_of_the_checkpoint_is_refused(path: str, copied: Callable[[str], Path]) -> None:
    folder = copied("transformers-bin")
    entry = dict.fromkeys(("semantic_prompt", "coarse_prompt", "fine_prompt"), path)
    (folder / "speaker_embeddings_path.json").write_text(json.dumps({"sly": entry}))
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        open_checkpoint(folder)


def test_a_name_is_looked_for_where_bark_weights_says_first(written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_checkpoint("demo").folder.parts[-2:] == ("weights", "demo")
    shutil.copytree(written["own"], tmp_path / "demo")
    monkeypatch.setenv("BARK_WEIGHTS", str(tmp_path))
    checkpoint = open_checkpoint("demo")
    assert checkpoint.folder == tmp_path / "demo" and checkpoint.name == "demo"


@pytest.mark.parametrize("text", ["not toml =", "[large]\nlicence = 3\ncolour = 1", "large = 3", '[large]\nlicence = "MIT"\nfiles = [{ name = "x" }]'])
def test_a_registry_that_is_not_understood_is_a_sentence(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("BARK_WEIGHTS", str(tmp_path))
    with pytest.raises(CheckpointError, match="registry.toml cannot be understood"):
        open_checkpoint("large")
