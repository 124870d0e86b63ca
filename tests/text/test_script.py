"""Long texts as utterances: nothing dropped or doubled, nothing cut that must stay whole, each one within what fits, in Bark's 13 languages."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bark_core.errors import InvalidInput
from bark_core.text.duration import estimate_seconds
from bark_core.text.script import MAX_CHARACTERS, needs_split, parse_script
from bark_core.text.spans import LYRIC, TAG
from bark_core.text.splitting import REFERENCE, Limits
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import Pauses, Utterance
from tests.text.samples import TEXTS


def count_words(text: str) -> int:
    """Count words and marks: about what a vocabulary of many words makes of a text; each character where there are no spaces."""
    return len(re.findall(r"[\u3040-\u9fff]|[^\W\u3040-\u9fff]+|[^\w\s]", text))


@pytest.fixture(scope="module")
def encoder(demo_folder: Path) -> TextEncoder:
    return TextEncoder.load(demo_folder / "tokenizer.json", 176)


def bare(text: str) -> str:
    """Leave of a text what must neither be lost nor doubled: all but white space and the notes around lyrics."""
    return re.sub(r"[\s♪]", "", text)


def spoken(utterances: list[Utterance]) -> str:
    return bare("".join(utterance.text for utterance in utterances))


def shuffle(text: str, rng: random.Random) -> str:
    """Make another text of one: its words' pieces in other places, with other gaps, as nobody would write it."""
    pieces = re.findall(r"\S+\s*", text) * 2
    rng.shuffle(pieces)
    return "".join(piece.rstrip() + rng.choice([" ", " ", " ", "\n", "  ", "\n\n"]) for piece in pieces)


def test_a_text_that_is_one_utterance_is_left_as_it_is() -> None:
    for text in ("Hello.", " Hello,\n  [laughs]  you! ", "MAN: Hi.\nWOMAN: Hello.", "♪ La. La. ♪", "# Not a heading", "[laughs]", "42", REFERENCE):
        assert parse_script(text, {"ANNA": 1}, count_tokens=count_words, first_s=3) == [Utterance(text)]
        assert not needs_split(text, count_words, {"ANNA": 1})


def test_more_seconds_or_tokens_than_fit_are_split() -> None:
    assert estimate_seconds(REFERENCE) < 13
    assert needs_split(f"{REFERENCE} It was late in the afternoon.", count_words)
    assert needs_split(REFERENCE, lambda text: 7 * len(text.split()))
    assert needs_split("Hello.", count_words, limits=Limits(whole_s=0.1))
    assert count_words(REFERENCE) == 40


@pytest.mark.parametrize("first_s", [None, 3.0])
@pytest.mark.parametrize("language", TEXTS)
def test_nothing_is_dropped_or_doubled_and_all_fits(language: str, first_s: float | None, encoder: TextEncoder) -> None:
    for count in (count_words, lambda text: len(encoder.tokenize(text))):
        most_tokens = count(REFERENCE)
        for asked in (language, None):
            utterances = parse_script(TEXTS[language], count_tokens=count, language=asked, limits=Limits(whole_tokens=176), first_s=first_s)
            assert spoken(utterances) == bare(TEXTS[language])
            assert len(utterances) > 3
            for utterance in utterances:
                assert estimate_seconds(utterance.text) <= 10.01
                assert count(utterance.text) <= most_tokens


@pytest.mark.parametrize("language", TEXTS)
def test_nothing_is_dropped_or_doubled_of_scrambled_texts(language: str) -> None:
    rng = random.Random(language)
    for _ in range(12):
        text = shuffle(TEXTS[language], rng)
        limits = Limits(utterance_s=rng.uniform(2, 12), utterance_tokens=rng.randint(5, 60))
        utterances = parse_script(text, count_tokens=count_words, limits=limits, first_s=rng.choice([None, 2.0, 4.0]))
        # A line without a word is layout.
        worded = "\n".join(line for line in text.split("\n") if re.search(r"[^\W_]|♪", line))
        assert spoken(utterances) == bare(worded)
        assert all(re.search(r"[^\W_]|♪", utterance.text) for utterance in utterances)


