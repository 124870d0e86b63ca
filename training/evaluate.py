"""Step 9: the figures of a checkpoint, on two sets of sentences that nothing was trained on, stage by stage.

`heldout.txt` is in the manner of the recipe's own templates, `wide.txt` in another's. Prints the figures as JSON, keeps a real run's in
`training/evaluation.json`, and puts them into the checkpoint's model card. The teachers speak the same sentences (flite), which gives
their own figures and the codec's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bark_core import Bark
from bark_core.engine.survey import survey_kernel, survey_machine
from training.card import write_card
from training.codec import DELAY
from training.corpus import read_heldout, read_wide
from training.demo import make_config
from training.features import HOP, to_codec_rate
from training.listen import Listener, word_error_rate
from training.measures import largest_step, leading_silence_s, mel_distance, recognise_voice
from training.recordings import RATE_HZ, Recording
from training.speech import read_smoke_recordings, speak
from training.tokens import Sample, encode, load_quantiser, measure_ranges
from training.workspace import DEMO, ROOT, VOICES, Workspace, argument_parser, open_workspace

Hear = Callable[[np.ndarray, int], str]
_LONGEST_S = 15.0
SETS = ("heldout", "wide")
PARTS = ("voices", "stages", "rest")
"""What is measured: speech by voice, the stages on the teachers' recordings, and speed, memory and kept voices."""


def expected_seconds(text: str) -> float:
    """Return about how long the teachers take for a text."""
    return 0.4 + 0.07 * len(text)


def evaluate_voice(bark: Bark, number: int | None, texts: list[str], hear: Hear, workspace: Workspace) -> dict[str, Any]:
    """Speak every text with one preset (None: without a voice) at default settings, seeds from 0; return figures and what was heard wrong."""
    ranges = measure_ranges(workspace)
    wanted = VOICES[number or 0]
    voice = None if number is None else f"demo_speaker_{number}"
    pairs: list[tuple[str, str]] = []
    steps, silences, run_on, followed = [], [], 0, 0
    for text, made in zip(texts, bark.generate_batch(texts, voice, list(range(len(texts)))), strict=True):
        audio = made.audio
        pairs.append((text, hear(audio, bark.sample_rate)))
        steps.append(largest_step(audio))
        silences.append(leading_silence_s(audio))
        run_on += len(audio) / bark.sample_rate > 2 * expected_seconds(text)
        followed += recognise_voice(audio, ranges) == wanted
    return {
        "word_error_rate": word_error_rate(pairs),
        "run_on_rate": run_on / len(texts),
        "voice_followed": followed / len(texts),
        "leading_silence_s": {"median": float(np.median(silences)), "most": float(np.max(silences))},
        "largest_step": float(np.max(steps)),
        "misheard": [{"text": text, "heard": heard} for text, heard in pairs if word_error_rate([(text, heard)]) > 0],
    }


def evaluate_stages(bark: Bark, voice: str, recordings: list[Recording], hear: Hear, workspace: Workspace) -> dict[str, float]:
    """Return the figures of one teacher's recordings themselves, of the codec alone, and of coarse and fine on true semantic tokens."""
    quantiser, ranges, config = load_quantiser(workspace), measure_ranges(workspace), make_config(workspace.smoke)
    heard: dict[str, list[tuple[str, str]]] = {"teacher": [], "codec": [], "acoustic": []}
    distances: dict[str, list[float]] = {"codec": [], "acoustic": []}
    aligned: dict[str, list[float]] = {"codec": [], "acoustic": []}
    largest = 0.0
    for seed, recording in enumerate(recordings):
        sample: Sample = encode(recording, config, ranges, quantiser)
        real = to_codec_rate(recording.audio)
        made = {"codec": bark.decode(sample.codes), "acoustic": _resynthesise(bark, sample.semantic, voice, seed)}
        for name, audio in made.items():
            timely = audio[DELAY * HOP :]  # the decoder speaks late
            distances[name].append(mel_distance(timely, real))
            aligned[name].append(mel_distance(timely, real, aligned=True))
            heard[name].append((recording.text, hear(audio, bark.sample_rate)))
        heard["teacher"].append((recording.text, hear(recording.audio.astype(np.float32) / 32768, RATE_HZ)))
        largest = max(largest, largest_step(real))
    figures = {f"{name}_word_error_rate": word_error_rate(pairs) for name, pairs in heard.items()}
    for kind, found in (("", distances), ("aligned_", aligned)):
        figures |= {f"{name}_{kind}mel_distance_db": float(np.mean(each)) for name, each in found.items()}
    return {**figures, "teacher_largest_step": largest, "sentences": len(recordings)}


def _resynthesise(bark: Bark, semantic: np.ndarray, voice: str, seed: int) -> np.ndarray:
    preset = f"demo_speaker_{VOICES.index(voice)}"
    generator = torch.Generator().manual_seed(seed)
    coarse = bark.generate_coarse(semantic, voice=preset, seed=generator)
    return bark.decode(bark.generate_fine(coarse, voice=preset, seed=generator))


