"""Takes up training from an exported checkpoint where the work folder of its training is gone.

Run after `speech`: writes each model's weights as if it had just finished its usual steps, so that `--steps` beyond these go on from
there. Before `tokens` it writes the checkpoint's codebooks, too, which `tokens` then takes; after `tokens`, which has learned
codebooks of its own, each of their codes begins as that of the checkpoint whose vector is nearest.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import PARTS, BarkConfig
from training.coarse import make_model as make_coarse
from training.codec import make_codec
from training.demo import make_config
from training.export import SHARPNESS, sharpen
from training.fine import make_model as make_fine
from training.loop import USUAL_STEPS
from training.quantise import Quantiser, nearest
from training.semantic import Reader
from training.tables import SharedRows, SharedSound
from training.tokens import gather_frames, load_quantiser
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


def carry_over(states: dict[str, dict[str, Tensor]], config: BarkConfig, old: Tensor, new: Tensor) -> None:
    """Let each code of new codebooks (K, V, D) begin as the old one whose vector is nearest, in the coarse and fine models' tables, in place."""
    for k, (vectors, entries) in enumerate(zip(new, old, strict=True)):
        if not vectors.any():
            continue  # it holds nothing: there is no nearest
        near = nearest(vectors, entries)
        tables = [(states["fine"][f"wtes.{k}.weight"], 0)]
        if k < config.n_coarse_codebooks:
            first = config.semantic_vocab_size + k * config.codebook_size
            tables += [(states["coarse"][name], first) for name in ("wte.weight", "lm_head.weight")]
        for table, first in tables:
            table[first : first + len(near)] = table[first + near]


def resume(workspace: Workspace, folder: Path) -> None:
    """Write the codebooks and the models of a checkpoint into the work folder. Raises: SystemExit where models are there, or it has other sizes."""
    checkpoint, config = open_checkpoint(folder), make_config(workspace.smoke)
    if any(getattr(checkpoint.config, part) != getattr(config, part) for part in PARTS):
        raise SystemExit(f"The checkpoint in {folder} has other sizes than training/demo.py makes; take up one that this recipe has exported.")
    states = {part: {name: tensor.float() for name, tensor in checkpoint.load_state(part).items()} for part in PARTS}
    codebooks = states["codec"]["codebooks"]
    learned = workspace.path("tokens", "quantiser.pt")
    if learned.exists():
        found = load_quantiser(workspace).codebooks
        carry_over(states, config, codebooks, found)
        codebooks = found
    else:
        frames = gather_frames(workspace, torch.Generator().manual_seed(SEED))
        mean = frames.mean(dim=0)
        torch.save(Quantiser(mean, (frames - mean).std(), codebooks).state(), learned)
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
