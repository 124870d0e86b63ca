"""Writing checkpoints: whole or not at all, exact or in 16 bits, and in little memory; what peers write, read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bark_core.checkpoint.convert import save_checkpoint
from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import PARTS, BarkConfig
from bark_core.engine.runtime import make_model
from bark_core.errors import BarkError, CheckpointError
from bark_core.model.codec import import_seanet
from bark_core.speech.bark import Bark
from tests.checkpoints import (
    States,
    letter_tokenizer,
    random_states,
    random_voice,
    tiny_config,
    write_original,
    write_own,
    write_transformers,
)
from tests.oracle import import_transformers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config() -> BarkConfig:
    return tiny_config("tiny", n_layer=1)


@pytest.fixture(scope="module")
def states(config: BarkConfig) -> States:
    return random_states(config)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    letter_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_saved_loads_as_it_was(config: BarkConfig, states: States, tokenizer: Path, tmp_path: Path) -> None:
    voices = [("v2/en_speaker_6", random_voice(0))]
    folder = save_checkpoint(tmp_path / "saved", config, states.__getitem__, tokenizer, voices, source={"commit": "abc"}, extra_files=[])
    assert files_below(folder) == {
        *(f"{part}.safetensors" for part in PARTS), "config.json", "source.json", "tokenizer.json", "voices/v2/en_speaker_6.npz",
        "SHA256SUMS",
    }  # fmt: skip
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == config and checkpoint.voices == ("v2/en_speaker_6",)
    for part in PARTS:
        loaded = checkpoint.load_state(part)
        assert all(torch.equal(loaded[name], tensor) for name, tensor in states[part].items())
    arrays = checkpoint.load_voice_arrays("v2/en_speaker_6")
    assert all(np.array_equal(arrays[name], array) for name, array in random_voice(0).items())
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.is_file()} == {oct(0o666 & ~current_umask())}


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_is_there_gives_way_only_where_that_is_asked(config: BarkConfig, states: States, tmp_path: Path) -> None:
    folder = write_own(tmp_path / "it", config, states)
    before = open_checkpoint(folder).digest
    other = random_states(config, seed=1)
    write_own(folder, config, other)
    assert open_checkpoint(folder).digest == before
    write_own(folder, config, other, replace=True)
    assert open_checkpoint(folder).digest != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it"]


def test_a_failure_leaves_nothing_behind(config: BarkConfig, states: States, tokenizer: Path, tmp_path: Path) -> None:
    def load(part: str) -> Mapping[str, Tensor]:
        if part == "codec":
            raise RuntimeError("no more")
        return states[part]

    with pytest.raises(RuntimeError, match="no more"):
        save_checkpoint(tmp_path / "out" / "it", config, load, tokenizer)
    lacking = {**states, "coarse": {name: tensor for name, tensor in states["coarse"].items() if name != "wte.weight"}}
    with pytest.raises(CheckpointError, match="no tensor wte.weight in its coarse part"):
        save_checkpoint(tmp_path / "out" / "it", config, lacking.__getitem__, tokenizer)
    assert list((tmp_path / "out").iterdir()) == []


def test_values_that_16_bits_cannot_hold_are_refused(config: BarkConfig, states: States, tokenizer: Path, tmp_path: Path) -> None:
    loud = {**states, "coarse": {**states["coarse"], "ln_f.weight": torch.full((32,), 1e6)}}
    with pytest.raises(CheckpointError, match="ln_f.weight of the coarse part"):
        save_checkpoint(tmp_path / "it", config, loud.__getitem__, tokenizer, half=True)


def test_a_voice_that_is_none_is_refused(config: BarkConfig, states: States, tokenizer: Path, tmp_path: Path) -> None:
    voice = random_voice(0) | {"fine_prompt": np.full((8, 150), 5000)}
    with pytest.raises(BarkError, match="broken"):
        save_checkpoint(tmp_path / "it", config, states.__getitem__, tokenizer, [("broken", voice)])
    assert not (tmp_path / "it").exists()


def test_loading_16_bits_in_fp32_warns(config: BarkConfig, states: States, tmp_path: Path) -> None:
    folder = write_own(tmp_path / "halved", config, states, half=True)
    with pytest.warns(UserWarning, match="halved|tiny.*converted to 16 bits"):
        Bark.load(folder, precision="fp32")


WRITER = """
import sys, time
from pathlib import Path
from tests.checkpoints import random_states, tiny_config
from bark_core.checkpoint.convert import save_checkpoint
folder, tokenizer, seed = sys.argv[1:]
config = tiny_config("tiny", n_layer=1)
states = random_states(config, seed=int(seed))
pause_s = float(sys.stdin.readline())
def load(part):
    print(part, flush=True)
    time.sleep(pause_s)
    return states[part]