WHOLE = {
    "en": ["$1,234.50", "St. Anne's", "e.g. the", "i.e. more", "No. 5", "11 p.m."],
    "de": ["z. B.", "d. h.", "12.500,75", "19. Jahrhundert", "3. Mai", "Nr. 5", "S. 12", "Dr. Weber"],
    "es": ["5 p. m.", "EE. UU.", "1.234,50", "Sr. García", "pág. 12", "vol. 3", "Av. de"],
    "fr": ["1 234 567,50", "M. Dupont", "p. 12", "J.-C."],
    "hi": ["डॉ. शर्मा", "12,34,567", "३.५", "नं. 5"],
    "it": ["Sig. Rossi", "1.234,50", "pag. 12", "a.C."],
    "ja": ["3.5", "コンピューター"],
    "ko": ["1,234,500", "2020. 5. 3."],
    "pl": ["12 500,75", "3. maja", "ul. Długiej", "dr. Nowak"],
    "pt": ["n.º 5", "Av. Paulista", "1.234,50", "pág. 12", "R. Augusta", "a.C."],
    "ru": ["т. е.", "и т. д.", "12 500,75", "А. С. Белов", "ул. Ленина"],
    "tr": ["12.500,75", "Cad. No. 5", "Dr. Yılmaz", "19. yüzyılda", "2. Dünya"],
    "zh": ["3.5"],
}


@pytest.mark.parametrize("first_s", [None, 3.0])
@pytest.mark.parametrize("language", TEXTS)
def test_sounds_lyrics_numbers_and_abbreviations_stay_whole(language: str, first_s: float | None) -> None:
    text = TEXTS[language]
    whole = {*TAG.findall(text), *LYRIC.findall(text), *WHOLE[language]}
    assert len(whole) > 2
    # The words of a text without spaces cannot be told; all others stay whole, whatever the limits.
    words = [] if language in ("ja", "zh") else sorted(set(re.findall(r"\S+", text)))
    for seconds in (3.0, 5.0, 7.0, 10.0):
        utterances = parse_script(text, count_tokens=count_words, language=language, limits=Limits(utterance_s=seconds), first_s=first_s)
        for part in whole:
            shown = " ".join(part.split())
            assert sum(shown in utterance.text for utterance in utterances) >= 1, (part, [utterance.text for utterance in utterances])
        assert all(any(word in utterance.text.split() for utterance in utterances) for word in words)


def test_cuts_are_at_sentences_else_clauses_else_words() -> None:
    def split(text: str, utterance_s: float) -> list[str]:
        return [each.text for each in parse_script(text, count_tokens=count_words, limits=Limits(whole_s=1, utterance_s=utterance_s))]

    sentences = "The boats came back in the morning. The men carried the fish away. Nobody said a word."
    assert all(part.endswith(".") for part in split(sentences, utterance_s=5))
    assert len(split(sentences, utterance_s=5)) == 2
    clauses = "The boats came back in the morning, the men carried the fish away, nobody said a word."
    assert all(part.endswith((",", ".")) for part in split(clauses, utterance_s=4))
    words = "the boats came back in the morning and the men carried the fish away while nobody said a single word to them"
    assert [part.split()[0] for part in split(words, utterance_s=4)] == ["the", "and", "while"]
    unmarked = "seven grey boats came back this morning bringing bread, wood fish apples ropes cloths glasses irons"
    assert split(unmarked, utterance_s=4)[0].endswith("bread,")


def test_parts_are_even_rather_than_a_long_one_and_a_stub() -> None:
    words = " ".join(["harbour"] * 30)
    lengths = [len(each.text.split()) for each in parse_script(words, count_tokens=count_words)]
    assert len(lengths) == 2
    assert max(lengths) - min(lengths) <= 1


def test_short_sentences_are_packed_together() -> None:
    text = "It rained. " * 60
    utterances = parse_script(text, count_tokens=count_words)
    assert len(utterances) <= 1.3 * estimate_seconds(text) / 10 + 1
    assert min(estimate_seconds(utterance.text) for utterance in utterances) > 4


def test_the_first_utterance_is_short_where_asked() -> None:
    for language, text in TEXTS.items():
        (first, *others) = parse_script(text, count_tokens=count_words, language=language, first_s=3)
        assert 1.5 < estimate_seconds(first.text) < 5.5, language
        usual = parse_script(text, count_tokens=count_words, language=language)
        assert abs(len(others) + 1 - len(usual)) <= 2
        assert others[-1] == usual[-1], "further on all is as without"


def test_pauses_by_what_is_between() -> None:
    text = f"{REFERENCE} {REFERENCE}\n\n{REFERENCE}\nMAN: {REFERENCE}\nANNA: Yes."
    pauses = Pauses(sentence_s=1, speaker_s=2, paragraph_s=3, clause_s=4)
    given = parse_script(text, {"ANNA": "a"}, count_tokens=count_words, pauses=pauses, limits=Limits(utterance_s=12.6, utterance_tokens=60))
    assert [utterance.pause_after_s for utterance in given] == [1, 3, 2, 2, 0]
    usual = parse_script(text, {"ANNA": "a"}, count_tokens=count_words, limits=Limits(utterance_s=12.6, utterance_tokens=60))
    assert [utterance.pause_after_s for utterance in usual] == [0.25, 0.8, 0.5, 0.5, 0]
    assert [utterance.speaker for utterance in usual] == [None, None, None, "MAN", "ANNA"]
    cut = parse_script("One two three, four five six seven eight.", count_tokens=count_words, pauses=pauses, limits=Limits(1, utterance_s=2))
    assert [utterance.pause_after_s for utterance in cut] == [4, 0]


