"""The picture of the code held against the code: who may import whom, who may know which package, and how long things may be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Imports point down: to rows below, and within a row to the left.
ROWS = (
    ("errors", "config"),
    ("types", "progress"),
    ("cache", "sampling", "text", "codec", "audio"),
    ("transformer", "quantize"),
    ("decode", "native", "graphs"),
    ("semantic", "coarse", "fine"),
    ("memory", "voices", "registry", "tensorfiles", "hashes", "fetch", "sizes", "states", "layouts", "convert", "checkpoint", "runtime"),
    ("stages", "generation", "pipeline"),
    ("cli", "__main__"),
)

# Packages from outside, and the only modules that may know them. What is not named here is imported nowhere in bark_core.
PACKAGES = {
    "encodec": {"codec"},
    "huggingface_hub": {"fetch"},
    "safetensors": {"convert", "tensorfiles"},
    "scipy": {"audio", "sampling"},
    "tokenizers": {"text"},
    "torchaudio": set[str](),
    "tqdm": {"progress"},
    "numpy": {"*"},
    "torch": {"*"},
}

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PREDICT_LINES = 350, 60, 150

CORE = sorted((ROOT / "bark_core").glob("*.py"))
SKIPPED = {"__pycache__", "build", "work"}
SOURCES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not any(part.startswith(".") or part in SKIPPED for part in path.relative_to(ROOT).parts)
)


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
            if child.module == "bark_core":
                yield from (f"bark_core.{alias.name}" for alias in child.names if not alias.name.startswith("__"))
            else:
                yield str(child.module)
        else:
            yield from find_imports(child)


def find_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of every function of a file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_module_stands_in_the_picture_once() -> None:
    placed = [name for row in ROWS for name in row]
    assert len(placed) == len(set(placed))
    assert {path.stem for path in CORE} - {"__init__"} <= set(placed)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_imports_point_down(path: Path) -> None:
    placed = [name for row in ROWS for name in row]
    below = set(placed[: placed.index(path.stem)]) if path.stem != "__init__" else set[str]()
    inside = {name.split(".")[1] for name in find_imports(parse(path)) if name.startswith("bark_core.")}
    assert inside <= below, f"{path.name} imports {sorted(inside - below)}, which do not stand below it"


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_packages_are_known_only_where_they_are_needed(path: Path) -> None:
    outside = {name.split(".")[0] for name in find_imports(parse(path))} - {"bark_core", "__future__"} - sys.stdlib_module_names
    for package in sorted(outside):
        allowed = PACKAGES.get(package, set[str]())
        assert "*" in allowed or path.stem in allowed, f"{path.name} imports {package}"


def test_only_the_predictor_knows_cog() -> None:
    knowing = {path.relative_to(ROOT).as_posix() for path in SOURCES if any(name.split(".")[0] == "cog" for name in find_imports(parse(path)))}
    assert {path for path in knowing if not path.startswith("tests/")} == {"predict.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_FILE_LINES, f"{path.name} has {n_lines} lines"
    too_long = {name: length for name, length in find_functions(path) if length > MAX_FUNCTION_LINES}
    assert not too_long, f"functions of {path.name} have too many lines: {too_long}"


def test_the_predictor_is_short_besides_its_literal_names() -> None:
    path = ROOT / "predict.py"
    (names,) = [node for node in parse(path).body if isinstance(node, ast.Assign)]
    assert names.end_lineno is not None
    assert len(path.read_text(encoding="utf-8").splitlines()) - (names.end_lineno - names.lineno + 1) <= MAX_PREDICT_LINES


def test_no_code_lies_among_the_weights() -> None:
    assert not list((ROOT / "weights").rglob("*.py"))
