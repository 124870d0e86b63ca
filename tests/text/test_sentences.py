"""Sentences as a speaker would have them: what the package sentencex finds, and what ours mends, in Bark's 13 languages."""

from __future__ import annotations

import random

import pytest

from bark_core.text.language import guess_language
from bark_core.text.sentences import _segment, split_sentences  # pyright: ignore[reportPrivateUsage]
from tests.text.samples import TEXTS
from tests.text.sentence_cases import CASES, UNSPACED

SEPARATORS = {language: "" if language in UNSPACED else " " for language in CASES}
EACH = [(language, sentences) for language, cases in CASES.items() for sentences in cases]


@pytest.mark.parametrize(("language", "sentences"), EACH, ids=lambda value: value if isinstance(value, str) else SEPARATORS["en"].join(value))
def test_sentences_are_found(language: str, sentences: list[str]) -> None:
    found = split_sentences(SEPARATORS[language].join(sentences), language)
    assert [piece.strip() for piece in found] == sentences


@pytest.mark.parametrize("language", CASES)
def test_pieces_join_to_the_text_exactly(language: str) -> None:
    rng = random.Random(language)
    sentences = [sentence for case in CASES[language] for sentence in case]
    for _ in range(30):
        gaps = [rng.choice([" ", "\n", "  ", "\n\n", "\r\n", "\t", ""]) for _ in sentences]
        rng.shuffle(sentences)
        text = "".join(sentence + gap for sentence, gap in zip(sentences, gaps, strict=True))
        start = rng.randrange(len(text))
        for part in (text, text[start:], " " + text[:start]):
            assert "".join(split_sentences(part, language)) == part
            assert "".join(split_sentences(part)) == part
            assert all(split_sentences(part, language))


def test_what_is_held_together_stays_so_wherever_it_stands() -> None:
    for held in ("♪ One. Two! Three? ♪", "[a sound. Of many.]", "DR. NO:"):
        for before, after in (("It ended. ", " Then more."), ("", ""), ("He said: ", " and left."), ("Well...\n", "\nNext.")):
            text = f"{before}{held}{after}"
            assert sum(held in piece for piece in split_sentences(text, "en")) == 1, split_sentences(text, "en")


@pytest.mark.parametrize("text", ["", " ", "\n\n", "a", "...", "♪", "♪ ♪ ♪", "[", "[]", "]", "«", "。", "1.", "\u200b", "A.B.C", "\x00. B"])
def test_odd_texts_join_exactly(text: str) -> None:
    assert "".join(split_sentences(text)) == text


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u3000", "\u2028", "\x85"])
def test_spaces_of_other_kinds_are_spaces(space: str) -> None:
    assert split_sentences(f"Il est là{space}! Puis{space}il part.", "fr") == [f"Il est là{space}! ", f"Puis{space}il part."]
    text = f"Voir l'annexe{space}A{space}. Puis{space}le reste."
    assert "".join(split_sentences(text, "fr")) == text, "sentencex alone panics here"


def test_a_panic_in_the_package_is_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    assert "".join(_segment("en", "A\u00a0. B")) == "A\u00a0. B"
    _ = capfd.readouterr()


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_guessed(language: str) -> None:
    assert guess_language(TEXTS[language]) == language
    assert guess_language("[laughs] " + TEXTS[language].split("\n\n")[0] + " Bark (OpenAI)") == language


def test_nothing_to_guess_by_is_english() -> None:
    assert guess_language("") == guess_language("123 !?") == guess_language("Bark") == "en"


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["a", "♪", "(", "‘", '"', ".", "… ", "A. ", "[a] ", "“你。”", "word\n", "Dr. ", "(“‘", "1. ", "- a\n", "A: "])
def test_hostile_texts_cost_no_more_than_their_length(piece: str) -> None:
    """Ten times the longest text that is taken: a second or less, and minutes wherever the time grew with the square."""
    text = (piece * 500_000)[:500_000]
    assert "".join(split_sentences(text)) == text
