"""After `fine`: the codes of recordings as the coarse and fine models draw them, for the codec to learn from.

Each code is drawn from what the model makes of the true codes before it, so that the drawn codes keep step with the recording. A decoder
that has learned from them, too, makes the recording's sound of codes that are a little wrong, as all are that it will be given.
Writes `tokens/drawn-SHARD.npz` beside each shard whose sound was kept.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from bark_core.config import BarkConfig
from bark_core.engine.sampling import draw, draw_noise
from bark_core.model.transformer import CausalGPT, FineGPT
from bark_core.stages.fine import FineRow, fill_windows
from bark_core.types import GenerateOptions, History
from training.coarse import count_windows, make_window
from training.demo import make_config
from training.export import gpt_state
from training.loop import random_for
from training.recordings import shard_paths
from training.tokens import Sample, load_samples, save_samples
from training.voices import PROMPT_SECONDS, as_history
from training.workspace import VOICES, Workspace, argument_parser, open_workspace

_OPTIONS = GenerateOptions(seed=0)
"""How speaking draws by default; the exported models' logits have their sharpness in them."""


def draw_coarse(model: CausalGPT, config: BarkConfig, sample: Sample, history: History | None, generator: torch.Generator) -> np.ndarray:
    """Return codes of codebooks 0 and 1, (2, T), each drawn with the true ones before it."""
    n_codes, hop = sample.codes.shape[1] * config.n_coarse_codebooks, config.sliding_window
    drawn = np.zeros(n_codes, np.int64)
    n_done, last = 0, count_windows(config, sample) - 1
    while n_done < n_codes:
        # A window's prompt holds the codes of those before it: one pass tells what would be drawn for all of them.
        window = min(n_done // hop + config.max_coarse_history // hop - 1, last)
        ids, _ = make_window(config, sample, history, window)
        end = min(n_codes, (window + 1) * hop)
        places = len(ids) - end + np.arange(n_done, end)
        hidden = model(model.embed(torch.from_numpy(ids[None])))[0, places - 1]
        for codebook in range(config.n_coarse_codebooks):
            mine = torch.from_numpy(np.arange(n_done, end) % config.n_coarse_codebooks == codebook)
            logits = model.lm_head(hidden[mine], config.semantic_vocab_size + codebook * config.codebook_size, config.codebook_size)
            drawn[n_done:end][mine.numpy()] = draw(logits, _OPTIONS.coarse, draw_noise(torch.empty_like(logits), generator))[0].numpy()
        n_done = end
    return drawn.reshape(-1, config.n_coarse_codebooks).T


def draw_fine(model: FineGPT, config: BarkConfig, coarse: np.ndarray, history: History | None, generator: torch.Generator) -> np.ndarray:
    """Return all codes (8, T) of codebooks 0 and 1, as speaking fills them in."""
    row = FineRow(config, coarse, history, generator)
    while row.n_done < row.n_loops:
        for _ in fill_windows(model, config, [row], [_OPTIONS.fine]):
            pass
    return row.codes()


def draw_shard(models: tuple[CausalGPT, FineGPT], config: BarkConfig, samples: list[Sample], is_first: bool, seed: int) -> list[Sample]:
    """Return samples with drawn codes; of the first voice's, some without a voice prompt, as they are learned."""
    rng, generator = random_for(seed, stream=2), torch.Generator().manual_seed(seed)
    fitting = [each for each in samples if len(each.semantic) >= PROMPT_SECONDS[0] * config.semantic_rate_hz] or samples
    found = []
    for sample in samples:
        history = None if is_first and rng.random() < 0.4 else as_history([fitting[int(rng.integers(len(fitting)))]])
        coarse = draw_coarse(models[0], config, sample, history, generator)
        found.append(Sample(sample.text, sample.semantic, draw_fine(models[1], config, coarse, history, generator)))
    return found


@torch.no_grad()
def draw_shards(workspace: Workspace) -> int:
    """Draw the codes of the shards that have none drawn yet; return how many there were."""
    config = make_config(workspace.smoke)
    coarse, fine = CausalGPT(config.coarse).eval(), FineGPT(config.fine).eval()
    coarse.load_state_dict(gpt_state(workspace, "coarse"))
    fine.load_state_dict(gpt_state(workspace, "fine"))
    n_done = 0
    for seed, path in enumerate(shard_paths(workspace.need("tokens", step="tokens"), "heard-*")):
        target = workspace.path("tokens", f"drawn-{path.name}")
        if target.exists():
            continue
        samples = draw_shard((coarse, fine), config, list(load_samples(path)), VOICES[0] in path.name, seed)
        save_samples(target, samples)
        print(f"{target.stem}: {len(samples)} samples", flush=True)
        n_done += 1
    return n_done


def _arguments() -> argparse.Namespace:
    return argument_parser("Draw the codes of recordings as the models do.").parse_args()


if __name__ == "__main__":
    space = open_workspace(_arguments())
    torch.set_num_threads(1)
    draw_shards(space)
