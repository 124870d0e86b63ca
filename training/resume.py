"""Takes up training from an exported checkpoint where the work folder of its training is gone.

Run after `speech` and before `tokens`, which then takes these codebooks: writes `tokens/quantiser.pt` with the checkpoint's
codebooks, and each model's weights as if it had just finished its usual steps, so that `--steps` beyond these go on from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import PARTS
from training.coarse import make_model as make_coarse
from training.codec import make_codec
from training.demo import make_config
from training.export import SHARPNESS, sharpen
from training.fine import make_model as make_fine
from training.loop import USUAL_STEPS
from training.quantise import Quantiser
from training.semantic import Reader
from training.tables import SharedRows, SharedSound
from training.tokens import gather_frames
from training.workspace import DEMO, SEED, Workspace, argument_parser, open_workspace


def take_up(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load plain weights into a model whose tables share rows or whose convolutions are under weight norm, in place; what is shared starts at nothing."""
    left = dict(state)
    for path, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            parts = cast(nn.ModuleDict, module.parametrizations)["weight"]
            for part in cast(nn.ModuleList, parts):
                if isinstance(part, (SharedRows, SharedSound)):
                    for parameter in part.parameters():
                        nn.init.zeros_(parameter)
            weight = left.pop(f"{path}.weight" if path else "weight")
            with torch.no_grad():
                if hasattr(parts, "original"):
                    cast(Tensor, parts.original).copy_(weight)
                else:
                    module.weight = weight  # weight norm takes it apart
    own = {name for name in model.state_dict() if ".parametrizations." not in f".{name}"}
    if own != left.keys():
        raise SystemExit(f"The checkpoint's weights are not of this recipe's models: {sorted(own ^ left.keys())[:3]} are in one alone.")
    model.load_state_dict(left, strict=False)


def resume(workspace: Workspace, folder: Path) -> None:
    """Write the codebooks and the models of a checkpoint into the work folder. Raises: SystemExit where models are there, or it has other sizes."""
    checkpoint, config = open_checkpoint(folder), make_config(workspace.smoke)
    if any(getattr(checkpoint.config, part) != getattr(config, part) for part in PARTS):
        raise SystemExit(f"The checkpoint in {folder} has other sizes than training/demo.py makes; take up one that this recipe has exported.")
    states = {part: {name: tensor.float() for name, tensor in checkpoint.load_state(part).items()} for part in PARTS}
    codebooks = states["codec"]["codebooks"]
    frames = gather_frames(workspace, torch.Generator().manual_seed(SEED))
    mean = frames.mean(dim=0)
    torch.save(Quantiser(mean, (frames - mean).std(), codebooks).state(), workspace.path("tokens", "quantiser.pt"))
    reader, coarse, fine = Reader(config), make_coarse(config, codebooks), make_fine(config, codebooks)
    decoder = make_codec(workspace).decoder
    # What is trained, and the plain model in it that the checkpoint has.
    models: list[tuple[str, nn.Module, nn.Module]] = [
        ("semantic", reader, reader.gpt), ("coarse", coarse, coarse), ("fine", fine, fine), ("codec", decoder, decoder)
    ]  # fmt: skip
    states["codec"] = {name.removeprefix("decoder."): tensor for name, tensor in states["codec"].items() if name.startswith("decoder.")}
    for part, model, plain in models:
        path = workspace.path("models", f"{part}.pt")
        if path.exists():
            raise SystemExit(f"{path} is there already; take up a checkpoint in a work folder without models.")
        take_up(plain, states[part])
        if part in SHARPNESS:
            sharpen(plain, 1 / SHARPNESS[part])
        torch.save({"model": model.state_dict(), "optimiser": None, "step": USUAL_STEPS[part], "curves": {}}, path)
        print(f"{part}: goes on from step {USUAL_STEPS[part]}", flush=True)


if __name__ == "__main__":
    parser = argument_parser("Take up training from an exported checkpoint.")
    parser.add_argument("--checkpoint", type=Path, default=DEMO, help="its folder (default: weights/demo)")
    given = parser.parse_args()
    resume(open_workspace(given), given.checkpoint)