save_checkpoint(folder, config, load, Path(tokenizer))
"""


@pytest.mark.slow
def test_two_writers_of_one_folder_take_turns_and_a_killed_one_blocks_nobody(tokenizer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, *writers = (
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(tokenizer), str(seed)], cwd=ROOT, **pipes) for seed in range(3)
    )
    assert killed.stdin is not None and killed.stdout is not None
    killed.stdin.write("60\n")
    killed.stdin.flush()
    assert killed.stdout.readline() == "semantic\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not folder.exists() and (tmp_path / ".it.part").is_dir()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("0.3\n")
        writer.stdin.flush()
    wrote = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(wrote) == [[], list(PARTS)], "the second one finds the first one's work"
    assert {path.name for path in tmp_path.iterdir()} == {"it", "tokenizer.json"}
    expected = random_states(tiny_config("tiny", n_layer=1), seed=1 if wrote[0] else 2)["fine"]["wtes.3.weight"]
    assert torch.equal(open_checkpoint(folder).load_state("fine")["wtes.3.weight"], expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_a_sentence_and_nothing_stays(config: BarkConfig, states: States, tokenizer: Path, small_disk: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written: .*room"):
        save_checkpoint(small_disk / "it", config, states.__getitem__, tokenizer)
    assert list(small_disk.iterdir()) == []


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import PARTS
from bark_core.checkpoint.convert import save_checkpoint
from bark_core.speech.bark import Bark

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

what, tiny, folder = sys.argv[1:]
if what == "load":
    Bark.load(tiny, precision="fp32")
    before = peak()
    bark = Bark.load(folder, precision="fp32")
    runtime = bark.runtime
    for model in (runtime.causal("semantic"), runtime.causal("coarse"), runtime.fine, runtime.codec):
        assert all(bool(torch.isfinite(each.sum())) for each in model.parameters())
else:
    checkpoint = open_checkpoint(folder)
    checkpoint.load_state("codec")
    before = peak()
    save_checkpoint(Path(folder).with_name("half"), checkpoint.config, checkpoint.load_state, checkpoint.load_tokenizer_file(), half=True)
print(peak() - before)
"""


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of some 250 MB in transformers' layout, and a tiny one beside it."""
    root = tmp_path_factory.mktemp("large")
    write_own(root / "tiny", tiny_config("tiny", n_layer=1), random_states(tiny_config("tiny", n_layer=1)))
    config = tiny_config("large", width=512, n_layer=6)
    zeros = {part: {name: torch.zeros_like(tensor) for name, tensor in fast_state(config, part).items()} for part in PARTS}
    zeros["codec"] = random_states(tiny_config())["codec"]
    return write_transformers(root / "large", config, zeros)


def fast_state(config: BarkConfig, part: str) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        meta = make_model(config, part).state_dict()
    return {name: torch.empty(tensor.shape) for name, tensor in meta.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("what", "most"), [("load", 1.3), ("convert", 0.7)])
