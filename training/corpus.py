"""Step 1: the texts to speak, in stages from words to long sentences, with every held-out sentence kept out.

Writes `corpus/STAGE.txt`, one text a line, in the order in which they are spoken and learned.
"""

from __future__ import annotations

import random
import re

from training.everyday import make_sentence
from training.quantities import make_quantity
from training.vocabulary import Vocabulary
from training.wordnet import is_speakable, read_glosses, read_lemmas
from training.workspace import ROOT, SEED, SMOKE_DATA, Workspace, argument_parser, open_workspace

MAX_CHARACTERS = 175
"""The longest utterance that long texts are split into."""

STAGES = ("words", "phrases", "sentences", "common", "wide", "quantities")
_SIZES = {"words": 40_000, "phrases": 60_000, "sentences": 40_000, "common": 30_000, "wide": 60_000, "quantities": 10_000}


def normalise(text: str) -> str:
    """Return the words of a text, lower case, for comparing sentences."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def read_heldout() -> list[str]:
    """Return the sentences that nothing may be trained on, and that the figures are taken on."""
    return (ROOT / "heldout.txt").read_text(encoding="utf-8").splitlines()


def read_tuning() -> list[str]:
    """Return the sentences that nothing may be trained on, and that choices are made by."""
    return (ROOT / "tuning.txt").read_text(encoding="utf-8").splitlines()


def read_wide() -> list[str]:
    """Return the sentences in another manner than ours that nothing may be trained on, and that the figures are taken on, too."""
    return (ROOT / "wide.txt").read_text(encoding="utf-8").splitlines()


def make_corpus(rng: random.Random) -> dict[str, list[str]]:
    """Return the texts of each stage, without repeats, shuffled, held-out sentences excluded."""
    definitions: list[str] = []
    examples: list[str] = []
    for definition, phrases in read_glosses():
        definitions += [definition] if 12 <= len(definition) <= MAX_CHARACTERS else []
        examples += [phrase for phrase in phrases if 6 <= len(phrase) <= MAX_CHARACTERS]
    definitions, examples = ([text for text in texts if is_speakable(text)] for texts in (definitions, examples))
    lemmas = read_lemmas()
    common = sorted({word for phrase in examples for word in re.findall(r"[a-z]+(?:'[a-z]+)?", phrase.lower())})
    for texts in (definitions, examples, lemmas, common):
        rng.shuffle(texts)
    everyday = list(dict.fromkeys(make_sentence(rng) for _ in range(60_000)))
    pairs = [_join(*rng.sample(examples, 2)) for _ in range(8_000)] + [f"{a} {b}" for a, b in zip(everyday[40_000:], everyday[46_000:], strict=False)]
    short, rest = everyday[:20_000], everyday[20_000:40_000]
    stages = {
        "words": _mix(rng, common, lemmas[:20_000]),
        "phrases": _mix(rng, examples, short),
        "sentences": _mix(rng, rest, definitions[:12_000], pairs[:14_000], examples[:8_000]),
    }
    vocabulary = Vocabulary()
    stages |= {
        "common": vocabulary.list_words(),
        "wide": [vocabulary.make_sentence(rng) for _ in range(60_000)],
        "quantities": [make_quantity(rng) for _ in range(12_000)],
    }
    kept_out = {normalise(text) for text in [*read_heldout(), *read_wide(), *read_tuning()]}
    return {
        stage: [text for text in dict.fromkeys(texts) if normalise(text) not in kept_out and len(text) <= MAX_CHARACTERS][: _SIZES[stage]]
        for stage, texts in stages.items()
    }


def _mix(rng: random.Random, *sources: list[str]) -> list[str]:
    texts = [text for source in sources for text in source]
    rng.shuffle(texts)
    return texts


def _join(first: str, second: str) -> str:
    """Make two phrases into one utterance of two sentences."""
    return f"{first[0].upper()}{first[1:].rstrip('.!?,;: ')}. {second[0].upper()}{second[1:]}"


def write_corpus(workspace: Workspace) -> None:
    """Write each stage's file; a smoke run takes the texts of the recordings kept for tests."""
    if workspace.smoke:
        texts = (SMOKE_DATA / "texts.txt").read_text(encoding="utf-8").splitlines()
        stages = {stage: texts if stage == "phrases" else [] for stage in STAGES}
    else:
        stages = make_corpus(random.Random(SEED))
    for stage, texts in stages.items():
        workspace.path("corpus", f"{stage}.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        print(f"{stage}: {len(texts)} texts, {sum(map(len, texts)) / max(1, len(texts)):.0f} characters on average")


if __name__ == "__main__":
    write_corpus(open_workspace(argument_parser("Collect and write the texts to learn from.").parse_args()))
