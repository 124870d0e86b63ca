"""English by frequency, out of an installed WordNet: common words in all their forms, and plain sentences that put any of them beside any other.

What the sentences say is chance. They are there for how their words are spelled and said, most of which no template of ours has.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate

from training.wordnet import read_exceptions, read_glosses, read_index, read_transitive

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_VOWELS = "aeiou"
_PEOPLE = ("I", "You", "He", "She", "We", "They", "My uncle", "Her sister", "Our neighbor", "Someone", "Nobody", "Everyone", "Your son")
_DETERMINERS = ("the", "the", "the", "a", "a", "my", "your", "his", "her", "our", "their", "this", "that", "some", "every", "another")
_PLACES = (
    "in", "on", "under", "behind", "beside", "near", "over", "across", "through", "from", "into", "beneath", "along", "past", "against", "above", "with",
    "without", "around", "toward", "between", "inside", "outside", "below", "after", "before", "until", "during", "by", "at", "off", "onto",
)
_UNCHANGED = frozenset(
    ("bet", "bid", "burst", "cast", "cost", "cut", "hit", "hurt", "let", "put", "quit",
     "read", "rid", "set", "shed", "shut", "slit", "split", "spread", "thrust", "wed")
)  # fmt: skip
_TIMES = (
    "yesterday", "last night", "this morning", "again", "twice", "at noon", "at dawn", "in the winter", "on Friday", "long ago", "in June", "for an hour",
    "before breakfast", "every evening", "all day", "once a week", "in silence", "by mistake", "on purpose", "at once",
)


def count_words() -> Counter[str]:
    """Return how often each word is written in WordNet's definitions and examples, lower case: about what is common in plain English."""
    counts: Counter[str] = Counter()
    for definition, examples in read_glosses():
        counts.update(_WORD.findall(definition.lower()))
        for example in examples:
            counts.update(_WORD.findall(example.lower()))
    return counts


def add_s(word: str) -> str:
    """Return the regular plural of a noun, or the third person of a verb."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(rf"[^{_VOWELS}]y$", word) else word + "s"


def add_ed(word: str) -> str:
    """Return the regular past of a verb whose last letter is not doubled."""
    if word.endswith("e"):
        return word + "d"
    return word[:-1] + "ied" if re.search(rf"[^{_VOWELS}]y$", word) else word + "ed"


def add_ing(word: str) -> str:
    """Return the regular present participle of a verb whose last letter is not doubled."""
    return word[:-1] + "ing" if word.endswith("e") and not word.endswith(("ee", "ye", "oe")) else word + "ing"


def past_of(verb: str, exceptions: dict[str, list[str]]) -> str:
    """Return a verb's past: of irregular forms one without -n (wrote, written), or else the first in the alphabet (drank, drunk)."""
    if verb in _UNCHANGED:
        return verb
    irregular = [form for form in exceptions.get(verb, []) if not form.endswith("ing")]
    return min(irregular, key=lambda form: (form.endswith("n"), form)) if irregular else add_ed(verb)


@dataclass(frozen=True)
class Words:
    """Words of one kind, to be drawn by the square root of how common they are: the rare ones need learning too."""

    words: list[str]
    sums: list[float]

    @classmethod
    def weigh(cls, words: list[str], counts: Counter[str]) -> Words:
        """Take the words that are written three times or more."""
        kept = [word for word in words if counts[word] > 2]
        return cls(kept, list(accumulate(counts[word] ** 0.5 for word in kept)))

    def draw(self, rng: random.Random) -> str:
        """Return a word."""
        return rng.choices(self.words, cum_weights=self.sums)[0]


def _read_ly() -> list[str]:
    return [word for word in read_index("adv") if word.endswith("ly")]


class Vocabulary:
    """WordNet's common nouns, verbs, adjectives and adverbs, and sentences made of them."""

    def __init__(self) -> None:
        self.counts = count_words()
        self._noun_exceptions, self._verb_exceptions = read_exceptions("noun"), read_exceptions("verb")
        self.nouns, self.verbs, self.adjectives, self.adverbs = (
            Words.weigh(words, self.counts) for words in (read_index("noun"), read_transitive(), read_index("adj"), _read_ly())
        )

    def list_words(self) -> list[str]:
        """Return common words in all their forms, the most common first, each once."""
        found: defaultdict[str, float] = defaultdict(float, {word: float(count) for word, count in self.counts.items() if count > 1 and len(word) > 1})
        for noun in self.nouns.words:
            found[self._plural(noun)] += 0.2 * self.counts[noun]
        for verb in self.verbs.words:
            for form in (past_of(verb, self._verb_exceptions), add_s(verb), *self._participles(verb)):
                found[form] += 0.2 * self.counts[verb]
        return sorted(found, key=lambda word: -found[word])

    def make_sentence(self, rng: random.Random) -> str:
        """Return a sentence with four or five words of weight in it, in any person, mostly in the past."""
        subject = rng.choice(_PEOPLE) if rng.random() < 0.55 else self._thing(rng).capitalize()
        verb = self.verbs.draw(rng)
        kind = rng.random()
        if kind < 0.7:
            said = past_of(verb, self._verb_exceptions)
        elif kind < 0.8:
            said = f"{rng.choice(('will', 'can', 'must', 'could', 'would', 'did not', 'never had to'))} {verb}"
        elif kind < 0.9:
            said = f"{rng.choice(('kept', 'stopped', 'began', 'liked'))} {(self._participles(verb) or [add_ing(verb)])[0]}"
        else:
            said = f"{self.adverbs.draw(rng)} {past_of(verb, self._verb_exceptions)}"
        tail = rng.random()
        if tail < 0.5:
            end = f" {rng.choice(_PLACES)} {self._thing(rng)}"
        elif tail < 0.75:
            end = f" {rng.choice(_TIMES)}"
        else:
            end = ""
        return f"{subject} {said} {self._thing(rng)}{end}{'?' if rng.random() < 0.03 else '.'}"

    def _thing(self, rng: random.Random) -> str:
        noun = self.nouns.draw(rng)
        determiner = rng.choice(_DETERMINERS)
        if determiner in ("the", "my", "your", "some", "our") and rng.random() < 0.35:
            noun = self._plural(noun)
        adjective = f"{self.adjectives.draw(rng)} " if rng.random() < 0.35 else ""
        if determiner == "a" and (adjective or noun)[0] in _VOWELS:
            determiner = "an"
        return f"{determiner} {adjective}{noun}"

    def _plural(self, noun: str) -> str:
        return self._noun_exceptions.get(noun, [add_s(noun)])[0]

    def _participles(self, verb: str) -> list[str]:
        doubled = [form for form in self._verb_exceptions.get(verb, []) if form.endswith("ing")]
        return doubled or [add_ing(verb)]
