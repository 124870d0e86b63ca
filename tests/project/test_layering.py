"""The picture of the code held against the code: who may import whom, who may know which package, and how long things may be.

The picture is docs/structure.md's own.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "bark_core"

# Packages from outside, and the only files that may know them. What is not named here is imported nowhere in bark_core.
PACKAGES = {
    "av": {"audio/mp4"},
    "encodec": {"model/codec"},
    "faster_whisper": {"speech/verify"},
    "h11": {"gateway/connection"},
    "httpx": {"gateway/backend", "gateway/cog", "gateway/replicate"},
    "huggingface_hub": {"checkpoint/explain", "checkpoint/fetch"},
    "safetensors": {"checkpoint/convert", "checkpoint/tensorfiles"},
    "sentencex": {"text/sentences"},
    "pyloudnorm": {"audio/loudness"},
    "python_stretch": {"audio/speed"},
    "ray": {"batch/cluster"},
    "scipy": {"audio/samples", "engine/sampling"},
    "soundfile": {"audio/encoders", "gateway/sound"},
    "starlette": {"gateway/answer", "gateway/app", "gateway/entry", "gateway/hangup"},
    "tokenizers": {"text/wordpiece"},
    "tqdm": {"speech/progress"},
    "unicode_rbnf": {"text/counting"},
    "uvicorn": {"gateway/connection", "gateway/serve"},
    "numpy": {"*"},
    "torch": {"*"},
}

# Rooms that serve without a model know no torch.
WITHOUT_TORCH = {"text", "audio", "voices", "gateway", "cli"}

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PREDICT_LINES = 350, 60, 150

SKIPPED = {"__pycache__", "build", "work"}
SOURCES = sorted(
    path
    for pattern in ("*.py", "*.cpp", "*.hpp")
    for path in ROOT.rglob(pattern)
    if not any(part.startswith(".") or part in SKIPPED for part in path.relative_to(ROOT).parts)
)
SCRIPTS = [path for path in SOURCES if path.suffix == ".py"]


@dataclass(frozen=True)
class Place:
    """Where a file stands in the picture."""

    row: int
    room: str
    column: int


def read_picture() -> dict[str, Place]:
    """Return the place of every file that the picture shows, by its path in bark_core without suffix."""
    text = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    lines = text.split("```\nrow  room", 1)[1].split("```", 1)[0].splitlines()[1:]
    places: dict[str, Place] = {}
    row = 0
    for line in lines:
        row = int(line[:5].strip() or row)
        room, *files = line[5:].split()
        room = room.rstrip("/").strip(".")
        for column, file in enumerate(files):
            name = f"{room}/{file}" if room else file
            assert name not in places, f"{name} stands in the picture twice"
            places[name] = Place(row, room, column)
    return places


PICTURE = read_picture()
FILES = {path.relative_to(CORE).with_suffix("").as_posix(): path for path in sorted(CORE.rglob("*.py")) if path.stem != "__init__"}
DOORS = {path.parent.name: path for path in sorted(CORE.glob("*/__init__.py"))}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def find_imports(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it, but for those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            module = str(child.module)
            if module == "bark_core" or module.removeprefix("bark_core.") in DOORS:
                yield from (f"{module}.{alias.name}" for alias in child.names if not alias.name.startswith("__"))
            else:
                yield module
        else:
            yield from find_imports(child)


def find_inside(path: Path) -> set[str]:
    """Return the files of bark_core that a module imports, named as in the picture."""
    return {name.removeprefix("bark_core.").replace(".", "/") for name in find_imports(parse(path)) if name.startswith("bark_core.")}


def find_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of every function of a file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def read_door(room: str) -> list[str]:
    """Return what the `__all__` of a room names."""
    for node in parse(DOORS[room]).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{room} has no __all__")


def test_the_picture_shows_every_file_and_no_other() -> None:
    assert set(PICTURE) == set(FILES)
    assert {place.room for place in PICTURE.values() if place.room} == set(DOORS)


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down_and_within_a_room_to_the_left(name: str) -> None:
    here = PICTURE[name]
    for other in sorted(find_inside(FILES[name])):
        assert other in PICTURE, f"{name} imports {other}, which is no file of the picture"
        there = PICTURE[other]
        if there.room == here.room and there.row == here.row:
            assert there.column < here.column, f"{name} imports {other}, which does not stand to its left"
        else:
            assert there.row < here.row, f"{name} imports {other}, which does not stand below it"
            assert not there.room or other.split("/")[1] in read_door(there.room), f"{name} imports {other}, which its room keeps to itself"


@pytest.mark.parametrize("room", DOORS)
def test_a_door_says_what_its_room_is_for_and_imports_nothing(room: str) -> None:
    module = parse(DOORS[room])
    assert ast.get_docstring(module)
    assert not list(find_imports(module))
    assert set(read_door(room)) <= {name.split("/")[1] for name, place in PICTURE.items() if place.room == room}


@pytest.mark.parametrize("name", FILES)
def test_packages_are_known_only_where_they_are_needed(name: str) -> None:
    outside = {name.split(".")[0] for name in find_imports(parse(FILES[name]))} - {"bark_core", "__future__"} - sys.stdlib_module_names
    for package in sorted(outside):
        allowed = PACKAGES.get(package, set[str]())
        assert "*" in allowed or name in allowed, f"{name} imports {package}"
    assert not ("torch" in outside and PICTURE[name].room in WITHOUT_TORCH), f"{name} imports torch"


def test_only_the_predictor_knows_cog() -> None:
    knowing = {path.relative_to(ROOT).as_posix() for path in SCRIPTS if any(name.split(".")[0] == "cog" for name in find_imports(parse(path)))}
    assert {path for path in knowing if not path.startswith(("tests/", "predictors/"))} == {"predict.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_FILE_LINES, f"{path.name} has {n_lines} lines"
    if path.suffix == ".py":
        too_long = {name: length for name, length in find_functions(path) if length > MAX_FUNCTION_LINES}
        assert not too_long, f"functions of {path.name} have too many lines: {too_long}"


def test_the_predictor_is_short_besides_its_literal_names() -> None:
    path = ROOT / "predict.py"
    (names,) = [node for node in parse(path).body if isinstance(node, ast.Assign)]
    assert names.end_lineno is not None
    assert len(path.read_text(encoding="utf-8").splitlines()) - (names.end_lineno - names.lineno + 1) <= MAX_PREDICT_LINES


def test_no_code_lies_among_the_weights() -> None:
    assert not list((ROOT / "weights").rglob("*.py"))


def test_tests_have_a_folder_for_each_room() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(DOORS) <= folders
