"""Text → sentences: the package sentencex finds them, and rules of ours mend where speech needs it otherwise.

Knows nothing of how long a sentence may be or who speaks it.
"""

from __future__ import annotations

import re
from itertools import pairwise

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]  # a compiled package that declares no types

from bark_core.text.characters import WIDE
from bark_core.text.language import ABBREVIATIONS, COMMON_WORDS, guess_language
from bark_core.text.spans import LABEL, TAG, Spans

_ORDINAL_WITH_POINT = {"de", "tr"}
"""Languages that write 19. for the nineteenth, before a word that may have a capital."""

_DATE_WITH_POINTS = {"de", "ko", "pl", "ru", "tr"}
"""Languages that write 3. 5. 2020."""

_OPENING = r"[\s\"'“”„«»‘’‚‹›(\[{¿¡—–♪-]"
_CJK = re.compile(f"[{WIDE}]")
_LIST_NUMBER = re.compile(r"\s*(?:\d{1,3}|[ivxlcIVXLC]{1,5}|[^\W\d_])[.)]\s*")
_FIRST_WORD = re.compile(rf"(?:{TAG.pattern}|{_OPENING})*+([^\W_]+)")
_ATTRIBUTION = {
    "ja": re.compile("(と|って|などと|という|は|が|を|に|の|も|だ|で)"),
    "zh": re.compile("[^，。！？”“]{0,3}?(说|說|道|问|問|答|喊|叫|想)"),
}
"""How a piece after a quotation begins that is still its sentence."""

_OWN_BOUNDARY = re.compile(
    rf"[.!?…][\"'”’»]*+[)\]]\s++(?={_OPENING}*+[^\W\d_])"  # (An aside.) Next.
    rf"|[…♪][\"'”’»)]*+\s++(?={_OPENING}*+[^\W\d_a-z])"  # Wait… What?  ♪ A song ♪ Then speech.
    r"|[。！？…][”」』]++(?=[^\s”」』。，、！？])"  # “来吗？”没有人
    r"|\n[^\S\n]*+(?=(?:[-*•–—]|\d{1,3}[.)])\s)"  # a list's items, or a line of dialogue behind its dash
)
"""Where a sentence may begin that sentencex does not know."""

_BLOCK = re.compile(r"(?s).{3000,6000}?(?P<end>\n[^\S\n]*\n|[.!?।]\s|[。！？][”」』]*+)|.{1,6000}")
"""What sentencex is given at once: its time grows with the square of the length where the script is not Latin."""

_OTHER_SPACE = re.compile(r"(?![\x00-\x7f])\s")


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Return the sentences of a text, each with the white space after it, so that they join to the text exactly.

    `language`: one of Bark's 13, as "de"; None: guessed from the text. Time is linear in the text's length.
    """
    language = language or guess_language(text)
    spans = Spans(text)
    gluing = _Gluing(text, language)
    bounds = sorted({*_find_bounds(text, language), len(text)} - {0})
    pieces: list[str] = []
    begin = 0
    for bound, after in pairwise([*bounds, len(text)]):
        if bound == len(text) or not (spans.hold(bound) or gluing.is_one(begin, bound, after)):
            pieces.append(text[begin:bound])
            begin = bound
    return pieces


def _find_bounds(text: str, language: str) -> list[int]:
    bounds: list[int] = []
    for block in _BLOCK.finditer(text):
        position = block.start()
        # Spaces of other kinds, such as French has before its marks, are spaces to sentencex only where they are ASCII's.
        for piece in _segment(language, _OTHER_SPACE.sub(" ", block[0])):
            position += len(piece)
            bounds.append(position)
        if not block["end"]:
            bounds.pop()
    bounds += [found.end() for found in _OWN_BOUNDARY.finditer(text)]
    return bounds + [found.start(1) for found in LABEL.finditer(text) if found[1].isupper()]


def _segment(language: str, text: str) -> list[str]:
    """Return what sentencex finds; all in one piece where it panics, as it does at a no-break space between a letter and a point."""
    try:
        return segment(language, text)
    except BaseException as error:  # its panics are no Exceptions, and would end a server's thread
        if type(error).__name__ != "PanicException":
            raise
        return [text]


class _Gluing:
    """Says of a boundary whether what stands on both sides is one sentence after all. Looks no further than 200 characters."""

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.language = language
        self.abbreviations = ABBREVIATIONS.get(language, frozenset[str]())
        # Where nothing is written with capitals, a small letter says nothing.
        self.has_capitals = text != text.lower()

    def is_one(self, begin: int, bound: int, after: int) -> bool:
        left, right = self.text[max(begin, bound - 200) : bound], self.text[bound : min(after, bound + 200)]
        is_short = bound - begin <= 40
        return (
            not _is_apart(left, right)
            or not _has_word(right, self.text[after : after + 1])
            or (not re.search(r"\w", left) and is_short)
            or (is_short and bool(_LIST_NUMBER.fullmatch(left)))
            or (is_short and re.search(r"(\.\.\.|…)\s*$", left) is not None and len(left.split()) <= 2 and "\n" not in left)
            or self._goes_on_small(left, right)
            or self._ends_in_abbreviation(left, right)
            or self._is_attributed(left, right)
        )

    def _goes_on_small(self, left: str, right: str) -> bool:
        word = _FIRST_WORD.match(right)
        if not word or not word[1][0].islower() or not self.has_capitals or _starts_line(right, left):
            return False
        # "Wait! stop!" may be two sentences; "Stop!" he cried. and —¿Vienes? —preguntó. are one each.
        return not re.search(r"[!?][)\s]*$", left) or bool(re.match(r"\s*[—–-]", right))

    def _ends_in_abbreviation(self, left: str, right: str) -> bool:
        word = _FIRST_WORD.match(right)
        if not word or not left.rstrip().endswith(".") or "\n" in left[len(left.rstrip()) :]:
            return False
        last = left.split()[-1].lstrip("(\"'“„«»‘’").lower()
        is_number_next = word[1][0].isdigit()
        if last in self.abbreviations or (is_number_next and last + "#" in self.abbreviations):
            return True
        if last[:-1].isdigit() and ((is_number_next and self.language in _DATE_WITH_POINTS) or (self.language == "ko" and re.search(r"\d\.\s*\d{1,2}\.\s*$", left))):
            return True  # 2020. 5. 3.
        is_ordinal = self.language in _ORDINAL_WITH_POINT and re.fullmatch(r"\d{1,2}\.|[ivxlc]+\.", last) is not None
        return is_ordinal and word[1].lower() not in COMMON_WORDS[self.language]

    def _is_attributed(self, left: str, right: str) -> bool:
        pattern = _ATTRIBUTION.get(self.language)
        return pattern is not None and left[-1:] in "」』”’）)" and pattern.match(right) is not None


def _is_apart(left: str, right: str) -> bool:
    """Tell whether a sentence can begin here at all: after white space, or where the scripts use none."""
    return left[-1:].isspace() or bool(_CJK.match(left[-1:])) or bool(re.match("[“”\"'«»‘’「『（(—]", right)) or bool(_CJK.match(right))


def _has_word(right: str, following: str) -> bool:
    """Tell whether a piece has a word, or is a sound that begins the next sentence on the same line."""
    bare = TAG.sub("", right)
    return bool(re.search(r"[^\W_]", bare)) or (bool(TAG.search(right)) and bool(following) and "\n" not in right)


def _starts_line(right: str, left: str) -> bool:
    return "\n" in left[len(left.rstrip()) :] and bool(re.match(r"(?:[-*•–—]|\d{1,3}[.)])\s", right))
