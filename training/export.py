"""Step 8: the trained models → `weights/demo`, a checkpoint as bark_core loads it, in 16 bits, with voices and model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bark_core.codec import Codec
from bark_core.voices import Voice
from training.coarse import make_model as make_coarse
from training.codec import fold, make_codec
from training.demo import make_config, make_tokenizer
from training.fine import make_model as make_fine
from training.recordings import shard_paths
from training.semantic import make_model as make_semantic
from training.tables import fold_tables
from training.tokens import Sample, load_quantiser, load_samples
from training.workspace import DEMO, ROOT, VOICES, Workspace, argument_parser, open_workspace

PROMPT_SECONDS = (3.0, 5.0)
"""How long the recording is that becomes a voice."""


def trained(workspace: Workspace, name: str) -> Mapping[str, Tensor]:
    """Return the last checkpoint's weights of a step."""
    path = workspace.need("models", f"{name}.pt", step=name)
    return torch.load(path, weights_only=True, map_location="cpu")["model"]


def gpt_state(workspace: Workspace, stage: str) -> dict[str, Tensor]:
    """Return one stage's plain weights as bark_core names them."""
    config, codebooks = make_config(workspace.smoke), load_quantiser(workspace).codebooks
    make: dict[str, Callable[[], nn.Module]] = {
        "semantic": lambda: make_semantic(config),
        "coarse": lambda: make_coarse(config, codebooks),
        "fine": lambda: make_fine(config, codebooks),
    }
    model = make[stage]()
    model.load_state_dict(trained(workspace, stage))
    fold_tables(model)
    return dict(model.state_dict())


def trained_codec(workspace: Workspace) -> Codec:
    """Return the trained codec, weight norm folded."""
    codec = make_codec(workspace)
    codec.decoder.load_state_dict(trained(workspace, "codec"))
    return fold(codec).eval()


def pick_voices(workspace: Workspace) -> dict[str, Voice]:
    """Return each teacher's voice, made of recordings that come to a few seconds."""
    voices: dict[str, Voice] = {}
    rate_hz = make_config(workspace.smoke).semantic_rate_hz
    for i, name in enumerate(VOICES):
        paths = shard_paths(workspace.need("tokens", step="tokens"), f"heard-{name}-*")
        samples = [sample for path in paths[:1] for sample in load_samples(path)]
        fitting = [each for each in samples if PROMPT_SECONDS[0] <= len(each.semantic) / rate_hz <= PROMPT_SECONDS[1]]
        voices[f"demo_speaker_{i}"] = _as_voice((fitting or samples)[0])
    return voices


def _as_voice(sample: Sample) -> Voice:
    return Voice(sample.semantic, sample.codes[:2], sample.codes)


def export(workspace: Workspace, folder: Path) -> None:
    """Write the checkpoint: weights in 16 bits, config, tokenizer, voices and the model card. Raises: SystemExit where a step has not run."""
    config = make_config(workspace.smoke)
    states = {stage: gpt_state(workspace, stage) for stage in ("semantic", "coarse", "fine")}
    states["codec"] = dict(trained_codec(workspace).state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    for part, state in states.items():
        half = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in state.items()}
        save_file(half, folder / f"{part}.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "voices").mkdir(exist_ok=True)
    for name, voice in pick_voices(workspace).items():
        voice.save(folder / "voices" / f"{name}.npz")
    if not workspace.smoke:
        shutil.copyfile(ROOT / "model_card.md", folder / "README.md")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MB")


if __name__ == "__main__":
    parser = argument_parser("Write the trained models as a checkpoint.")
    parser.add_argument("--to", type=Path, default=None, help="the folder to write (default: weights/demo, or the work folder's export/ in a smoke run)")
    given = parser.parse_args()
    space = open_workspace(given)
    export(space, given.to or (space.path("export") if space.smoke else DEMO))
