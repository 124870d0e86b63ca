"""What in a text is never cut: sounds in brackets, lyrics, names before a colon, numbers with spaces in them. Knows no languages."""

from __future__ import annotations

import re
from bisect import bisect_left

TAG = re.compile(r"\[[^\[\]\n]{1,80}\]")
"""[laughs] and its like: one sound."""

LYRIC = re.compile(r"(?<!♪)♪++[^♪]+♪++")
"""♪ what is sung ♪."""

LABEL = re.compile(r"(?m)(?:(?<=[.!?…] )|^[^\S\n]*+)([^\W\d_][\w.'’-]{0,30}(?: [^\W\d_][\w.'’-]{0,30}){0,2}):(?=\s)")
"""What may be a speaker's name: one to three words before a colon, at a line's beginning or after a sentence."""

_SPACED_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)")
"""1 234 567, as French, Polish and Russian have it."""

_SPACED_DATE = re.compile(r"(?<!\d)\d{1,4}\.[ \u00a0]\d{1,2}\.[ \u00a0]\d{1,4}\b\.?")
"""2020. 5. 3., as Korean has it; 3. 5. 2020."""

_SPACED_LETTERS = re.compile(r"(?<!\w)(?:[^\W\d_]\.[ \u00a0\n]){1,3}[^\W\d_]\.")
"""z. B., т. е., J. R. R."""


_WHOLE = (LYRIC, TAG, LABEL, _SPACED_NUMBER, _SPACED_DATE, _SPACED_LETTERS)


class Spans:
    """The spans of a text that stay whole, to be asked whether a position is inside one."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(found.span() for pattern in _WHOLE for found in pattern.finditer(text)):
            if self._ends and start < self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def hold(self, position: int) -> bool:
        """Tell whether a cut before this character would be inside a span."""
        index = bisect_left(self._starts, position) - 1
        return index >= 0 and position < self._ends[index]
