"""Ordinals, dates and years in a sentence → words, as each language writes them. Only what is clear; the rest is left for numbers.py."""

from __future__ import annotations

import re
from collections.abc import Callable

from bark_core.text.counting import Counter
from bark_core.text.language import COMMON_WORDS
from bark_core.text.numberwords import MONTHS, POLISH_ORDINALS, POLISH_TENS

_BEFORE = r"(?<![\w.,:/+-])"
_MONTH = {language: "(?:" + "|".join(names.split()) + ")" for language, names in MONTHS.items()}
_GERMAN_WEAK = re.compile(r"\b(?:am|im|vom|zum|zur|beim|dem|den|des|ab|seit|bis|einem|einen|unserem|jedem|jeden)\s$", re.IGNORECASE)
_RUSSIAN_ENDINGS = {
    "й": "masculine", "я": "feminine", "е": "neuter", "го": "masculine-genitive", "му": "masculine-dative", "м": "masculine-locative",
    "ю": "feminine-accusative", "х": "plural-genitive",
}  # fmt: skip
_RUSSIAN_YEARS = {"год": "masculine", "года": "masculine-genitive", "году": "masculine-locative", "годом": "masculine-ablative"}


def spell_ordinals(sentence: str, counter: Counter) -> str:
    """Return a sentence with its ordinals in words, and the years and days that are said as ordinals."""
    for pattern, say in _RULES.get(counter.language, ()):
        sentence = re.sub(pattern, lambda found, say=say: say(counter, found), sentence)
    return sentence


def is_year(written: str, noun: str, language: str) -> bool:
    """Tell whether a number of four figures before this word is a year: nothing parts its thousands, and nothing is counted."""
    if not re.fullmatch(r"1[1-9]\d\d|20\d\d", written):
        return False
    if language == "de":
        return not noun[:1].isupper()
    return language == "en" and (not re.search(r"(?<!s)s$", noun) or noun in _NO_PLURALS) and noun not in _COUNTED


_NO_PLURALS = {"is", "was", "as", "his", "has", "does", "this", "its"}
_COUNTED = {"people", "men", "women", "children", "percent", "thousand", "million", "feet", "sheep"}


def _ordinal(counter: Counter, number: str, form: str = "") -> str:
    return counter.say(int(number), "spellout-ordinal" + (f"-{form}" if form else ""))


def _say_german(counter: Counter, found: re.Match[str]) -> str:
    if found[2].lower() in COMMON_WORDS["de"]:
        return found[0]
    before = found.string[max(0, found.start() - 20) : found.start()]
    return f"{_ordinal(counter, found[1], 'n' if _GERMAN_WEAK.search(before) else '')} {found[2]}"


def _say_french(counter: Counter, found: re.Match[str]) -> str:
    return _ordinal(counter, found[1], "feminine" if found[2] in ("re", "ère", "nde") else "masculine")


def _say_english_decade(counter: Counter, found: re.Match[str]) -> str:
    said = counter.say_year(int(found[1]))
    return said[:-1] + "ies" if said.endswith("y") else said + "s"


def _say_polish(number: int, counter: Counter) -> str:
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    if not rest:
        return counter.say(number)
    last = [POLISH_ORDINALS[rest - 1]] if rest < 20 else [POLISH_TENS[tens - 2], *POLISH_ORDINALS[ones - 1 : ones]] if ones else [POLISH_TENS[tens - 2]]
    return " ".join([*([counter.say(hundreds * 100)] if hundreds else []), *last])


def _say_russian_year(counter: Counter, found: re.Match[str]) -> str:
    return f"{_ordinal(counter, found[1], _RUSSIAN_YEARS[found[2]])} {found[2]}"


_Say = Callable[[Counter, re.Match[str]], str]
_RULES: dict[str, tuple[tuple[str, _Say], ...]] = {
    "en": (
        (rf"{_BEFORE}(\d{{1,15}})(?:st|nd|rd|th)\b", lambda counter, found: _ordinal(counter, found[1])),
        (rf"{_BEFORE}((?:1[1-9]|20)\d0)['’]?s\b", _say_english_decade),
        (rf"\b({_MONTH['en']}) (\d{{1,2}})\b(?![:.,]?\d)", lambda counter, found: f"{found[1]} {_ordinal(counter, found[2])}"),
        (rf"{_BEFORE}(\d{{1,2}}) ({_MONTH['en']})\b", lambda counter, found: f"the {_ordinal(counter, found[1])} of {found[2]}"),
    ),
    "de": ((rf"{_BEFORE}(\d{{1,2}})\. ([^\W\d_]\w*)", _say_german),),
    "es": (
        (rf"{_BEFORE}(\d{{1,4}})\.?º", lambda counter, found: _ordinal(counter, found[1], "masculine")),
        (rf"{_BEFORE}(\d{{1,4}})\.?ª", lambda counter, found: _ordinal(counter, found[1], "feminine")),
        (rf"{_BEFORE}(\d{{1,4}})\.?er\b", lambda counter, found: _ordinal(counter, found[1], "masculine-adjective")),
    ),
    "fr": ((rf"{_BEFORE}(\d{{1,6}})(er|re|ère|e|ème|ième|nd|nde)\b", _say_french),),
    "hi": (
        (rf"{_BEFORE}(\d{{1,6}})(?:वाँ|वां|वें)", lambda counter, found: _ordinal(counter, found[1], "masculine")),
        (rf"{_BEFORE}(\d{{1,6}})वीं", lambda counter, found: _ordinal(counter, found[1], "feminine").removesuffix("ं") + "ं"),
    ),
    "it": (
        (rf"{_BEFORE}(\d{{1,4}})º", lambda counter, found: _ordinal(counter, found[1], "masculine")),
        (rf"{_BEFORE}(\d{{1,4}})ª", lambda counter, found: _ordinal(counter, found[1], "feminine")),
    ),
    "pl": (
        (rf"{_BEFORE}(\d{{1,2}})\.? (?={_MONTH['pl']}\b)", lambda counter, found: _say_polish(int(found[1]), counter) + " "),
        (rf"{_BEFORE}(\d{{4}}) (r\.|roku)", lambda counter, found: f"{_say_polish(int(found[1]), counter)} {found[2]}"),
    ),
    "pt": (
        (rf"{_BEFORE}(\d{{1,4}})\.?º", lambda counter, found: _ordinal(counter, found[1], "masculine")),
        (rf"{_BEFORE}(\d{{1,4}})\.?ª", lambda counter, found: _ordinal(counter, found[1], "feminine")),
    ),
    "ru": (
        (rf"{_BEFORE}(\d{{1,5}})-(й|я|е|го|му|м|ю|х)\b", lambda counter, found: _ordinal(counter, found[1], _RUSSIAN_ENDINGS[found[2]])),
        (rf"{_BEFORE}(\d{{1,2}}) (?={_MONTH['ru']}\b)", lambda counter, found: _ordinal(counter, found[1], "neuter-genitive") + " "),
        (rf"{_BEFORE}(\d{{4}}) (год|года|году|годом)\b", _say_russian_year),
    ),
    "zh": ((r"(?<!\d)(\d{4})(?=年)", lambda counter, found: counter.say_digits(found[1])),),
    "tr": ((rf"{_BEFORE}(\d{{1,4}})\. (?=[^\W\d_])", lambda counter, found: _ordinal(counter, found[1]) + " "),),
}
