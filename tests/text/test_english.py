"""English as it is said: what the demo's reader makes of figures, signs, abbreviations and accents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bark_core.errors import CheckpointError, InvalidInput
from bark_core.text.english import EnglishReader
from bark_core.text.letters import LETTERS
from bark_core.text.wordpiece import READING, TextEncoder
from tests.checkpoints import letter_tokenizer


@pytest.fixture(scope="module")
def reader() -> EnglishReader:
    """A reader that spells one word otherwise."""
    return EnglishReader({"vase": "vayss"})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Café Zoë’s naïve façade", "Cafe Zoe's naive facade"),
        ("Smørrebrød, straße, œuvre", "Smorrebrod, strasse, oeuvre"),
        ("“It’s 5:30 – or so…”", '"It\'s five thirty, or so..."'),
        ("He said — and meant — no.", "He said, and meant, no."),
        ("R&D at AT&T", "are and dee at ay tea and tea"),
        ("salt & pepper", "salt and pepper"),
        ("20% of 50°C and 3°", "Twenty percent of fifty degrees Celsius and three degrees"),
        ("It costs €5, $1.50, £20 or $3 million.", "It costs five euros, one dollar and fifty cents, twenty pounds or three million dollars."),
        ("the € and the $", "the euros and the dollars"),
        ("In 1984, 2006 and the mid-1990s", "In nineteen eighty-four, two thousand six and the mid nineteen nineties"),
        ("1990–1995, the score was 3-2", "Nineteen ninety to nineteen ninety-five, the score was three to two"),
        ("Call 555-1234 or (212) 555-0199.", "Call five five five, one two three four or two one two, five five five, zero one nine nine."),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("3.14, -5, 1,234 and 007", "Three point one four, minus five, one thousand two hundred thirty-four and zero zero seven"),
        ("On May 3rd, 2021 at 7:05 p.m. We left", "On May third, twenty twenty-one at seven oh five pea em. We left"),
        ("2021-05-03 and 3/4/2021", "May third, twenty twenty-one and three four twenty twenty-one"),
        ("5pm or 10 a.m. sharp", "Five pea em or ten ay em sharp"),
        ("Mrſ. Smith, fıg. 3", "Missus Smith, figure three"),
        ("Dr. Smith and Mrs. Jones of Main St. in St. Louis", "Doctor Smith and Missus Jones of Main Street in Saint Louis"),
        ("No. 5, vol. 2, but: No. I go", "Number five, volume two, but: No. I go"),
        ("e.g. the U.S.A., i.e. the BBC and MP3s, not NASA", "for example the you ess ay, that is the bee bee see and em pea three ess, not NASA"),
        ("a 5 kg bag, 1 km, 60 mph, 3.5 GB", "a five kilograms bag, one kilometer, sixty miles per hour, three point five gigabytes"),
        ("½ cup, 2½ cups, 3/4 full, 120/80", "one half cup, two and a half cups, three quarters full, one hundred twenty over eighty"),
        ("He is 6'2\" tall.", "He is six foot two tall."),
        ("Room 12B, F-16, 3D", "Room one two bee, ef sixteen, three dee"),
        ("me@example.com or https://www.example.com", "me at example dot com or example dot com"),
        ("J. R. Smith has plan B.", "jay are Smith has plan bee."),
        ("PLEASE STOP the TV", "PLEASE STOP the tea vee"),
        ("**bold** and x² + y²", "bold and x squared plus y squared"),
        ("version 1.2.3", "version one point two point three"),
        ("The vase, Vase's", "The vayss, vayss's"),
        ("Plain words stay, don't they?", "Plain words stay, don't they?"),
        ("[laughs] Well!", "[laughs] Well!"),
    ],
)
def test_what_is_written_is_said(reader: EnglishReader, written: str, said: str) -> None:
    assert reader.read(written) == said


def test_no_digit_is_left_and_reading_again_changes_nothing(reader: EnglishReader) -> None:
    for text in ("978-3-16-148410-0", "192.168.0.1", "1e9", "٣ 5", "#3 @ 12:61", "$", "4,5", "12345678901234567890", "a1b2", "1-2-3-4", "1/2/3/4", "²³"):
        said = reader.read(text)
        assert not re.search(r"\d", said), text
        assert reader.read(said) == said


def test_letters_have_names_of_letters() -> None:
    assert sorted(LETTERS) == [chr(code) for code in range(ord("a"), ord("z") + 1)]
    assert all(re.fullmatch("[a-z]+( [a-z]+)?", name) for name in LETTERS.values())


def test_without_the_package_digits_are_said_one_by_one(reader: EnglishReader, monkeypatch: pytest.MonkeyPatch) -> None:
    from bark_core.text import counting, numbers

    monkeypatch.setitem(sys.modules, "unicode_rbnf", None)
    counting.load_rules.cache_clear()
    numbers._compile_number.cache_clear()
    assert reader.read("Take 42 now.") == "Take four two now."
    counting.load_rules.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the demo's tokenizer and a reader."""
    letter_tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / READING).write_text('{"reader": "english", "respellings": {"vase": "vayss"}}', encoding="utf-8")
    return tmp_path


def test_the_encoder_reads_before_it_counts(folder: Path) -> None:
    encoder = TextEncoder.load(folder / "tokenizer.json", 100)
    assert encoder.encode("The vase cost $5 – naïve!") == encoder.encode("The vayss cost five dollars, naive!")
    assert encoder.note_unknown("The vase cost $5.") == []
    with pytest.raises(InvalidInput, match="tokens long"):
        encoder.encode("999,999,999,999.99 and 888,888,888,888.88")


def test_a_strange_sign_takes_no_word_with_it_and_is_named(folder: Path) -> None:
    encoder = TextEncoder.load(folder / "tokenizer.json", 100)
    (note,) = encoder.note_unknown("it😀 and Москва, 5€")
    assert "'😀'" in note and "'Москва'" in note and "it" not in note.split(":")[1].split("Write")[0]
    unknown = encoder.tokenize("😀")[0]
    assert encoder.encode("it😀 goes").count(unknown) == 1


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"reader": "english"}', '{"reader": "french", "respellings": {}}', '{"reader": "english", "respellings": {"a": 1}}']
)
def test_a_reader_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / READING).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=READING):
        TextEncoder.load(folder / "tokenizer.json", 100)