def evaluate_saved_voice(bark: Bark, texts: list[str], workspace: Workspace) -> float:
    """Return how often a generation, used as a voice, keeps whose voice it is."""
    ranges, kept = measure_ranges(workspace), 0
    for seed, text in enumerate(texts):
        number = seed % len(VOICES)
        first = bark.generate(texts[seed - 1], voice=f"demo_speaker_{number}", seed=seed)
        kept += recognise_voice(bark.generate(text, voice=first.voice, seed=seed).audio, ranges) == VOICES[number]
    return kept / len(texts)


def measure_speed(bark: Bark, texts: list[str]) -> float:
    """Return seconds of work for five seconds of speech, the median over some texts, with everything loaded."""
    bark.generate(texts[0], voice="demo_speaker_0", seed=0)
    taken = []
    for seed, text in enumerate(texts):
        began = time.perf_counter()
        made = bark.generate(text, voice="demo_speaker_0", seed=seed)
        taken.append((time.perf_counter() - began) / len(made.audio) * bark.sample_rate * 5)
    return float(np.median(taken))


def describe_machine() -> str:
    """Say in words what speed and memory are measured on, and when."""
    return f"{survey_machine().processor}, {survey_kernel().instructions or 'no kernel'}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"


def measure_memory_mb(folder: Path) -> float:
    """Return the most memory that one process takes to load the checkpoint and speak a sentence."""
    program = (
        "import sys; from bark_core import Bark; Bark.load(sys.argv[1]).generate('Good morning, and welcome.', seed=0)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, cwd=ROOT.parent, capture_output=True, text=True)
    return int(done.stdout) / 1024


def run(workspace: Workspace, folder: Path, count: int | None = None, sets: Sequence[str] = SETS, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Take these figures of a checkpoint over these sets, at most `count` sentences of each."""
    bark = Bark.load(folder, device="cpu")
    hear: Hear = (lambda audio, rate_hz: "") if workspace.smoke else Listener().transcribe
    texts = read_heldout()[:20]
    report: dict[str, Any] = {"sets": {}}
    if "rest" in parts:
        report |= {"measured_on": describe_machine(), "peak_memory_mb": measure_memory_mb(folder), "seconds_for_5_s": measure_speed(bark, texts[:10])}
        report["saved_voice_kept"] = evaluate_saved_voice(bark, texts[:count], workspace)
    for name in sets:
        sentences = {"heldout": read_heldout, "wide": read_wide}[name]()[:count]
        found: dict[str, Any] = {}
        report["sets"][name] = found
        if "voices" in parts:
            found["sentences"] = len(sentences)
            found["voices"] = evaluate_voices(bark, name, sentences, hear, workspace)
        if "stages" in parts:
            found["stages"] = evaluate_teachers(bark, name, sentences, hear, workspace)
    return report


def evaluate_voices(bark: Bark, name: str, texts: list[str], hear: Hear, workspace: Workspace) -> dict[str, Any]:
    """Return the figures of each voice and of none over one set's texts."""
    found: dict[str, Any] = {}
    for voice, number in {"no voice": None, **{f"demo_speaker_{i}": i for i in range(len(VOICES))}}.items():
        found[voice] = evaluate_voice(bark, number, texts, hear, workspace)
        print(f"{name}, {voice}: {json.dumps({key: value for key, value in found[voice].items() if key != 'misheard'})}", flush=True)
    return found


def evaluate_teachers(bark: Bark, name: str, texts: list[str], hear: Hear, workspace: Workspace) -> dict[str, Any]:
    """Return the figures of each teacher's stages over one set's texts."""
    found: dict[str, Any] = {}
    for voice in VOICES:
        recordings = list(read_smoke_recordings(voice)) if workspace.smoke else [speak(text, voice) for text in texts]
        recordings = [each for each in recordings if each.ends[-1] < _LONGEST_S]
        found[voice] = evaluate_stages(bark, voice, recordings, hear, workspace)
        print(f"{name}, stages of {voice}: {json.dumps(found[voice])}", flush=True)
    return found


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return earlier figures with the new ones in their place."""
    sets = {name: {**old.get("sets", {}).get(name, {}), **new["sets"].get(name, {})} for name in SETS}
    return {**{key: value for key, value in old.items() if key != "sets"}, **new, "sets": sets}


def _arguments() -> argparse.Namespace:
    parser = argument_parser("Measure a checkpoint.")
    parser.add_argument("--checkpoint", type=Path, default=None, help="its folder (default: weights/demo, or the smoke run's export)")
    parser.add_argument("--no-card", action="store_true", help="print the figures and keep them nowhere")
    parser.add_argument("--count", type=int, default=None, help="sentences of each set to speak (default: all; 2 in a smoke run)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="the sets of sentences (default: both)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="figures to take anew, the rest left as they are (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    space = open_workspace(given)
    folder = given.checkpoint or (space.need("export", step="export") if space.smoke else DEMO)
    target = space.path("evaluation.json") if space.smoke else ROOT / "evaluation.json"
    old = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    figures = merge(old, run(space, folder, given.count or (2 if space.smoke else None), given.sets, given.parts))
    if not given.no_card:
        target.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_card(folder / "README.md", figures)
    print(json.dumps({key: value for key, value in figures.items() if not isinstance(value, dict)}))
