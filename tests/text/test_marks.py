"""Dialogue, pauses, voices and headings: what a mark does, what is no mark, and bad marks as sentences that quote them and their line."""

from __future__ import annotations

from typing import Any

import pytest

from bark_core.errors import InvalidInput
from bark_core.text.marks import MAX_NAMES
from bark_core.text.script import needs_split, parse_script
from bark_core.types import Utterance

ANNA, BEN = object(), {"semantic_prompt": [1]}
VOICES: dict[str, Any] = {"ANNA": ANNA, "Ben B.": BEN, "小明": "v2/zh_speaker_1"}


def parse(text: str, voices: dict[str, Any] | None = VOICES, presets: tuple[str, ...] = ()) -> list[Utterance]:
    return parse_script(text, voices, count_tokens=lambda part: len(part.split()), presets=presets)


def tell(text: str, voices: dict[str, Any] | None = VOICES) -> list[tuple[str, str | None]]:
    return [(utterance.text, utterance.speaker) for utterance in parse(text, voices)]


def test_lines_of_named_speakers_have_their_voices() -> None:
    anna, ben, ming = parse("ANNA: Are you there?\nBen B. : I am.\n小明：你好。")
    assert (anna.text, anna.speaker, anna.pause_after_s, anna.line) == ("Are you there?", "ANNA", 0.5, 1)
    assert (ben.text, ben.speaker, ben.pause_after_s, ben.line) == ("I am.", "Ben B.", 0.5, 2)
    assert (ming.text, ming.speaker, ming.pause_after_s, ming.line) == ("你好。", "小明", 0, 3)
    assert anna.voice is ANNA
    assert ben.voice is BEN
    assert ming.voice == "v2/zh_speaker_1"


def test_a_name_holds_until_its_paragraph_ends_or_another_speaks() -> None:
    text = "ANNA: One,\ntwo.\nBen B.:\nThree.\n\nFour."
    assert tell(text) == [("One, two.", "ANNA"), ("Three.", "Ben B."), ("Four.", None)]
    assert parse(text)[-1].voice is None


def test_names_without_a_voice_stay_in_the_text() -> None:
    assert tell("ANNA: Hi.\nMAN: Hello.\nDR. WHO: Hm.\nNote: nothing. Anna: no.\nanna: no.") == [
        ("Hi.", "ANNA"),
        ("MAN: Hello.", "MAN"),
        ("DR. WHO: Hm. Note: nothing. Anna: no. anna: no.", "DR. WHO"),
    ]
    assert parse("MAN: Hello.\nWOMAN: Hi.") == [Utterance("MAN: Hello.\nWOMAN: Hi.")]


def test_a_pause_stands_where_it_is_marked() -> None:
    assert [(each.text, each.pause_after_s) for each in parse("I think [pause 1.5s] you know. [Pause 500ms]Do you?[pause 2 s]")] == [
        ("I think", 1.5),
        ("you know.", 0.5),
        ("Do you?", 2.0),
    ]
    (first, second) = parse("[pause 1s] One.\n\n[pause 2s]\n\n[pause .25s]\n\nTwo.")
    assert (first.pause_before_s, first.pause_after_s, second.pause_before_s, second.pause_after_s) == (1, 2.25, 0, 0)
    assert [each.pause_after_s for each in parse("One. [pause 0s] Two.")] == [0, 0]


def test_marks_alone_between_pauses_are_not_spoken() -> None:
    assert [(each.text, each.pause_after_s) for each in parse("One [pause 1s] ... [pause 2s] two.")] == [("One", 3), ("two.", 0)]


def test_signs_that_are_no_layout_are_left_to_bark() -> None:
    assert tell("ANNA: Hi.\nBen B.: ♪♫\n* * *\n-----\nANNA: Bye.") == [("Hi.", "ANNA"), ("♪♫", "Ben B."), ("Bye.", "ANNA")]


def test_a_voice_holds_until_the_next() -> None:
    text = "Zero. [voice ANNA] One. [ voice Ben B. ] Two.\n\nThree.\nANNA: Four.\n\nFive."
    assert tell(text) == [("Zero.", None), ("One.", "ANNA"), ("Two.", "Ben B."), ("Three.", "Ben B."), ("Four.", "ANNA"), ("Five.", "Ben B.")]
    assert [each.voice for each in parse(text)] == [None, ANNA, BEN, BEN, ANNA, BEN]
    assert [each.pause_after_s for each in parse(text)] == [0.5, 0.5, 0.8, 0.5, 0.8, 0]
    (each,) = parse("[voice v2/en_speaker_3] Hello.", {}, ("v2/en_speaker_3",))
    assert (each.voice, each.speaker) == ("v2/en_speaker_3", "v2/en_speaker_3")
    (each,) = parse("MAN: [voice ANNA] Hello.")[1:]
    assert (each.voice, each.speaker) == (ANNA, "ANNA")


@pytest.mark.parametrize("text", ["[laughs] Hi.", "[pauses] Hi.", "[voices] Hi.", "Hi [MAN] there. [voiceless]", "A [long pause] B.", "[1] Hi ] [", "pause 1s"])
def test_every_other_bracket_goes_to_bark_as_it_is(text: str) -> None:
    assert parse(text) == [Utterance(text)]


