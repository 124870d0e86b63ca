"""The one training loop: command line, steps, learning rate, checkpoints, curves. Knows nothing of what is learned.

A run killed at any minute goes on from its last checkpoint, and draws the same batches: each step's are seeded by its number.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bark_core.engine.levels import read_instructions
from training.workspace import SEED, Workspace, argument_parser, open_workspace

CHECKPOINT_SECONDS = 150.0

USUAL_STEPS = {"ear": 1_500, "codec": 16_000, "semantic": 4_000, "coarse": 4_000, "fine": 3_000}
"""How long each model learns unless `--steps` says otherwise."""

_SMOKE_STEPS = 10


def learning_parser(name: str, description: str, rate: float | None = None) -> argparse.ArgumentParser:
    """Return a parser with what every step that learns takes: `--steps`, and `--rate` where that may be chosen (its default given)."""
    parser = argument_parser(description)
    parser.add_argument("--steps", type=int, default=None, help=f"steps to train in all (default: {USUAL_STEPS[name]}; {_SMOKE_STEPS} in a smoke run)")
    if rate is not None:
        parser.add_argument("--rate", type=float, default=rate, help=f"the highest learning rate (default: {rate})")
    return parser


def open_run(name: str, given: argparse.Namespace) -> tuple[Workspace, int]:
    """Return the workspace and how many steps to train in all. One thread from here on: other work goes on beside it."""
    torch.set_num_threads(1)
    workspace = open_workspace(given)
    return workspace, given.steps or (_SMOKE_STEPS if workspace.smoke else USUAL_STEPS[name])


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn: the rate rises over `warm_up` steps, stays, and falls from `cool_from` (a share of all steps) on."""

    name: str
    steps: int
    rate: float
    warm_up: int = 100
    cool_from: float = 0.6
    decay: float = 0.05
    validate_every: int = 100

    def rate_at(self, step: int, began: int = 0) -> float:
        """Return the learning rate of a step, when learning began with step `began`."""
        cooling = (step - self.cool_from * self.steps) / max(1.0, (1 - self.cool_from) * self.steps)
        return self.rate * min(1.0, (step - began + 1) / self.warm_up) * max(0.03, 1 - max(0.0, cooling))


@dataclass
class Progress:
    """What has been learned so far: the next step's number, the first step of this optimiser, and the curves as (step, value) by name."""

    step: int = 0
    began: int = 0
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def note(self, **values: float) -> None:
        """Add points to curves."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append((self.step, value))


def autocast() -> torch.autocast:
    """Return the context that losses are taken in: bfloat16 where the processor multiplies it, which is five times slower where it does not."""
    is_fast = torch.backends.cpu.get_cpu_capability().startswith("AVX512") and "avx512_bf16" in read_instructions()
    return torch.autocast("cpu", torch.bfloat16, enabled=is_fast)


def random_for(step: int, stream: int = 0) -> np.random.Generator:
    """Return the random numbers of one step: the same in every run. `stream` keeps different uses apart."""
    return np.random.default_rng([SEED, stream, step])


def make_optimiser(model: nn.Module, plan: Plan) -> torch.optim.AdamW:
    """Return AdamW that decays matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True)


def train(
    workspace: Workspace,
    plan: Plan,
    model: nn.Module,
    loss_of: Callable[[int], Tensor],
    validate: Callable[[], dict[str, float]],
) -> None:
    """Train a model for the plan's steps. `loss_of(step)` draws that step's batch and returns its loss; `validate` returns figures."""
    optimiser = make_optimiser(model, plan)
    path = workspace.path("models", f"{plan.name}.pt")
    progress = load_checkpoint(path, model, optimiser)
    saved, began, recent = time.monotonic(), time.monotonic(), list[float]()
    while progress.step < plan.steps:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(progress.step, progress.began)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(progress.step)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent.append(loss.item())
        progress.step += 1
        if progress.step % plan.validate_every == 0 or progress.step == plan.steps:
            figures = {"train": float(np.mean(recent)), **evaluate(model, validate)}
            progress.note(**figures)
            line = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(f"{plan.name} step {progress.step}/{plan.steps} {time.monotonic() - began:.0f} s: {line}", flush=True)
            recent.clear()
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            save_checkpoint(path, model, optimiser, progress)
            saved = time.monotonic()
    save_checkpoint(path, model, optimiser, progress)
    draw_curves(workspace, plan.name, progress)


def evaluate(model: nn.Module, validate: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the figures of `validate`, taken without gradients."""
    model.eval()
    with torch.no_grad():
        figures = validate()
    model.train()
    return figures


def save_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write everything that going on needs, whole or not at all."""
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": progress.step, "began": progress.began, "curves": progress.curves}
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Take up a run where its checkpoint left it; a fresh start where there is none."""
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    if state["optimiser"] is None:  # weights of an exported checkpoint
        return Progress(state["step"], began=state["step"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(state["step"], state.get("began", 0), {name: [(int(x), float(y)) for x, y in points] for name, points in state["curves"].items()})


def draw_curves(workspace: Workspace, name: str, progress: Progress) -> None:
    """Draw the curves into `curves/NAME.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for label, points in progress.curves.items():
        axes.plot(*zip(*points, strict=True), label=label)
    axes.set_xlabel("steps")
    axes.set_title(name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(workspace.path("curves", f"{name}.png"), dpi=90, bbox_inches="tight")
    pyplot.close(figure)
