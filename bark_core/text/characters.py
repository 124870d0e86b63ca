"""Which characters a text may have, and whether any can be spoken. Knows no languages."""

from __future__ import annotations

import re
import unicodedata

from bark_core.errors import InvalidInput
from bark_core.types import is_encodable

WORD_CHARACTER = r"[\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u200c\u200d]"
"""A letter, a digit, or a mark that belongs to one, as Hindi's vowels do, which `\\w` alone leaves out."""


WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
"""Chinese and Japanese with their punctuation, as a regular expression's range: between these no spaces are written."""


def check_characters(text: object) -> str:
    """Return the text. Raises: InvalidInput where it is no string, or holds half a character."""
    if not isinstance(text, str):
        raise InvalidInput(f"The text was a {type(text).__name__}; give a string.")
    if not is_encodable(text):
        raise InvalidInput("The text holds a lone surrogate, which is no character; give valid Unicode.")
    return text


def has_words(text: str) -> bool:
    """Tell whether a text has a letter or a digit, inside brackets or out of them: what can be spoken at all."""
    return re.search(r"[^\W_]", text) is not None


def is_layout(text: str) -> bool:
    """Tell whether a text is only what sets text out on a page: white space, stops, rows of stars or dashes."""
    return not any(unicodedata.category(letter)[0] in "LNM" or (letter > "~" and unicodedata.category(letter)[0] == "S") for letter in text)
