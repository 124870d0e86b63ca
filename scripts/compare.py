"""Compare two versions of the model, each behind a Cog server: the same inputs and seeds, token by token.

    python scripts/compare.py OLD_URL NEW_URL [--inputs FILE.json …] [--seeds N]

Every WAV of ours carries the tokens that it was made of, so that this tells which stage differs first, and where; a listener could not.
Exit code 0: all are the same; 1: some differ; 2: they could not be compared.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bark_core.errors import BarkError  # noqa: E402
from bark_core.voices.files import ARRAYS, read_arrays  # noqa: E402
from scripts.server import predict  # noqa: E402

STAGES = dict(zip(ARRAYS, ("semantic", "coarse", "fine"), strict=True))
AUDIO_TOLERANCE = 0.001
"""Samples of one set of codes differ by rounding where processors do; by more where decoders do."""


class CannotCompare(Exception):
    """There is nothing to compare; the message says why."""


@dataclass(frozen=True)
class Spoken:
    """What one version made of some inputs: tokens and samples, or the sentence with which it refused."""

    arrays: Mapping[str, np.ndarray]
    audio: np.ndarray
    error: str | None = None


def speak(url: str, inputs: Mapping[str, Any]) -> Spoken:
    """Run one prediction. Raises: CannotCompare where the server is not there, or what it gave carries no tokens."""
    try:
        answer = predict(url, inputs)
    except OSError as error:
        raise CannotCompare(f"{url} does not answer ({error}). Start a Cog server there, for one by `make serve PORT=…`.") from error
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status == 422 and "detail" in body:
        return Spoken({}, np.zeros(0), "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in body["detail"]))
    if body.get("status") == "failed":
        return Spoken({}, np.zeros(0), str(body.get("error")))
    if body.get("status") != "succeeded":
        raise CannotCompare(f"{url} answered with status {answer.status}: {str(answer.body)[:200]}. Is it a Cog server, and ready?")
    return read_output(url, body.get("output"))


def read_output(url: str, output: Any) -> Spoken:
    """Return the tokens and the samples of a prediction's output. Raises: CannotCompare."""
    if not isinstance(output, str) or not output.startswith(("data:", "http:", "https:")):
        raise CannotCompare(f"{url} gave {str(output)[:80]!r}, which is no file.")
    with urllib.request.urlopen(output) as response:
        data = response.read()
    with tempfile.TemporaryDirectory(prefix="bark-compare-") as folder:
        path = Path(folder) / "output.wav"
        path.write_bytes(data)
        try:
            arrays = read_arrays(path)
            with wave.open(io.BytesIO(data)) as file:
                audio = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16) / 32768
        except (BarkError, wave.Error, EOFError) as error:
            raise CannotCompare(f"What {url} gave cannot be compared: {str(error).replace(str(path), 'its output')}") from error
    if set(arrays) != set(ARRAYS):
        raise CannotCompare(f"What {url} gave carries {', '.join(arrays) or 'no tokens'}; it must carry {', '.join(ARRAYS)}.")
    return Spoken(arrays, audio)


def find_difference(old: Spoken, new: Spoken) -> str | None:
    """Return where two outputs differ first, as a sentence, or None where they do not."""
    if old.error is not None or new.error is not None:
        return find_difference_of_errors(old.error, new.error)
    for key, stage in STAGES.items():
        ours, theirs = old.arrays[key], new.arrays[key]
        n = min(ours.shape[-1], theirs.shape[-1])
        unlike = np.atleast_2d(ours)[:, :n] != np.atleast_2d(theirs)[:, :n]
        if unlike.any():
            step = int(unlike.any(axis=0).argmax())
            where = f"token {step}" if ours.ndim == 1 else f"frame {step}, codebook {int(unlike[:, step].argmax())}"
            return f"differs first in the {stage} stage, from {where} of {ours.shape[-1]} on ({unlike.mean():.1%} of its tokens differ)"
        if ours.shape != theirs.shape:
            return f"differs first in the {stage} stage, which stops after {ours.shape[-1]} steps in the old version and {theirs.shape[-1]} in the new"
    if old.audio.size != new.audio.size:
        return f"has the same tokens, and {old.audio.size} samples in the old version where the new has {new.audio.size}"
    gap = float(np.abs(old.audio - new.audio).max(initial=0.0))
    return f"has the same tokens, and samples that differ by up to {gap:.4f}" if gap > AUDIO_TOLERANCE else None


def find_difference_of_errors(old: str | None, new: str | None) -> str | None:
    """Return how two refusals differ, or None where they are the same."""
    if old == new:
        return None
    if old is not None and new is not None:
        return f"is refused by both, with other sentences: {old!r} and {new!r}"
    return f"is refused by the {'new' if old is None else 'old'} version only: {old or new}"


def read_cases(paths: list[Path], n_seeds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name and the inputs of each case: every file with its own seed, or 0, and the seeds after it."""
    for path in paths:
        try:
            inputs = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CannotCompare(f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(inputs, dict) or not isinstance(inputs.get("seed", 0), int):
            raise CannotCompare(f"{path} must hold one object, of the model's inputs by name, with a whole number for a seed.")
        for seed in range(inputs.get("seed", 0), inputs.get("seed", 0) + n_seeds):
            yield f"{path.stem}, seed {seed}", {**inputs, "seed": seed}


def compare(old_url: str, new_url: str, cases: Iterator[tuple[str, dict[str, Any]]]) -> int:
    """Run every case on both, print what came of it, and return the exit code."""
    n_spoken = n_different = n_cases = 0
    for name, inputs in cases:
        old, new = speak(old_url, inputs), speak(new_url, inputs)
        difference = find_difference(old, new)
        n_cases, n_spoken, n_different = n_cases + 1, n_spoken + (old.error is None and new.error is None), n_different + (difference is not None)
        same = f"the same, {old.audio.size / 24_000:.1f} s" if old.error is None else f"refused by both: {old.error}"
        print(f"{name}: {difference or same}", flush=True)
    if not n_spoken and not n_different:
        raise CannotCompare("No case was spoken by either, so nothing was compared. Give --inputs that this model can speak.")
    print(f"{n_different} of {n_cases} differ." if n_different else f"All {n_cases} are the same, {n_spoken} of them spoken.")
    return 1 if n_different else 0


def main() -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(description="Compare two versions of the model behind two Cog servers, token by token.")
    parser.add_argument("old", metavar="OLD_URL", help="a Cog server with the version that is known to be good")
    parser.add_argument("new", metavar="NEW_URL", help="a Cog server with the version in question")
    parser.add_argument("--inputs", nargs="+", type=Path, help="files of inputs, JSON (default: examples/inputs/*.json)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds to try each with (default: %(default)s)")
    arguments = parser.parse_args()
    paths = arguments.inputs or sorted((ROOT / "examples" / "inputs").glob("*.json"))
    try:
        return compare(arguments.old.rstrip("/"), arguments.new.rstrip("/"), read_cases(paths, max(arguments.seeds, 1)))
    except CannotCompare as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