def test_memory_stays_near_the_size_of_the_weights(what: str, most: float, large_folder: Path) -> None:
    """Loading: 1.3 times the weights. Converting: one stage, mapped, and its 16-bit copy, never the whole."""
    size = sum(tensor.nbytes for part in PARTS for tensor in open_checkpoint(large_folder).load_state(part).values())
    assert size > 200e6
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, what, str(large_folder.with_name("tiny")), str(large_folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most * size, f"{int(done.stdout) / size:.2f} times the weights"


@pytest.fixture(scope="module")
def transformers_bark() -> Any:
    """transformers' own model with random weights, of a tiny configuration."""
    transformers = import_transformers()
    torch.manual_seed(0)
    stage = {"hidden_size": 32, "num_layers": 1, "num_heads": 1, "bias": False}
    return transformers.BarkModel(
        transformers.BarkConfig(
            semantic_config={**stage, "input_vocab_size": 129_600, "output_vocab_size": 10_048},
            coarse_acoustics_config={**stage, "input_vocab_size": 12_096, "output_vocab_size": 12_096},
            fine_acoustics_config={**stage, "input_vocab_size": 1056, "output_vocab_size": 1056},
            codec_config={"model_type": "encodec", "num_filters": 4},
        )
    ).eval()


@pytest.mark.parametrize("kind", ["save_pretrained", "bin"])
def test_what_transformers_writes_loads_and_computes_the_same(kind: str, transformers_bark: Any, tmp_path: Path) -> None:
    if kind == "bin":
        tmp_path.mkdir(exist_ok=True)
        torch.save(transformers_bark.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text(json.dumps(transformers_bark.config.to_dict()))
    else:
        transformers_bark.save_pretrained(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config.semantic.n_layer == 1 and checkpoint.config.semantic_vocab_size == 10_000
    models = {part: make_model(checkpoint.config, part) for part in PARTS}
    for part, model in models.items():
        model.load_state_dict(checkpoint.load_state(part))
    codes = torch.randint(0, 1024, (8, 40))
    tokens = torch.randint(0, 10_000, (1, 30))
    with torch.inference_mode():
        theirs = transformers_bark.codec_model.decode(codes[None, None], [None]).audio_values[0, 0]
        torch.testing.assert_close(models["codec"](codes), theirs, rtol=1e-4, atol=1e-4)
        causal: Any = models["semantic"]
        torch.testing.assert_close(causal.lm_head(causal(causal.embed(tokens))), transformers_bark.semantic(tokens).logits, rtol=1e-4, atol=1e-4)


def test_what_encodec_holds_loads_and_sounds_the_same(tmp_path: Path) -> None:
    seanet = import_seanet()
    torch.manual_seed(0)
    theirs = seanet.SEANetDecoder(dimension=128, n_filters=4, ratios=[8, 5, 4, 2], lstm=2, norm="weight_norm", causal=True).eval()
    config = tiny_config("tiny", n_layer=1)
    states = random_states(config)
    folder = write_original(tmp_path, config, states)
    ids = {name: value for name, value in config.to_dict().items() if name not in PARTS}
    (folder / "config.json").write_text(json.dumps(ids))
    raw = torch.load(folder / "encodec_24khz-d7cc33bc.th", weights_only=True)
    kept = {name: tensor for name, tensor in raw.items() if not name.startswith("decoder.")}
    torch.save({**kept, **{f"decoder.{name}": tensor for name, tensor in theirs.state_dict().items()}}, folder / "encodec_24khz-d7cc33bc.th")
    checkpoint = open_checkpoint(folder)
    codec: Any = make_model(checkpoint.config, "codec")
    codec.load_state_dict(checkpoint.load_state("codec"))
    codes = torch.randint(0, 1024, (8, 30))
    with torch.inference_mode():
        torch.testing.assert_close(codec(codes), theirs(codec.embed(codes))[0, 0], rtol=1e-5, atol=1e-6)
