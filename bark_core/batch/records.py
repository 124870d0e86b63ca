"""Files of lines as they are read, one record at a time: lines of text, objects of JSON, rows of a table. Knows nothing of what fields mean.

Whatever is wrong with one record is told in its place, and the next ones are read; what is wrong with the whole is an error.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bark_core.errors import InvalidInput
from bark_core.filekinds import describe_stand_in
from bark_core.types import check_path, parse_json

MAX_LINE_BYTES = 2**20
"""No line is longer: 50,000 characters, each written as a JSON escape, are 300,000 bytes, or 600,000."""

N_HEAD_BYTES = 4096
"""How much of a file is looked at to tell whether it is one of lines."""


@dataclass(frozen=True)
class Record:
    """One record: the number of its (first) line, from 1, and its fields, or the sentence that says why it has none."""

    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def read_records(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> Iterator[Record]:
    """Yield the records of a .txt, .jsonl or .csv file; a text file's have the field "text". Blank lines are none.

    Values of a table are strings, and empty ones are left out. `columns`: the names that its header may have; those that begin
    with an underscore always may. Raises: InvalidInput, in one sentence, for a file that is none of them.
    """
    path = check_path(path)
    with _open(path) as file:
        yield from _find_reader(path)(path, file, columns)


def _find_reader(path: Path) -> Callable[[Path, BinaryIO, Sequence[str]], Iterator[Record]]:
    readers = {".txt": _read_texts, ".jsonl": _read_objects, ".ndjson": _read_objects, ".csv": _read_table, ".tsv": _read_table}
    found = readers.get(path.suffix.lower())
    if found is None:
        raise InvalidInput(f"{path} ends in {path.suffix or 'nothing'}, which does not say what its lines are; give a .txt, .jsonl, .csv or .tsv file.")
    return found


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a file of lines. Raises: InvalidInput where it cannot be read, or is plainly something else."""
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; give a file of lines, .txt, .jsonl or .csv.")
    try:
        file = open(path, "rb")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}. Give a file of lines, .txt, .jsonl or .csv.") from error
    with file:
        if not os.path.isfile(path):
            raise InvalidInput(f"{path} is no plain file, and is read twice: to count its lines, and to speak them. Write them to a file first.")
        head = file.read(N_HEAD_BYTES)
        file.seek(0)
        if (stand_in := describe_stand_in(head)) is not None:
            raise InvalidInput(f"{path} is {stand_in}.")
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InvalidInput(f"{path} is UTF-16 text; save it in UTF-8.")
        if b"\0" in head:
            raise InvalidInput(f"{path} holds bytes that no text has; give a file of lines, .txt, .jsonl or .csv.")
        yield file


class _Lines:
    """The lines of a file as strings, without their ends. `faults`: by number, what is wrong with those that are none; they come all the same."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.faults: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        while data := self._file.readline(MAX_LINE_BYTES):
            self.number += 1
            if len(data) == MAX_LINE_BYTES and not data.endswith(b"\n"):
                self.faults[self.number] = f"has more than {MAX_LINE_BYTES} bytes; no line is that long. Split it."
                self._skip()
                yield ""
                continue
            try:
                text = data.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError:
                self.faults[self.number] = "is not UTF-8 text; save the file in UTF-8."
                text = data.decode("utf-8", "replace")  # a table's quotation marks count all the same
            yield text.rstrip("\r\n")

    def take_fault(self, first: int, last: int) -> str | None:
        """Return what is wrong with the lines from `first` to `last`, and forget it."""
        found = [self.faults.pop(number) for number in range(first, last + 1) if number in self.faults]
        return found[0] if found else None

    def _skip(self) -> None:
        while (data := self._file.readline(MAX_LINE_BYTES)) and not data.endswith(b"\n"):
            pass


def _read_texts(_: Path, file: BinaryIO, __: Sequence[str]) -> Iterator[Record]:
    return _read_each(file, lambda number, line: Record(number, {"text": line.strip()}))


def _read_objects(_: Path, file: BinaryIO, __: Sequence[str]) -> Iterator[Record]:
    return _read_each(file, _read_object)


def _read_each(file: BinaryIO, read: Callable[[int, str], Record]) -> Iterator[Record]:
    """Yield what `read` makes of each line's number and text, but for those that are empty, or cannot be read."""
    lines = _Lines(file)
    for line in lines:
        if (fault := lines.take_fault(lines.number, lines.number)) is not None:
            yield Record(lines.number, problem=f"It {fault}")
        elif line.strip():
            yield read(lines.number, line)


def _read_object(number: int, line: str) -> Record:
    try:
        value = parse_json(line)
    except ValueError as error:
        return Record(number, problem=f'It is not JSON ({error}); each line must be one object, as {{"text": "Hello."}}.')
    if not isinstance(value, dict):
        return Record(number, problem=f'It is JSON but no object; each line must be one, as {{"text": "Hello."}}, and was {line.strip()[:40]}.')
    return Record(number, value)


def _read_table(path: Path, file: BinaryIO, columns: Sequence[str]) -> Iterator[Record]:
    lines = _Lines(file)
    source = iter(lines)
    first = next(source, "")
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    _check_header(path, header, columns, lines.take_fault(1, 1))
    # The ends of lines are part of cells that go over several.
    rows = csv.reader((f"{line}\n" for line in source), delimiter=separator, strict=True)
    while True:
        number = lines.number + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Record(number, problem=f"The row cannot be read ({error}). Is a quotation mark in it not closed, or not doubled?")
            if "field limit" in str(error):  # in the middle of a cell: what follows would be taken for what it is not
                yield Record(lines.number, problem="The table is not read any further, since a cell in it does not end.")
                return
            continue
        if row is None:
            return
        if (fault := lines.take_fault(number, lines.number)) is not None:
            yield Record(number, problem=f"It {fault}")
        elif not any(cell.strip() for cell in row):
            continue
        elif len(row) != len(header):
            wanted = f"{len(header)} column{'s' * (len(header) != 1)}"
            yield Record(number, problem=f"The row has {len(row)} column{'s' * (len(row) != 1)} where the header has {wanted}; give each row as many.")
        else:
            yield Record(number, {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()})


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str], fault: str | None) -> None:
    if fault is not None:
        raise InvalidInput(f"{path}: its first line, the header, {fault}")
    if "text" not in header:
        raise InvalidInput(f"{path} has no column named text in its first line, which must name the columns, as id,text,voice.")
    for name in header:
        if header.count(name) > 1:
            raise InvalidInput(f"{path} has two columns named {name!r}; give each a name of its own.")
        if name not in columns and not name.startswith("_"):
            raise InvalidInput(f"{path} has a column {name!r}, which is no option; there are {', '.join(columns)}. One that is yours alone may begin with _.")
