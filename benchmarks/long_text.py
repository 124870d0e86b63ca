"""A chapter in one call against the same sentences one by one: words misheard, seconds, peak memory, seconds to the first audio.

    python -m benchmarks.long_text --precision int8

The chapter is benchmarks/chapter.txt, 3,000 words that nothing was trained or tuned on. Whisper tiny.en writes down what it hears
of each utterance (needs the extra `train`). Each way runs in a process of its own. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from bark_core import Bark
from bark_core.text.sentences import split_sentences
from benchmarks.machine import describe_machine, peak_memory_gb
from benchmarks.shapes import ROOT

CHAPTER = ROOT / "benchmarks" / "chapter.txt"
WAYS = ("chapter", "sentences", "stream")


def main() -> None:
    """Measure, print the table, print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--voice", default="demo_speaker_0")
    parser.add_argument("--words", type=int, help="only the first so many words")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    rows = []
    print("      way  utterances   audio  seconds  first audio  peak memory  misheard  drawn again")
    for way in WAYS:
        done = subprocess.run([sys.executable, "-m", "benchmarks.long_text", *sys.argv[1:], "--way", way], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        rows.append(row := json.loads(done.stdout.splitlines()[-1]))
        print(
            f"{way:>9}{row['utterances']:>12}{row['audio_s']:>7.0f} s{row['seconds']:>7.0f} s{row['first_audio_s']:>11.2f} s{row['peak_gb']:>10.2f} GB"
            f"{row['misheard']:>10.1%}{row['drawn_again']:>13}",
            flush=True,
        )
    print(json.dumps({"machine": describe_machine(), "rows": rows}))


def read_chapter(n_words: int | None) -> str:
    """Return the chapter, or its first words as whole paragraphs."""
    kept: list[str] = []
    for paragraph in CHAPTER.read_text(encoding="utf-8").split("\n\n"):
        if n_words is not None and sum(len(each.split()) for each in kept) >= n_words:
            break
        kept.append(paragraph)
    return "\n\n".join(kept)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Speak the chapter one way; return what it took."""
    text = read_chapter(options.words)
    bark = Bark.load(options.model, device="cpu", precision=options.precision)
    bark.generate("Good morning.", seed=0, max_seconds=0.5)
    begin, first_s = time.perf_counter(), 0.0
    if options.way == "stream":
        with bark.stream(text, voice=options.voice, seed=1) as stream:
            for _ in stream:
                first_s = first_s or time.perf_counter() - begin
        assert stream.generation is not None
        made = [stream.generation]
    elif options.way == "chapter":
        made = [bark.generate(text, voice=options.voice, seed=1)]
    else:
        lines = [line for paragraph in text.split("\n\n") if not paragraph.startswith("#") for line in split_sentences(paragraph, "en")]
        made = bark.generate_batch([line.strip() for line in lines], voice=options.voice, seed=list(range(len(lines))))
    seconds, peak_gb = time.perf_counter() - begin, peak_memory_gb()
    pairs = []
    for each in made:
        for utterance in each.utterances:
            start, end = (round((at or 0.0) * bark.sample_rate) for at in (utterance.start_s, utterance.end_s))
            pairs.append((utterance.text, each.audio[start:end]))
    return {
        "way": options.way,
        "utterances": len(pairs),
        "audio_s": round(sum(len(each.audio) for each in made) / bark.sample_rate, 1),
        "seconds": round(seconds, 1),
        "first_audio_s": round(first_s or made[0].timings.first_audio_s, 2),
        "peak_gb": peak_gb,
        "misheard": listen(pairs),
        "drawn_again": sum(utterance.n_takes - 1 for each in made for utterance in each.utterances),
    }


def listen(pairs: list[tuple[str, Any]]) -> float:
    """Return the word error rate over (text, audio) pairs."""
    from training.listen import Listener, word_error_rate

    listener = Listener(n_threads=2)
    return round(word_error_rate([(text, listener.transcribe(audio, 24_000)) for text, audio in pairs]), 4)


if __name__ == "__main__":
    main()
