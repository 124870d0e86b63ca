"""How decided each stage's draws should be: words misheard of `tuning.txt` at several temperatures. What export's SHARPNESS is chosen by.

A temperature of 0.35 with plain logits draws what the default of 0.7 draws with logits twice as large. The sentences are
the recipe's own, none of them trained on, and none of those that the figures are taken on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bark_core import Bark
from training.corpus import read_tuning
from training.listen import Listener, word_error_rate
from training.workspace import DEMO

TEMPERATURES = (0.7, 0.5, 0.35, 0.2)
_DEFAULTS = {"text_temp": 0.7, "waveform_temp": 0.7, "fine_temp": 0.5}


def measure(bark: Bark, listener: Listener, texts: list[str], voice: str | None, temperatures: dict[str, float]) -> float:
    """Return the word error rate of the texts, spoken with seeds from 0."""
    text_temp, waveform_temp, fine_temp = (temperatures[name] for name in _DEFAULTS)
    made = bark.generate_batch(texts, voice, list(range(len(texts))), text_temp, waveform_temp, fine_temp)
    return word_error_rate([(text, listener.transcribe(each.audio, bark.sample_rate)) for text, each in zip(texts, made, strict=True)])


def tune(folder: Path) -> None:
    """Print the word error rate at each temperature of one stage after the other, the best of each kept for the next."""
    bark, listener = Bark.load(folder, device="cpu"), Listener()
    texts = read_tuning()
    chosen = dict(_DEFAULTS)
    for name, default in _DEFAULTS.items():
        rates: dict[float, float] = {}
        for temperature in (round(each * default / 0.7, 3) for each in TEMPERATURES):
            temperatures = {**chosen, name: temperature}
            rates[temperature] = sum(measure(bark, listener, texts, voice, temperatures) for voice in (None, "demo_speaker_1")) / 2
            print(f"{name} {temperature}: {rates[temperature]:.1%}", flush=True)
        chosen[name] = min(rates, key=lambda each: rates[each])
    print("sharpness:", {name: round(_DEFAULTS[name] / value, 2) for name, value in chosen.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure words misheard at several temperatures.")
    parser.add_argument("--checkpoint", type=Path, default=DEMO, help="its folder, exported with every sharpness 1 (default: weights/demo)")
    tune(parser.parse_args().checkpoint)
