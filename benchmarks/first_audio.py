"""Seconds to the first audio, and to the whole, against the length of the text.

    python -m benchmarks.first_audio --model demo small --precisions int8

Texts are the first sentences of training/heldout.txt; the first utterance of a long one is short, so the first audio should not
wait for the rest. A random checkpoint, which never ends its speech of itself, speaks each utterance for as long as its text
would take. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from bark_core import Bark
from bark_core.text.duration import estimate_seconds
from benchmarks.machine import describe_machine
from benchmarks.shapes import ROOT, WORK, find_checkpoint


def main() -> None:
    """Measure, print the table, print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=("small", "large", "demo"), default=["demo"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--sentences", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--work", type=Path, default=WORK, help="where random checkpoints are kept (gigabytes)")
    options = parser.parse_args()
    sentences = (ROOT / "training" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    print("  model  precision  sentences  utterances   audio  first audio   whole")
    for model in options.model:
        for precision in options.precisions:
            bark = Bark.load(find_checkpoint(model, options.work), device="cpu", precision=precision)
            bark.generate("Good morning.", seed=0, max_seconds=0.5)
            for n in options.sentences:
                row = measure(bark, " ".join(sentences[:n]), is_random=model != "demo")
                rows.append({"model": model, "precision": precision, "sentences": n, **row})
                print(
                    f"{model:>7}{precision:>11}{n:>11}{row['utterances']:>12}{row['audio_s']:>7.1f} s"
                    f"{row['first_audio_s']:>11.2f} s{row['whole_s']:>7.1f} s",
                    flush=True,
                )
    print(json.dumps({"machine": describe_machine(), "rows": rows}))


def measure(bark: Bark, text: str, is_random: bool) -> dict[str, Any]:
    """Stream a text; return when its first chunk came, and its last."""
    more: dict[str, Any] = {"max_seconds": min(10.0, estimate_seconds(text)), "retry": False} if is_random else {}
    begin = time.perf_counter()
    first_s = n_samples = 0
    with bark.stream(text, seed=0, split=True, **more) as stream:
        for chunk in stream:
            first_s = first_s or time.perf_counter() - begin
            n_samples += len(chunk.audio)
    whole_s = time.perf_counter() - begin
    assert stream.generation is not None
    return {
        "utterances": len(stream.generation.utterances),
        "audio_s": round(n_samples / bark.sample_rate, 2),
        "first_audio_s": round(first_s, 3),
        "whole_s": round(whole_s, 2),
    }


if __name__ == "__main__":
    main()
