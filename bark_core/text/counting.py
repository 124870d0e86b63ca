"""One number → words: whole numbers by unicode-rbnf, decimals digit by digit, years as they are said. Knows nothing of the text around."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from bark_core.errors import InvalidInput
from bark_core.text.numberwords import WORDS, NumberWords

if TYPE_CHECKING:
    from unicode_rbnf import RbnfEngine

MAX_DIGITS = 15
"""Of a longer number the digits are said one by one."""

NATIVE = "spellout-cardinal-native-attributive"
"""The rules for Korea's own numbers before what they count."""


@cache
def load_rules(language: str) -> RbnfEngine:
    """Return the rules of a language. Raises: InvalidInput where the package is missing."""
    try:
        from unicode_rbnf import RbnfEngine
    except ImportError as error:
        raise InvalidInput(
            'Numbers are spelled out by the package unicode-rbnf, which is not installed; pip install "bark-core[numbers]", or leave normalize out.'
        ) from error
    return RbnfEngine.for_language(language)


class Counter:
    """Says numbers in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.words: NumberWords = WORDS[language]
        self._rules = load_rules(language)

    def say(self, number: int, rule: str | None = None) -> str:
        """Return a whole number in words, by the rules of this name or the usual ones."""
        said = self._rules.format_number(number, ruleset_names=[rule or self.words.rule]).text
        return said.replace("\u00ad", "").replace("〇", "零")

    def say_digits(self, digits: str) -> str:
        """Return digits in words, one by one."""
        return self.words.gap.join(self.say(int(digit)) for digit in digits)

    def say_number(self, whole: str, decimals: str = "", rule: str | None = None) -> str:
        """Return a number in words, of its digits before and after the point. 007 is said digit by digit."""
        by_digit = len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0" and not decimals)
        said = self.say_digits(whole) if by_digit else self.say(int(whole), None if decimals else rule)
        if not decimals:
            return said
        gap = "" if self.language == "ko" else self.words.gap
        return gap.join([said, self.words.point, *(self.say(int(digit)) for digit in decimals)])

    def say_year(self, year: int) -> str:
        """Return a year in words: nineteen eighty-four; other languages than English and German say it as any number."""
        century, rest = divmod(year, 100)
        if self.language == "de" and 1100 <= year < 2000:
            return f"{self.say(century)}hundert{self.say(rest) if rest else ''}"
        if self.language != "en" or year % 1000 < 10:
            return self.say(year)
        return f"{self.say(century)} {'hundred' if not rest else ('oh ' if rest < 10 else '') + self.say(rest)}"

    def read(self, written: str) -> tuple[str, str] | None:
        """Return the digits before and after the point of a number as this language writes it; None where that is not clear."""
        group, points = re.escape(self.words.grouping), re.escape(self.words.points)
        thousands = r"\d{1,3}(?:,\d{2})*,\d{3}" if self.language == "hi" else rf"\d{{1,3}}([{group}])\d{{3}}(?:\2\d{{3}})*"
        found = re.fullmatch(rf"({thousands})(?:[{points}](?P<decimals>\d+))?", written) or re.fullmatch(rf"(\d+)(?:[{points}.](?P<decimals>\d+))?", written)
        return (re.sub(r"\D", "", found[1]), found["decimals"] or "") if found else None

    def find_rule(self, number: int, noun: str) -> str | None:
        """Return the rules for a number before this word, whose ending may tell its gender; None: the usual ones."""
        words, last = self.words, number % 10 if number % 100 not in (11, 12) else 0
        if not noun:
            return None
        if self.language == "de":
            return words.feminine_rule if re.search(r"^[A-ZÄÖÜ].*(e|ung|heit|keit|schaft)$", noun) else words.noun_rule
        if self.language in ("es", "it", "pt"):
            is_feminine = re.search(r"(?<!í)(?<!em)as?$", noun) is not None and len(noun) > 2
            return words.feminine_rule if is_feminine else words.noun_rule
        if self.language == "ru" and ((last == 1 and noun[-1] in "ая") or (last == 2 and noun[-1] in "иы")):
            return words.feminine_rule
        if (self.language == "ru" and last == 1 and noun[-1] in "ое") or (self.language == "pl" and number == 1 and noun[-1] in "oe"):
            return "spellout-cardinal-neuter"
        return words.feminine_rule if self.language == "pl" and number == 1 and noun[-1] == "a" else None
