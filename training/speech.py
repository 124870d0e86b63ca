"""Step 2: the teachers speak the corpus. flite's voices rms and slt, their phones and end times, their pitch.

Needs Debian's `flite`, except in a smoke run, which takes the recordings kept for tests.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile

from training.corpus import STAGES
from training.phones import parse_durations
from training.pitch import pitch_of_phones, track_pitch
from training.recordings import RATE_HZ, Recording, load_shard, save_shard
from training.workspace import SMOKE_DATA, VOICES, Workspace, argument_parser, open_workspace

SHARD = 500
"""Texts in a shard."""


@dataclass(frozen=True)
class Task:
    """Texts `first` … `first + SHARD` of a stage, spoken by one voice; `keep` says whether the samples are kept."""

    voice: str
    stage: str
    first: int
    keep: bool

    @property
    def name(self) -> str:
        """The shard's file name without its ending."""
        return f"{'heard' if self.keep else 'silent'}-{self.voice}-{self.stage}-{self.first:06d}"


def plan() -> Iterator[Task]:
    """Yield everything to speak, the most needed first: heard speech of both voices for the codec and the acoustic
    stages, then rms alone for text to semantic tokens, whose durations come from one teacher so that they are learned sharply.
    """
    for first in range(0, 2_500, SHARD):
        yield from (Task(voice, stage, first, keep=True) for stage in ("wide", "phrases", "sentences") for voice in VOICES)
    for turn in range(8):
        yield Task("rms", "common", turn * SHARD, keep=False)
        yield from (Task("rms", "wide", 2_500 + first, keep=False) for first in range(turn * 3 * SHARD, (turn + 1) * 3 * SHARD, SHARD))
        yield Task("rms", "quantities", turn * SHARD, keep=False)
    yield from (Task("rms", "words", first, keep=False) for first in range(0, 5_000, SHARD))
    for turn in range(74):
        yield Task("rms", "phrases", 2_500 + turn * SHARD, keep=False)
        yield Task("rms", "sentences", 2_500 + turn * SHARD, keep=False) if turn % 2 else Task("rms", "words", 5_000 + turn * SHARD, keep=False)
    yield from (Task("rms", "phrases", first, keep=False) for first in range(39_500, 60_000, SHARD))
    yield from (Task("rms", "wide", first, keep=False) for first in range(14_500, 60_000, SHARD))


def speak(text: str, voice: str) -> Recording:
    """Have flite say a text. Raises: ValueError where it says nothing; SystemExit where flite is not installed."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-psdur", "-o", file.name, "-t", f" {text}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            raise SystemExit("flite is missing; install it (Debian: apt-get install flite), or run with --smoke.") from error
        audio, rate_hz = soundfile.read(file.name, dtype="int16")
    if rate_hz != RATE_HZ:
        raise ValueError(f"flite's voice {voice} speaks at {rate_hz} Hz; {RATE_HZ} were expected")
    phones, ends = parse_durations(done.stdout)
    return Recording(text, voice, phones, ends, pitch_of_phones(track_pitch(audio, rate_hz), ends), audio)


def run_task(arguments: tuple[Task, Path]) -> str:
    """Speak one shard and save it; return what became of it."""
    task, folder = arguments
    path = folder / "speech" / f"{task.name}.npz"
    if path.exists():
        return f"{task.name}: kept"
    texts = (folder / "corpus" / f"{task.stage}.txt").read_text(encoding="utf-8").splitlines()[task.first : task.first + SHARD]
    recordings: list[Recording] = []
    for text in texts:
        try:
            spoken = speak(text, task.voice)
        except (ValueError, subprocess.CalledProcessError) as error:
            print(f"left out {text!r}: {error}", flush=True)
            continue
        audio = spoken.audio if task.keep else np.zeros(0, np.int16)
        recordings.append(Recording(text, task.voice, spoken.phones, spoken.ends, spoken.pitch, audio))
    save_shard(path, recordings)
    return f"{task.name}: {sum(float(each.ends[-1]) for each in recordings) / 60:.1f} minutes"


def speak_corpus(workspace: Workspace, n_jobs: int, stages: Sequence[str] = STAGES) -> None:
    """Speak every shard of these stages that is not there yet; a killed run goes on where it was."""
    workspace.path("speech", "x")
    if workspace.smoke:
        for voice in VOICES:
            save_shard(workspace.path("speech", f"heard-{voice}-phrases-000000.npz"), list(read_smoke_recordings(voice)))
        return
    workspace.need("corpus", "phrases.txt", step="corpus")
    with get_context("spawn").Pool(n_jobs) as pool:
        for report in pool.imap(run_task, [(task, workspace.folder) for task in plan() if task.stage in stages]):
            print(report, flush=True)


def read_smoke_recordings(voice: str) -> Iterator[Recording]:
    """Yield the recordings kept for tests: WAVs, and one file with a line of phones and end times for each."""
    texts = (SMOKE_DATA / "texts.txt").read_text(encoding="utf-8").splitlines()
    durations = (SMOKE_DATA / f"{voice}.txt").read_text(encoding="utf-8").splitlines()
    for i, (text, line) in enumerate(zip(texts, durations, strict=True)):
        audio, rate_hz = soundfile.read(SMOKE_DATA / f"{voice}-{i}.wav", dtype="int16")
        phones, ends = parse_durations(line)
        yield Recording(text, voice, phones, ends, pitch_of_phones(track_pitch(audio, rate_hz), ends), audio)


def heard_recordings(workspace: Workspace, voice: str, limit: int | None = None) -> list[Recording]:
    """Return a voice's recordings that have samples, in order, at most `limit`."""
    workspace.need("speech", step="speech")
    found: list[Recording] = []
    for path in sorted((workspace.folder / "speech").glob(f"heard-{voice}-*.npz")):
        if limit is not None and len(found) >= limit:
            break
        if not path.name.endswith(".part.npz"):
            found += load_shard(path)
    return found[:limit]


def _arguments() -> argparse.Namespace:
    parser = argument_parser("Have the teachers speak the corpus.")
    parser.add_argument("--jobs", type=int, default=2, help="processes that speak side by side")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="speak these stages alone (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    speak_corpus(open_workspace(given), given.jobs, given.stages)
