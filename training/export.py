"""Step 8: the trained models → `weights/demo`, a checkpoint as bark_core loads it, in 16 bits, with voices and model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from bark_core.checkpoint.convert import save_checkpoint
from bark_core.config import STAGES
from bark_core.model.codec import Codec
from bark_core.text.wordpiece import READING
from bark_core.voices.voice import Voice
from training.card import write_card
from training.coarse import make_model as make_coarse
from training.codec import fold, make_codec
from training.demo import make_config, make_tokenizer
from training.fine import make_model as make_fine
from training.semantic import Reader
from training.tables import fold_tables
from training.tokens import load_quantiser
from training.voices import pick_voices
from training.workspace import DEMO, Workspace, argument_parser, open_workspace

SHARPNESS = {"semantic": 1.4, "coarse": 1.4, "fine": 2.0}
"""What the logits are multiplied by, so that drawing at the default temperatures is as decided as it is best understood.

A small model is unsure of much that it has nonetheless learned. Chosen on the sentences of `tuning.txt`: `python -m training.tune`.
"""


def sharpen(model: nn.Module, by: float) -> None:
    """Multiply a model's logits, in place: the last norm is linear, and so are the heads behind it."""
    norm = cast(nn.LayerNorm, model.ln_f)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.mul_(by)


def trained(workspace: Workspace, name: str) -> Mapping[str, Tensor]:
    """Return the last checkpoint's weights of a step."""
    path = workspace.need("models", f"{name}.pt", step=name)
    return torch.load(path, weights_only=True, map_location="cpu")["model"]


def gpt_state(workspace: Workspace, stage: str) -> dict[str, Tensor]:
    """Return one stage's plain weights as bark_core names them."""
    config, codebooks = make_config(workspace.smoke), load_quantiser(workspace).codebooks
    make: dict[str, Callable[[], nn.Module]] = {
        "semantic": lambda: Reader(config),
        "coarse": lambda: make_coarse(config, codebooks),
        "fine": lambda: make_fine(config, codebooks),
    }
    model = make[stage]()
    model.load_state_dict(trained(workspace, stage))
    plain = model.gpt if isinstance(model, Reader) else model
    fold_tables(plain)
    sharpen(plain, SHARPNESS[stage])
    return dict(plain.state_dict())


def trained_codec(workspace: Workspace) -> Codec:
    """Return the trained codec, weight norm folded."""
    codec = make_codec(workspace)
    codec.decoder.load_state_dict(trained(workspace, "codec"))
    return fold(codec).eval()


def export(workspace: Workspace, folder: Path) -> None:
    """Write the checkpoint, whole or not at all: weights in 16 bits, config, tokenizer, voices, model card. Raises: SystemExit where a step has not run."""
    states = {stage: gpt_state(workspace, stage) for stage in STAGES} | {"codec": dict(trained_codec(workspace).state_dict())}
    tokenizer, card = workspace.path("tokenizer.json"), workspace.path("README.md")
    make_tokenizer().save(str(tokenizer))
    workspace.need(READING, step="lexicon")  # it goes with the tokenizer, beside which it lies
    write_card(card)
    voices = [(name, Voice(voice.semantic, voice.coarse, voice.fine).arrays()) for name, voice in pick_voices(workspace).items()]
    save_checkpoint(
        folder, make_config(workspace.smoke), states.__getitem__, tokenizer, voices, half=True, replace=True, extra_files=[card]
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MB")


if __name__ == "__main__":
    parser = argument_parser("Write the trained models as a checkpoint.")
    parser.add_argument("--to", type=Path, default=None, help="the folder to write (default: weights/demo, or the work folder's export/ in a smoke run)")
    given = parser.parse_args()
    space = open_workspace(given)
    export(space, given.to or (space.path("export") if space.smoke else DEMO))
