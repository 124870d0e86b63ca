"""Files of lines as they are read: what is wrong with one line is told in its place, what is wrong with all of them at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bark_core.batch.entries import FIELDS, Defaults, Entry, Problem, read_entries
from bark_core.batch.records import MAX_LINE_BYTES, Record, read_records
from bark_core.errors import InvalidInput
from bark_core.types import Pauses, derive_seed


def read(path: Path, data: bytes) -> list[Record]:
    path.write_bytes(data)
    return list(read_records(path, FIELDS))


def test_lines_of_text(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", b"\xef\xbb\xbfGood morning.\r\n\n  Gr\xc3\xbc\xc3\x9fe!  \nGr\xfc\xdfe\nlast")
    assert [(each.number, each.fields.get("text")) for each in found] == [(1, "Good morning."), (3, "Grüße!"), (4, None), (5, "last")]
    assert found[2].problem == "It is not UTF-8 text; save the file in UTF-8."


def test_objects(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b'{"text": "One.", "seed": 3}\n[1]\n{"text": \n\n' + b"[" * 100_000 + b'\n{"text": "\xfc"}\n{"text": "Last."}')
    assert [(each.number, each.problem is None) for each in found] == [(1, True), (2, False), (3, False), (5, False), (6, False), (7, True)]
    assert "is JSON but no object" in str(found[1].problem) and "is not JSON" in str(found[2].problem) and "is not JSON" in str(found[3].problem)
    assert "is not UTF-8" in str(found[4].problem)


def test_rows_of_a_table(tmp_path: Path) -> None:
    table = 'id,text,voice,_note\na,"One, ""two"",\nthree.",,x\nb,Four.\n\nc,Five.,v,y,z\n,Six.,,\n'
    found = read(tmp_path / "a.csv", table.encode())
    assert [each.number for each in found] == [2, 4, 6, 7]
    assert found[0].fields == {"id": "a", "text": 'One, "two",\nthree.', "_note": "x"}
    assert found[1].problem == "The row has 2 columns where the header has 4 columns; give each row as many."
    assert "has 5 columns" in str(found[2].problem)
    assert found[3].fields == {"text": "Six."}


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_separators(tmp_path: Path, name: str, separator: str) -> None:
    assert read(tmp_path / name, f"id{separator}text\na{separator}One, two.\n".encode())[0].fields == {"id": "a", "text": "One, two."}


def test_a_row_that_is_not_utf8_is_told_and_the_next_one_read(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'id,text\na,"Gr\xfc\xdfe,\nall"\nb,Two.\n')
    assert [(each.number, each.problem) for each in found] == [(2, "It is not UTF-8 text; save the file in UTF-8."), (4, None)]


def test_quotation_marks_that_are_not_closed(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'id,text\na,"One"x\nb,Two.\nc,"Three.\nd,Four.\n')
    assert [(each.number, each.problem is None) for each in found] == [(2, False), (3, True), (4, False)]
    assert "not closed" in str(found[2].problem)


def test_a_cell_that_does_not_end_ends_the_table(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'id,text\na,"' + b"word, word\n" * 20_000 + b"z,Last.\n")
    assert [each.problem is None for each in found] == [False, False] and "not read any further" in str(found[1].problem)


def test_lines_without_end(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", b"One.\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\nThree.\n")
    assert [(each.number, each.problem is None) for each in found] == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.doc", b"x", "does not say what its lines are"),
        ("a", b"x", "ends in nothing"),
        ("a.txt", "Grüße".encode("utf-16"), "is UTF-16 text; save it in UTF-8"),
        ("a.txt", b"RIFF\0\0\0\0WAVE", "holds bytes that no text has"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "a git-LFS pointer"),
        ("a.csv", b"", "no column named text"),
        ("a.csv", b"One.\nTwo.\n", "no column named text"),
        ("a.csv", b"text,voise\nOne.,x\n", "a column 'voise', which is no option"),
        ("a.csv", b"text,id,id\nOne.,x,y\n", "two columns named 'id'"),
        ("a.csv", b"text,\xfc\nOne.,x\n", "the header, is not UTF-8"),
    ],
)
def test_files_that_are_no_files_of_lines(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=".") as caught:
        read(tmp_path / name, data)
    assert sentence in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    keeper = os.open(tmp_path / "pipe.txt", os.O_RDWR)  # so that opening it does not wait
    for name, sentence in (("folder.txt", "is a folder"), ("absent.txt", "cannot be read: No such file"), ("pipe.txt", "is no plain file")):
        with pytest.raises(InvalidInput, match=sentence):
            list(read_records(tmp_path / name))
    os.close(keeper)


def entries(path: Path, data: str, defaults: Defaults | None = None) -> list[Entry | Problem]:
    path.write_text(data, encoding="utf-8")
    return list(read_entries(path, defaults or Defaults()))


def test_what_a_line_asks_for(tmp_path: Path) -> None:
    defaults = Defaults(voice="v", seed=7, asked={"text_temp": 0.5, "pauses": Pauses(speaker_s=2.0)})
    first, second, third = entries(
        tmp_path / "a.jsonl",
        '{"id": "a b", "text": "One.", "top_k": 3.0, "split": "never", "pauses": {"sentence_s": 1}, "format": "flac", "sample_rate": 8000}\n'
        '{"text": "Two.", "voice": "w", "seed": 0, "text_temp": 0, "_note": [1]}\n{"id": 5, "text": "Three."}\n',
        defaults,
    )
    assert isinstance(first, Entry) and isinstance(second, Entry) and isinstance(third, Entry)
    assert (first.id, first.voice, first.seed) == ("a b", "v", derive_seed(7, "line a b", 0))
    assert first.asked == {"text_temp": 0.5, "top_k": 3, "split": False, "pauses": Pauses(sentence_s=1.0, speaker_s=2.0)}
    assert (first.output.format, first.output.sample_rate_hz) == ("flac", 8000)
    assert (second.id, second.voice, second.seed, second.asked["text_temp"]) == ("000002", "w", 0, 0)
    assert third.id == "5" and len({first.seed, third.seed, derive_seed(7, "line 000003", 0)}) == 3


def test_cells_are_read_as_what_they_mean(tmp_path: Path) -> None:
    table = 'text;seed;text_temp;top_k;retry;split;voices;speed\nA: One.;7;0.25;5;false;always;"{""A"": ""v""}";1.5\n'
    (entry,) = entries(tmp_path / "a.csv", table)
    assert isinstance(entry, Entry)
    assert (entry.seed, entry.output.speed) == (7, 1.5)
    assert entry.asked == {"text_temp": 0.25, "top_k": 5, "retry": False, "split": True, "voices": {"A": "v"}}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"id": "../x", "text": "One."}', "The id '../x' cannot be a file's name"),
        ('{"id": "a/b", "text": "One."}', "cannot be a file's name"),
        ('{"id": "..", "text": "One."}', "cannot be a file's name"),
        ('{"id": ".bark", "text": "One."}', "cannot be a file's name"),
        ('{"id": "a\\u0000", "text": "One."}', "cannot be a file's name"),
        ('{"id": "\\ud800", "text": "One."}', "cannot be a file's name"),
        ('{"id": "' + "é" * 61 + '", "text": "One."}', "at most 120 bytes"),
        ('{"id": true, "text": "One."}', "cannot be a file's name"),
        ('{"id": "a"}', "There is no text to speak"),
        ('{"text": " "}', "There is no text to speak"),
        ('{"text": 5}', "text was 5; it must be a string"),
        ('{"text": "\\ud800"}', "it must be a string of whole characters"),
        ('{"text": "One.", "voise": "x"}', "'voise' is no option of a line; did you mean voice?"),
        ('{"text": "One.", "seed": -1}', "A seed of -1"),
        ('{"text": "One.", "seed": "x"}', "A seed of 'x'"),
        ('{"text": "One.", "seed": 1e400}', "A seed of inf"),
        ('{"text": "One.", "text_temp": NaN}', "A temperature of nan"),
        ('{"text": "One.", "top_k": 0}', "top_k was 0"),
        ('{"text": "One.", "n_takes": 9}', "n_takes was 9"),
        ('{"text": "One.", "retry": "maybe"}', "retry was 'maybe'"),
        ('{"text": "One.", "pauses": {"word_s": 1}}', "pauses has 'word_s'"),
        ('{"text": "One.", "pauses": 3}', "pauses was 3"),
        ('{"text": "One.", "voices": {"A": 1}}', "voices has 1 for a voice"),
        ('{"text": "One.", "format": "wma"}', "The format 'wma' is not known"),
        ('{"text": "One.", "format": "mp3", "sample_rate": 9000}', "mp3 does not take a sample rate of 9000"),
        ('{"text": "One.", "speed": 9}', "speed of 9"),
    ],
)
def test_lines_that_cannot_be(tmp_path: Path, line: str, sentence: str) -> None:
    problem, last = entries(tmp_path / "a.jsonl", line + '\n{"text": "Last."}\n')
    assert isinstance(problem, Problem) and isinstance(last, Entry)
    assert problem.number == 1 and sentence in problem.error
