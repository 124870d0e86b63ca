"""Where the recipe's words come from: forms of common words, quantities as they are read, and words in phones."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from bark_core.text.english import EnglishReader
from training.demo import make_tokenizer
from training.lexicon import SIGNS, load_lexicon, write_lexicon, write_signs
from training.lines import make_encoders
from training.phones import PHONES
from training.phonetokens import split_phones, split_tokens
from training.quantities import make_quantity, say_ordinal, say_whole, say_year
from training.swaps import swap_phones
from training.vocabulary import add_ed, add_ing, add_s, past_of
from training.wordnet import read_exceptions, read_transitive
from training.workspace import Workspace


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


def test_each_phone_has_a_sign_that_reader_and_tokenizer_keep() -> None:
    assert {phone.rstrip("01") for phone in SIGNS} == set(PHONES) - {"pau", "el", "em", "en"}
    signs = "".join(SIGNS.values())
    assert len(set(signs)) == len(SIGNS)
    assert EnglishReader({}).read(f"x{signs}.") == f"x{signs}."
    assert make_tokenizer().encode(f"x{signs}").tokens == ["x", *(f"##{sign}" for sign in signs)]


def test_words_of_the_lexicon_come_in_phones_and_the_rest_in_letters(tmp_path: Path) -> None:
    space = Workspace(tmp_path, smoke=True)
    write_lexicon(space)
    lexicon = load_lexicon(space)
    assert lexicon["the"] == write_signs(["dh", "ax"])
    encoders = make_encoders(lexicon, 100)
    spelled = {share: "".join(make_tokenizer().decode([i]) for i in encoder.tokenize("The cat's.")) for share, encoder in encoders.items()}
    assert spelled[1.0].replace("##", "") == lexicon["the"] + "cat's."
    assert spelled[0.0].replace("##", "") == "thecat's."


def test_phones_are_swapped_in_text_and_tokens_alike() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer.encode(f"no {write_signs(['k', 'ae1', 't'])}").ids
    counts = [3, 2, 4, 5, 3]
    phones = [PHONES.index(name) for name in ("n", "ow", "k", "ae", "t")]
    voiced = PHONES.index("zh") + 1
    kinds = [phone * 5 + 2 if phone < voiced else voiced * 5 + phone - voiced for phone in phones]
    semantic = np.array([kind * 10 + left for kind, count in zip(kinds, counts, strict=True) for left in reversed(range(count))])
    places = np.repeat([0, 1, 2, 3, 4], counts)
    said = {name: tokenizer.token_to_id(f"##{sign}") for name, sign in SIGNS.items()}
    seen = set[str]()
    for seed in range(60):
        changed, tokens = swap_phones(np.random.default_rng(seed), ids, semantic, places)
        spoken, lengths = split_phones(tokens)
        assert changed[:2] == ids[:2] and spoken[:2].tolist() == phones[:2] and lengths.tolist() == counts
        assert (split_tokens(tokens)[1] == split_tokens(semantic)[1]).all()
        assert changed[3] == said[f"{PHONES[spoken[3]]}1"] and changed[4] == said[PHONES[spoken[4]]]
        seen.add(PHONES[spoken[3]])
    assert len(seen) > 5
