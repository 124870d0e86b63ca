"""Text → sentences. Knows nothing of how long a sentence may be or who speaks it."""

from __future__ import annotations

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]  # a compiled package that declares no types


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Return the sentences of a text, each with the white space after it, so that they join to the text exactly.

    `language`: one of Bark's 13, as "de"; None: guessed from the text.
    """
    return list(segment(language or "en", text))
