"""The model card: `model_card.md` with the figures of an evaluation in their place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.workspace import ROOT

_PLACE = "<!-- figures -->"
_NONE = "Not measured yet: `python -m training.evaluate` does it."


def write_card(path: Path, figures: Mapping[str, Any] | None = None) -> None:
    """Write the card. `figures`: what `training.evaluate` reports, or None before it has run."""
    text = (ROOT / "model_card.md").read_text(encoding="utf-8")
    path.write_text(text.replace(_PLACE, _NONE if figures is None else render_figures(figures)), encoding="utf-8")


_SETS = {
    "heldout": "{} everyday sentences in the manner of those that it learned from (`training/heldout.txt`)",
    "wide": "{} sentences in another manner: short, concrete, of wide vocabulary, in the past (the first of `training/wide.txt`)",
}


def render_figures(figures: Mapping[str, Any]) -> str:
    """Return the figures as two tables a set of sentences and some lines of Markdown."""
    sets = figures["sets"]
    worst = {voice: max(each["voices"][voice]["word_error_rate"] for each in sets.values()) for voice in sets["heldout"]["voices"]}
    lines = [
        "By `python -m training.evaluate`, over sentences that nothing was trained on, default settings, seeds from 0, one take each. Words are those that "
        "Whisper tiny.en hears, numbers spelled out on both sides. "
        f"Of the words of the harder set, {', '.join(f'{share:.0%} ({voice})' for voice, share in worst.items())} are misheard.",
    ]
    for name, one in sets.items():
        lines += ["", f"**{_SETS[name].format(one['sentences'])}**", "", *_render_voices(one["voices"]), ""]
        if not one.get("stages"):
            lines += ["Where it is lost was not measured on these."]
            continue
        some = min(stage["sentences"] for stage in one["stages"].values())
        which = "the same sentences" if some == one["sentences"] else f"the first {some} of the set"
        lines += [f"Where it is lost, on the teachers' own recordings of {which} (coarse and fine on true semantic tokens, with the voice's prompt):"]
        lines += ["", *_render_stages(one["stages"])]
    return "\n".join(
        [
            *lines,
            "",
            f"A generation used as a voice keeps it in {figures['saved_voice_kept']:.0%} of takes. "
            f"Five seconds of speech take {figures['seconds_for_5_s']:.2f} s on one thread once loaded; "
            f"loading and speaking one sentence peaks at {figures['peak_memory_mb']:.0f} MB ({figures['measured_on']}).",
        ]
    )


def _render_voices(voices: Mapping[str, Any]) -> list[str]:
    lines = [
        "| spoken with | word error rate | runs on past twice the expected time | recognised as its teacher | silence before it: median, most | largest step |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in voices.items():
        silence = one["leading_silence_s"]
        lines.append(
            f"| {name} | {one['word_error_rate']:.1%} | {one['run_on_rate']:.1%} | {one['voice_followed']:.0%} "
            f"| {silence['median']:.2f} s, {silence['most']:.2f} s | {one['largest_step']:.2f} |"
        )
    return lines


def _render_stages(stages: Mapping[str, Any]) -> list[str]:
    lines = [
        "| teacher | heard wrong: the teacher | its codes, decoded | coarse and fine | mel distance: codec | coarse and fine | aligned in time | largest step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in stages.items():
        lines.append(
            f"| {name} | {one['teacher_word_error_rate']:.1%} | {one['codec_word_error_rate']:.1%} "
            f"| {one['acoustic_word_error_rate']:.1%} | {one['codec_mel_distance_db']:.2f} dB | {_distance(one, 'mel_distance_db')} "
            f"| {_distance(one, 'aligned_mel_distance_db')} | {one['teacher_largest_step']:.2f} |"
        )
    return lines


def _distance(figures: Mapping[str, float], kind: str) -> str:
    """Return how far coarse and fine are from the recordings, and how much farther than the codec alone."""
    return f"{figures[f'acoustic_{kind}']:.2f} dB ({figures[f'acoustic_{kind}'] / figures[f'codec_{kind}']:.2f} ×)"
