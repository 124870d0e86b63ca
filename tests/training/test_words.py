"""Where the recipe's words come from: forms of common words, quantities as they are read, and spellings that a model reads right."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bark_core.text.english import EnglishReader
from training.graphemes import GRAPHEMES, cut_word, spell_otherwise
from training.phones import PHONES
from training.quantities import make_quantity, say_ordinal, say_whole, say_year
from training.respell import distance, find_respellings
from training.vocabulary import add_ed, add_ing, add_s, past_of
from training.wordnet import read_exceptions, read_transitive


def test_words_take_their_regular_endings() -> None:
    assert [add_s(word) for word in ("cat", "box", "fly", "day", "church")] == ["cats", "boxes", "flies", "days", "churches"]
    assert [add_ed(word) for word in ("walk", "bake", "carry", "play")] == ["walked", "baked", "carried", "played"]
    assert [add_ing(word) for word in ("walk", "bake", "see", "dye")] == ["walking", "baking", "seeing", "dyeing"]


def test_irregular_pasts_are_told_from_participles() -> None:
    exceptions = {"write": ["writing", "written", "wrote"], "drink": ["drank", "drunk"], "begin": ["began", "beginning", "begun"]}
    assert [past_of(verb, exceptions) for verb in ("write", "drink", "begin", "put", "haul")] == ["wrote", "drank", "began", "put", "hauled"]


def test_wordnets_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "verb.exc").write_text("drank drink\ndrunk drink\n", encoding="utf-8")
    (tmp_path / "data.verb").write_text(
        "  1 a licence\n00001740 29 v 02 haul 0 sleep_in 0 001 @ 00105333 v 0000 02 + 02 00 + 08 00 | pull\n00001741 29 v 01 sleep 0 000 01 + 02 00 | rest\n",
        encoding="utf-8",
    )
    assert read_exceptions("verb", tmp_path) == {"drink": ["drank", "drunk"]}
    assert read_transitive(tmp_path) == ["haul"]


@pytest.mark.parametrize(("written", "said"), [("1905", say_year(1905)), ("1984", say_year(1984)), ("2006", say_year(2006)), ("1800", say_year(1800))])
def test_years_are_learned_as_they_are_read(written: str, said: str) -> None:
    assert EnglishReader({}).read(f"In {written} it was.") == f"In {said} it was."


def test_quantities_are_learned_as_they_are_read() -> None:
    reader = EnglishReader({})
    for value in (0, 7, 13, 40, 99, 100, 101, 999, 1_000, 12_345, 1_000_001, 987_654_321):
        assert reader.read(f"about {value:,} of them") == f"about {say_whole(value)} of them"
    for value in (1, 2, 3, 12, 20, 21, 101):
        ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10 if value % 100 not in (11, 12, 13) else 0, "th")
        assert reader.read(f"the {value}{ending} one") == f"the {say_ordinal(value)} one"
    rng = random.Random(3)
    for text in (make_quantity(rng) for _ in range(300)):
        assert not re.search(r"\d", text)
        assert reader.read(text) == text


def test_a_word_is_cut_at_its_phones() -> None:
    assert set(GRAPHEMES) == set(PHONES) - {"pau"}
    assert cut_word("through", ["th", "r", "uw"]) == ["th", "r", "ough"]
    assert cut_word("vase", ["v", "ey", "s"]) == ["v", "a", "se"]
    for word, phones in (("queue", "k y uw"), ("a", "ey"), ("strengths", "s t r eh ng th s"), ("x", "eh k s")):
        assert "".join(cut_word(word, phones.split())) == word


def test_only_what_is_read_wrong_is_spelled_anew() -> None:
    made = spell_otherwise("vase", ["v", "ey", "s"], ["v", "ey", "z"], 8, random.Random(0))
    assert len(made) == len(set(made)) and "vase" not in made
    assert all(spelling.startswith("v") for spelling in made)
    assert any(spelling.endswith(("ss", "s", "ce")) for spelling in made)


def test_phones_that_are_heard_alike_hardly_count() -> None:
    assert distance(["v", "ey", "s"], ["v", "ey", "z"]) == 1
    assert distance(["ax", "b"], ["ih", "b"]) == pytest.approx(0.1)
    assert distance(["a", "b", "c"], []) == 3


def test_spellings_are_taken_where_they_are_read_better() -> None:
    sounds = {"a": "ae", "ay": "ey", "ai": "ey", "v": "v", "se": "z", "ss": "s", "s": "s", "c": "k", "t": "t", "e": "eh", "ce": "s"}

    def read(words: Sequence[str]) -> dict[str, str]:
        return {word: " ".join(sounds[part] for part in re.findall("ay|ai|se|ss|ce|[avscte]", word)) for word in words if set(word) <= set("avsctieys")}

    wanted = {"vase": "v ey s", "cat": "k ae t", "vat": "v ae t"}
    found = find_respellings(["vase", "cat", "vat"], wanted, [read, read], random.Random(0))
    assert list(found) == ["vase"]
    assert read([found["vase"]])[found["vase"]] == "v ey s"
    elsewhere = {"vase": "v ey s", found["vase"]: "v ey s"}
    assert find_respellings(["vase", "cat", "vat"], wanted, [read, lambda words: elsewhere], random.Random(0)) == {}