def test_lines_and_paragraphs_are_told() -> None:
    text = f"\n\n{REFERENCE}\nTwo.\n\n \nThree.\nFour.\n* * *\n\n{REFERENCE}"
    utterances = parse_script(text, count_tokens=count_words)
    assert [(utterance.line, utterance.paragraph) for utterance in utterances] == [(3, 0), (3, 0), (7, 1), (11, 2), (11, 2)]
    assert [utterance.text for utterance in utterances][2] == "Three. Four."


def test_a_lyric_too_long_for_one_utterance_is_sung_in_several() -> None:
    song = "♪ " + "\n".join(f"The river takes the boat number {n}, and brings it home," for n in range(9)) + " ♪"
    utterances = parse_script(f"He sang: {song} Then he slept.", count_tokens=count_words)
    sung = [utterance.text for utterance in utterances if "river" in utterance.text]
    assert len(sung) > 3
    assert all(re.fullmatch(r"(He sang: )?♪ [^♪]+ ♪( Then he slept\.)?", text) for text in sung), sung
    assert spoken(utterances) == bare(f"He sang: {song} Then he slept.")
    assert [utterance.line for utterance in utterances] == sorted(utterance.line for utterance in utterances)


@pytest.mark.parametrize("text", ["a", "ア", "नमस्ते", "0", "é"])
def test_a_word_that_no_utterance_can_hold_is_a_sentence(text: str) -> None:
    long = (text * MAX_CHARACTERS)[: MAX_CHARACTERS - 10]
    with pytest.raises(InvalidInput, match=r"^Line 3 has the word '.{20}…' of 49990 characters, which is too long to be spoken at once; put spaces"):
        parse_script(f"Hello.\n\n{long}", count_tokens=count_words)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("piece", "least"),
    [("你", 900), ("か", 700), ("a ", 250), ("word\n", 200), ("la, ", 200), ("https://example.org/a-long_path/", 200), ("(a ", 200)],
)
def test_long_texts_of_one_kind_are_cut_to_fit(piece: str, least: int) -> None:
    text = (piece * MAX_CHARACTERS)[: MAX_CHARACTERS - 1]
    utterances = parse_script(text, count_tokens=count_words)
    assert len(utterances) > least
    assert spoken(utterances) == bare(text)
    assert max(estimate_seconds(utterance.text) for utterance in utterances) <= 10.01


def test_ten_thousand_characters_without_a_space_and_ten_thousand_lines() -> None:
    text = "".join(re.sub(r"[\s、。，！？：；…「」“”♪\[\]]", "", TEXTS["zh"]) for _ in range(80))[:10_000]
    utterances = parse_script(text, count_tokens=count_words)
    assert spoken(utterances) == text
    lines = "word\n" * 10_000
    utterances = parse_script(lines[:MAX_CHARACTERS], count_tokens=count_words)
    assert sum(len(utterance.text.split()) for utterance in utterances) == 10_000
    assert utterances[-1].line > 9_900


def test_rows_of_marks_are_shortened_rather_than_spoken() -> None:
    utterances = parse_script("Wait" + "!" * 5000 + " What?\n" + "-" * 500 + "\nGo." + " !" * 3000, count_tokens=count_words)
    assert spoken(utterances).startswith("Wait!!!What?Go.!")
    assert len(utterances) < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty"),
        (" \n\t", "The text is empty"),
        ("?! ...", r"The text '\?! \.\.\.' has no letter and no digit"),
        ("♪ ♪", "has no letter"),
        ("😀" * 9, "has no letter"),
        ("a " * 25_001, "The text has 50002 characters; at most 50000 are spoken at once"),
        ("a \ud800", "lone surrogate"),
        (None, "The text was a NoneType"),
        (b"Hello", "The text was a bytes"),
    ],
)
def test_what_cannot_be_spoken_is_a_sentence(text: str, message: str) -> None:
    for call in (lambda: parse_script(text, count_tokens=count_words), lambda: needs_split(text, count_words)):
        with pytest.raises(InvalidInput, match=message):
            call()


@pytest.mark.parametrize("value", [-0.1, 61, float("nan"), float("inf"), "1", None, True])
def test_pauses_have_bounds(value: float) -> None:
    with pytest.raises(InvalidInput, match="speaker_s was .*; a pause must be a number of seconds from 0 to 60"):
        Pauses(speaker_s=value)
