"""What each precision does to what is drawn: every step from the same past, with the same noise, against fp32.

    python -m benchmarks.accuracy --sentences training/heldout.txt --n 20

fp32 speaks the sentences; the other precisions are then led along its tokens. `same draw` is the share of steps that draw
fp32's token, or its end, from the same noise, `same best` the share whose likeliest token is fp32's, `error` the mean error of the
logits relative to their spread. With `--words`, each precision also speaks that many sentences in every voice, and the
words that Whisper hears are counted (needs the extra `train`). The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bark_core import Bark, Generation
from bark_core.engine.loop import STOPPED, Engine, Row
from bark_core.engine.sampling import draw, draw_noise
from bark_core.stages.coarse import CoarseRow, run_coarse
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import GenerateOptions, SamplingOptions
from benchmarks.machine import describe_machine
from benchmarks.shapes import ROOT


@dataclass
class Trace:
    """What one precision drew and gave, step by step, on another's tokens."""

    drawn: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


class Led(Row):
    """A mixin for rows: whatever is drawn, `truth` is taken."""

    truth: Sequence[int]
    trace: Trace

    def accept(self, index: int) -> None:
        n = len(self.trace.drawn)
        self.trace.drawn.append(index)
        super().accept(self.truth[n])  # pyright: ignore[reportAbstractUsage]
        self.done = self.done or n + 1 == len(self.truth)


class LedSemantic(Led, SemanticRow):
    """A semantic row led along given tokens."""


class LedCoarse(Led, CoarseRow):
    """A coarse row led along given codes."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--precisions", nargs="*", default=["bf16", "int8"])
    parser.add_argument("--sentences", type=Path, default=ROOT / "training" / "heldout.txt")
    parser.add_argument("--n", type=int, default=20, help="sentences that the precisions are led along")
    parser.add_argument("--words", type=int, default=0, help="sentences to speak and to listen to (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="the first sentence's seed there: other seeds show how much chance there is in a word error rate")
    options = parser.parse_args()
    sentences = [line.strip() for line in options.sentences.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = sentences[: options.n]
    exact = Bark.load(options.model, device="cpu", precision="fp32")
    spoken = [exact.generate(text, seed=seed, voice=exact.voices[seed % 2] if len(exact.voices) > 1 else None) for seed, text in enumerate(texts)]
    wanted = trace_all(exact, texts, spoken)
    rows = []
    print("precision  stage       steps  same draw  same best    error")
    for precision in options.precisions:
        found = trace_all(Bark.load(options.model, device="cpu", precision=precision), texts, spoken)
        for stage in ("semantic", "coarse", "fine"):
            row = {"precision": precision, "stage": stage, **compare(found[stage], wanted[stage])}
            rows.append(row)
            print(f"{precision:9}  {stage:9}{row['steps']:8}{row['same_draw']:10.1%}{row['same_best']:10.1%}{row['error']:10.4f}", flush=True)
    heard = sentences[: options.words]
    words = {precision: misheard(options.model, precision, heard, options.seed) for precision in ("fp32", *options.precisions) if heard}
    for precision, share in words.items():
        print(f"{precision:9}  words misheard {share:.1%}", flush=True)
    print(json.dumps({"machine": describe_machine(), "model": exact.name, "digest": exact.digest, "rows": rows, "words_misheard": words}))


def misheard(model: str, precision: str, texts: list[str], seed: int) -> float:
    """Return the word error rate of the texts in one precision, over all voices of the checkpoint and none, seeds from `seed` on."""
    from training.listen import Listener, word_error_rate

    bark, listener, pairs = Bark.load(model, device="cpu", precision=precision), Listener(), []
    for voice in (None, *bark.voices):
        made = bark.generate_batch(texts, voice, list(range(seed, seed + len(texts))))
        pairs += [(text, listener.transcribe(each.audio, bark.sample_rate)) for text, each in zip(texts, made, strict=True)]
    return word_error_rate(pairs)


def trace_all(bark: Bark, texts: Sequence[str], spoken: Sequence[Generation]) -> dict[str, list[Trace]]:
    """Lead a model along what was spoken; return each stage's trace of each text."""
    traces: dict[str, list[Trace]] = {"semantic": [], "coarse": [], "fine": []}
    for text, speech in zip(texts, spoken, strict=True):
        voice = None if speech.settings["voice"] is None else bark._resolve(speech.settings["voice"])
        past = None if voice is None else voice.semantic
        with torch.inference_mode():
            semantic = LedSemantic(bark.runtime.causal("semantic"), bark.config, bark.encoder.encode(text), past, seeded(speech), None)
            coarse = LedCoarse(bark.runtime.causal("coarse"), bark.config, speech.semantic, voice, seeded(speech))
            ended = [] if len(speech.semantic) == bark.config.max_semantic_steps else [STOPPED]
            traces["semantic"].append(lead(bark, "semantic", semantic, speech.semantic.tolist() + ended))
            traces["coarse"].append(lead(bark, "coarse", coarse, speech.coarse.T.reshape(-1).tolist()))
            traces["fine"].append(trace_fine(bark, speech))
    return traces