def test_headings_are_spoken_and_told() -> None:
    text = "# One [pause 1s] and more\n\nText.\n## Two #\nMore text.\n\nEnd. # no heading\n#hashtag [pause 1s]"
    assert [(each.text, each.heading, each.paragraph, each.pause_after_s) for each in parse(text)] == [
        ("One", "One and more", 0, 1),
        ("and more", "One and more", 0, 0.8),
        ("Text.", "One and more", 1, 0.8),
        ("Two", "Two", 2, 0.8),
        ("More text.", "Two", 3, 0.8),
        ("End. # no heading #hashtag", "Two", 4, 1),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\u2028"])
def test_lines_end_as_they_end_anywhere(line_end: str) -> None:
    text = line_end.join(["ANNA: One.", "", "Two. [pause 1s]", "Ben B.: Three."])
    assert [(each.text, each.speaker, each.line) for each in parse(text)] == [("One.", "ANNA", 1), ("Two.", None, 3), ("Three.", "Ben B.", 4)]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("[pause]", r"has '\[pause\]'; a pause is 0 to 60 s long, as in \[pause 1.5s\] or \[pause 500ms\]"),
        ("[pause -1s]", r"has '\[pause -1s\]'; a pause is 0 to 60 s"),
        ("[pause 10000s]", r"has '\[pause 10000s\]'; a pause is 0 to 60 s"),
        ("[pause 1]", r"has '\[pause 1\]'; a pause"),
        ("[pause 1,5s]", r"has '\[pause 1,5s\]'; a pause"),
        ("[pause nans]", r"has '\[pause nans\]'; a pause"),
        ("[pause ١s]", r"has '\[pause ١s\]'; a pause"),
        ("[pause " + "9" * 400 + "s]", r"has '\[pause 9+"),
        ("[pause 1s", r"has '\[pause 1s Two\.', which is never closed; write a \]"),
        ("[pause 1s [laughs]", r"has '\[pause 1s ', which is never closed"),
        ("[voice", r"has '\[voice Two\.', which is never closed"),
        ("[voice nobody]", r"has '\[voice nobody\]', and the names in voices are ANNA, Ben B., 小明. Give one of them"),
        ("[voice]", r"has '\[voice\]', and the names in voices"),
        ("[pause 60s] [pause 1s]", r"has '\[pause 1s\]', which makes 61 s of silence there"),
        ("a [pause 60s] " * 61, r"has '\[pause 60s\]', which makes 60 s of silence there and 3660 s in all; one place may have 60 s and a script 3600 s"),
    ],
)
def test_a_bad_mark_is_quoted_with_its_line(mark: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^Line 3 {message}"):
        parse(f"One.\n\n{mark} Two.\nThree.")


def test_a_voice_where_there_are_none_is_a_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"Line 1 has '\[voice ANNA\]', and no voices were given"):
        parse("[voice ANNA] Hello.", None)


@pytest.mark.parametrize("text", ["[pause 1s]", "[voice ANNA]\n\n[pause 1s] ...", "ANNA:\nBen B.: [pause 1s]"])
def test_a_script_of_marks_alone_is_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="The script has only marks and names"):
        parse(text)


@pytest.mark.parametrize(
    ("voices", "message"),
    [
        ({f"N{n}": n for n in range(100)}, f"100 names were given in voices; a script has at most {MAX_NAMES}"),
        ({"": 1}, "voices has the name ''"),
        ({" A": 1}, "voices has the name ' A'"),
        ({"A:": 1}, "voices has the name 'A:'"),
        ({"A\nB": 1}, r"voices has the name 'A\\nB'"),
        ({"[A]": 1}, r"voices has the name '\[A\]'"),
        ({"A" * 65: 1}, "a name is text of 1 to 64 characters"),
        ({1: 1}, "voices has the name 1"),
        (["ANNA"], "voices was a list; give a mapping of names to voices"),
        ("ANNA", "voices was a str"),
    ],
)
def test_voices_are_checked(voices: Any, message: str) -> None:
    for call in (lambda: parse("ANNA: Hi.", voices), lambda: needs_split("Hi.", len, voices)):
        with pytest.raises(InvalidInput, match=message):
            call()


def test_as_many_names_as_are_allowed_each_have_their_voice() -> None:
    voices = {f"N{n}": n for n in range(MAX_NAMES)}
    utterances = parse("\n".join(f"N{n}: Hello." for n in range(MAX_NAMES)), voices)
    assert [utterance.voice for utterance in utterances] == list(range(MAX_NAMES))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["[", "[ ", "ANNA: a\n", "#", "# a\n", "a: ", "\n", "A B C ", "[voice ANNA] a "])
def test_hostile_scripts_are_read_in_time(piece: str) -> None:
    text = (piece * 50_000)[:49_985] + " [voice ANNA] a"
    assert parse(text)[-1].text == "a"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["[pause ", "[ pause", "[voice\t"])
def test_hostile_scripts_are_refused_in_time(piece: str) -> None:
    with pytest.raises(InvalidInput, match="^Line 1 has .*never closed"):
        parse((piece * 50_000)[:49_990] + " a")
