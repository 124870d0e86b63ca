"""What was found, as people read it: a line for each figure, columns for what is alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def write_table(document: dict[str, Any], heading: bool = True) -> str:
    """Return all sections of a document as text."""
    lines = [f"{document['device']}, {document['model']}, {document['date']}"] if heading else []
    for name, found in document["sections"].items():
        lines += ["", f"== {name}"]
        for key, value in found.items():
            if key == "trace":
                continue
            if isinstance(value, list) and value and isinstance(value[0], dict):
                lines += [f"{key}:", *list_columns(value)]
            else:
                lines.append(f"{key}: {show(value)}")
    return "\n".join(lines) + "\n"


def list_columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return rows under a heading, each column as wide as its widest cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *[[show(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def show(value: object) -> str:
    """Return a value as text on one line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {show(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(show(each) for each in value) or "none"
    return " ".join(str(value).split())