def seeded(speech: Generation) -> torch.Generator:
    """Return a generator for one stage of one text."""
    return torch.Generator().manual_seed(speech.seed)


def lead(bark: Bark, stage: str, row: LedSemantic | LedCoarse, truth: list[int]) -> Trace:
    """Run one row along `truth`, noting the logits."""
    row.truth, row.trace = truth, Trace()
    with bark.runtime.lend_engine(stage, 1) as engine:
        noted = Noting(engine, row.trace)
        if isinstance(row, SemanticRow):
            steps = run_semantic(noted, [row], SamplingOptions(0.7), GenerateOptions.min_eos_p)
        else:
            steps = run_coarse(noted, [row], SamplingOptions(0.7))
        for _ in steps:
            pass
    return row.trace


class Noting(Engine):
    """An engine that passes everything on to another and notes its logits."""

    def __init__(self, engine: Engine, trace: Trace) -> None:
        self.__dict__.update(engine.__dict__)
        self._engine, self._trace = engine, trace

    def prefill(self, x: Tensor, slot: int, start: int) -> Tensor:
        return self._engine.prefill(x, slot, start)

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        return self._engine.step(tokens, positions)

    def head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        logits = self._engine.head(hidden, first, count)
        self._trace.logits.append(logits[0].float().clone())
        return logits


def trace_fine(bark: Bark, speech: Generation) -> Trace:
    """Fill one window of what was spoken, each codebook from the true ones before it."""
    model, config, trace, generator = bark.runtime.fine, bark.config, Trace(), seeded(speech)
    n = min(speech.fine.shape[1], config.fine_window)
    codes = np.full((config.fine_window, config.n_fine_codebooks), config.codebook_size)
    codes[:n] = speech.fine[:, :n].T
    given = torch.from_numpy(codes)[None]
    for codebook in range(config.n_coarse_codebooks, config.n_fine_codebooks):
        x = model.embed(given[..., 0], 0)
        for each in range(1, codebook):
            x = x + model.embed(given[..., each], each)
        x = x + model.embed(torch.full_like(given[..., codebook], config.codebook_size), codebook)
        logits = model(x, codebook, 0, config.codebook_size)[0, :n].float()
        noise = draw_noise(torch.empty(logits.shape), generator)
        trace.drawn += draw(logits, SamplingOptions(0.5), noise)[0].tolist()
        trace.logits += list(logits)
    return trace


def compare(found: list[Trace], wanted: list[Trace]) -> dict[str, Any]:
    """Return how alike two precisions' traces are."""
    draws = [a == b for one, other in zip(found, wanted, strict=True) for a, b in zip(one.drawn, other.drawn, strict=True)]
    pairs = [(a, b) for one, other in zip(found, wanted, strict=True) for a, b in zip(one.logits, other.logits, strict=True)]
    best = [int(a.argmax()) == int(b.argmax()) for a, b in pairs]
    error = [float((a - b).std() / b.std()) for a, b in pairs]
    return {"steps": len(draws), "same_draw": float(np.mean(draws)), "same_best": float(np.mean(best)), "error": float(np.mean(error))}


if __name__ == "__main__":
    main()
