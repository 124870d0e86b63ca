"""English as it is written → English as it is said, in lower-case-able letters: what a model that reads letter by letter can be spared.

Abbreviations, signs, figures, capitals that are said one by one, letters with accents. For checkpoints that bring a `reading.json`; the released
models read what is written. What nothing is known of stays as it is, apart from the words beside it, so that a note can name it.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Mapping

from bark_core.errors import InvalidInput
from bark_core.text.letters import LETTERS
from bark_core.text.numbers import spell_numbers

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"), **dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‐‑‒−", "-"), **dict.fromkeys("\u00a0\u202f\u2009", " "),
        **dict.fromkeys("•·*_^|~\\{}", " "), **dict.fromkeys("®™©\u00ad\ufe0f\u200b\ufeff", ""),
        "…": "...", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "th", "þ": "th",
        "Þ": "Th", "ı": "i", "ﬁ": "fi", "ﬂ": "fl",
    }
)  # fmt: skip
_FRACTIONS = {"½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds"}
_AFTER_WHOLE = {"½": "a half", "¼": "a quarter", "¾": "three quarters", "⅓": "a third", "⅔": "two thirds"}
_SIGNS = {
    "&": "and", "%": "percent", "€": "euros", "£": "pounds", "$": "dollars", "¥": "yen", "₹": "rupees", "¢": "cents", "§": "section", "@": "at", "+": "plus",
    "=": "equals", "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "<": "less than", ">": "greater than", "≤": "at most", "≥": "at least",
    "²": "squared", "³": "cubed", "µ": "micro", "№": "number", "°": "degrees", "→": "to",
}  # fmt: skip
_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "capt": "captain", "gen": "general", "rev": "reverend", "sen": "senator",
    "gov": "governor", "lt": "lieutenant", "sgt": "sergeant", "col": "colonel", "jr": "junior", "sr": "senior", "vs": "versus", "etc": "et cetera",
    "dept": "department", "ave": "avenue", "blvd": "boulevard", "rd": "road", "mt": "mount", "ft": "fort", "inc": "incorporated", "ltd": "limited",
    "approx": "approximately", "tel": "telephone", "no": "number", "vol": "volume", "fig": "figure", "jan": "january", "feb": "february", "aug": "august",
    "sept": "september", "oct": "october", "nov": "november", "dec": "december",
}  # fmt: skip
_BEFORE_NUMBERS = {"no", "vol", "fig", "tel"}
_UNITS = {
    "km": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms", "mg": "milligrams", "g": "grams", "lb": "pounds", "lbs": "pounds",
    "oz": "ounces", "ft": "feet", "mph": "miles per hour", "km/h": "kilometers per hour", "ml": "milliliters", "l": "liters", "min": "minutes", "sec": "seconds",
    "hrs": "hours", "hr": "hours", "ms": "milliseconds", "kHz": "kilohertz", "Hz": "hertz", "MHz": "megahertz", "GHz": "gigahertz", "kB": "kilobytes",
    "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes", "kW": "kilowatts", "W": "watts", "V": "volts", "m": "meters",
}  # fmt: skip
_ONE = {"feet": "foot", "miles per hour": "mile per hour", "kilometers per hour": "kilometer per hour"}
_SPELLED = frozenset(
    (
        "USA", "UK", "EU", "UN", "US", "AI", "IT", "ID", "OK", "UFO", "IQ", "API", "IBM", "CIA", "ABC", "IOU", "URL", "ATM", "GPU", "CPU", "USB", "CEO", "FAQ",
        "FBI", "AC", "USSR", "UPS", "IRS", "LA", "DIY", "ETA", "ASAP",
    )
)  # fmt: skip
"""Said letter by letter though they might be words."""

_TLD = r"(?:com|org|net|edu|gov|io|ai|co|uk|de|html?)"

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


class EnglishReader:
    """Reads English. `respellings`: lower-case words → other spellings, which the model says right where it says the word wrong."""

    def __init__(self, respellings: Mapping[str, str]) -> None:
        self._respellings = dict(respellings)

    def read(self, text: str) -> str:
        """Return a text as it is said. The same text where nothing in it is known here."""
        text = text.translate(_PLAIN)
        for pattern, say in _RULES:
            text = pattern.sub(say, text)
        with contextlib.suppress(InvalidInput):  # without unicode-rbnf, digits are said one by one
            text = spell_numbers(text, "en")
        for pattern, say in _LAST_RULES:
            text = pattern.sub(say, text)
        text = "".join(_part(character) for character in unicodedata.normalize("NFD", text))
        text = re.sub(r"[A-Za-z]+(?:'[A-Za-z]+)?", lambda found: self._respell(found[0]), text)
        text = re.sub(r" +([,.;:!?])", r"\1", re.sub(r"(?:[,;:] *)+(?=[,;:.!?])", "", " ".join(text.split())))
        return text.lstrip(" ,;:")

    def _respell(self, word: str) -> str:
        """Return the spelling that the model says right; a possessive's is that of the word."""
        bare, mark, ending = word.partition("'")
        return self._respellings.get(word.lower()) or self._respellings.get(bare.lower(), bare) + mark + ending


def _part(character: str) -> str:
    """Return a character; a sign that no rule knew stands apart from the words beside it, an accent is gone."""
    if unicodedata.combining(character) and ord(character) < 0x370:
        return ""
    return character if character.isascii() or character.isalnum() or unicodedata.category(character)[0] in "LMP" else f" {character} "


def _spell(letters: str) -> str:
    return " ".join(LETTERS[letter.lower()] for letter in letters if letter.isalpha())


def _say_digits(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits)


def _say_phone(found: re.Match[str]) -> str:
    groups = re.findall(r"\d+", found[0])
    return ("plus " if found[0].startswith("+") else "") + ", ".join(_say_digits(group) for group in groups)


def _say_capitals(found: re.Match[str]) -> str:
    word, plural = found[1], "s" if found[2] else ""
    if word in _SPELLED or not re.search(r"[AEIOUY]", word) or (len(word) == 2 and word not in _WORDS_OF_TWO):
        return _spell(word) + plural
    return found[0]


_WORDS_OF_TWO = frozenset(["AM", "AN", "AS", "AT", "BE", "BY", "DO", "GO", "HE", "IF", "IN", "IS", "ME", "MY", "NO", "OF", "OH", "ON", "OR", "SO", "TO", "UP", "WE"])


def _say_clock(found: re.Match[str]) -> str:
    hour, minute = found[1], found[2] or "00"
    said = hour if minute == "00" else f"{hour} oh {minute[1]}" if minute[0] == "0" else f"{hour} {minute}"
    return f"{said} {_spell(found[3] + 'm')}" + ("." if re.match(r"$|\s+[A-Z]", found.string[found.end() :]) else "")


def _say_fraction(found: re.Match[str]) -> str:
    names = {"2": "half", "3": "third", "4": "quarter"}
    count = ("one", "two", "three")[int(found[1]) - 1]
    return f"{count} {names[found[2]]}{'' if found[1] == '1' else 's'}" if int(found[1]) < int(found[2]) else f"{found[1]} over {found[2]}"


def _say_initial(found: re.Match[str]) -> str:
    """Say a capital by its name, without the stop where it stands for a name: J. Smith, not "plan B. It"."""
    before = found.string[: found.start()]
    is_name = found[2] and re.match(r" [A-Z]", found.string[found.end() :]) and not re.search(r"[A-Z][a-z]+ $", before)
    return _spell(found[1]) + ("" if is_name else found[2])


def _say_unit(found: re.Match[str]) -> str:
    unit = _UNITS[found[2]]
    return f"{found[1]} {_ONE.get(unit, unit.removesuffix('s')) if found[1] == '1' else unit}"


def _say_slashed_date(found: re.Match[str]) -> str:
    return f"{found[1]} {found[2]} {found[3]}"


def _say_abbreviation(found: re.Match[str]) -> str:
    said = _ABBREVIATIONS.get(found[1].casefold())
    if said is None:  # a letter that only looks like one of the alphabet's, as a dotless i
        return found[0]
    return said.capitalize() if found[1][0].isupper() else said


def _say_mixed(found: re.Match[str]) -> str:
    parts = re.findall(r"\d+|[A-Za-z]+", found[0])
    return " ".join(_spell(part) if part.isalpha() and (part.isupper() or len(part) < 3) else part for part in parts)


_TITLES = "|".join(word for word in _ABBREVIATIONS if word not in _BEFORE_NUMBERS and word not in ("no", "ft", "oct", "dec", "col", "gen", "sen"))
_UNIT_NAMES = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_RULES: tuple[Rule, ...] = (
    (re.compile(r"https?://(?:www\.)?"), lambda _: ""),
    (re.compile(rf"(?<=[a-zA-Z0-9])\.(?={_TLD}\b)"), lambda _: " dot "),
    (re.compile(r"(?<=\w)@(?=\w)"), lambda _: " at "),
    (re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-([0-3]\d)\b"), lambda found: f"{_MONTHS[int(found[2]) - 1]} {int(found[3])}, {found[1]}"),
    (re.compile(r"(?<=\d)[–—](?=\d)|(?<![\d-]\d{4})(?<![\d-]\d{3})(?<=\d)(?<!-\d)(?<!-\d\d)-(?=\d{1,2}(?![\d-]))"), lambda _: " to "),
    (re.compile(r"(?<=[A-Za-z])-(?=\d)"), lambda _: " "),
    (re.compile(r"\b(\d)'(\d{1,2})(?:\"|'')"), lambda found: f"{found[1]} foot {found[2]}"),
    (re.compile(r"\b([1-3])/([234])\b(?!/)"), _say_fraction),
    (re.compile(r"(?<![/\d])(\d+)/(\d+)(?![/\d])"), lambda found: f"{found[1]} over {found[2]}"),
    (re.compile(r"\b([A-Z]+)&([A-Z]+)\b"), lambda found: f"{_spell(found[1])} and {_spell(found[2])}"),
    (re.compile(r"\s*[—–]\s*|\s+--?\s+|--+"), lambda _: ", "),
    (re.compile(r"(\d) ?([½¼¾⅓⅔])"), lambda found: f"{found[1]} and {_AFTER_WHOLE[found[2]]}"),
    (re.compile(r"[½¼¾⅓⅔]"), lambda found: _FRACTIONS[found[0]]),
    (re.compile(r"° ?([CF])\b"), lambda found: " degrees Celsius" if found[1] == "C" else " degrees Fahrenheit"),
    (re.compile(r"\b(\d{1,2})(?:[:.](\d\d))? ?([apAP])\.? ?[mM]\b\.?"), _say_clock),
    (re.compile(r"\+\d{1,3}(?:[ -]\(?\d{1,5}\)?){2,5}|\(?\b\d{3}\)?[ -]\d{3}-\d{4}\b|\b\d{3}-\d{4}\b|\b0\d{2,4}(?: \d{2,6}){1,4}\b"), _say_phone),
    (re.compile(r"\b([01]?\d|2\d|3[01])[/](\d{1,2})[/](\d{2,4})\b"), _say_slashed_date),
    (re.compile(rf"(?<![\w.,])(\d+(?:[.,]\d+)*) ?({_UNIT_NAMES})(?![\w/])"), _say_unit),
    (re.compile(r"(?<=\d):(?=\d(?!\d))"), lambda _: " to "),
    (re.compile(r"#(?=\d)"), lambda _: "number "),
    (re.compile(r"\b(no|vol|fig|tel)\.(?= ?\d)", re.IGNORECASE), _say_abbreviation),
    (re.compile(r"\bSt\.(?= [A-Z])"), lambda _: "Saint"),
    (re.compile(r"\bSt\."), lambda _: "Street"),
    (re.compile(rf"\b({_TITLES})\.", re.IGNORECASE), _say_abbreviation),
    (re.compile(r"\b(Gen|Col|Sen|Ft|Mt)\.(?= [A-Z])"), _say_abbreviation),
    (re.compile(r"\b(Oct|Dec)\."), _say_abbreviation),
    (re.compile(r"\be\.? ?g\."), lambda _: "for example"),
    (re.compile(r"\bi\.? ?e\."), lambda _: "that is"),
    (re.compile(r"\b(?:[A-Z]\.){2,}"), lambda found: _spell(found[0])),
)  # fmt: skip
_LAST_RULES: tuple[Rule, ...] = (
    (re.compile(r"\b(?=[A-Za-z\d]*\d)(?=[A-Za-z\d]*[A-Za-z])[A-Za-z\d]+\b"), _say_mixed),
    (re.compile(r"(?<=\d)[.](?=\d)"), lambda _: " point "),
    (re.compile(r"(?<=\d)-(?=\d)"), lambda _: ", "),
    (re.compile(r"\d+"), lambda found: f" {_say_digits(found[0])} "),
    (re.compile(r"\b([A-Z]{2,5})(s)?\b"), _say_capitals),
    (re.compile(r"(?<![\w'.])([B-HJ-Z]|A(?=\. [A-Z]))(?![\w'])(\.?)"), _say_initial),
    (re.compile(r"(?<=\w)/(?=\w)"), lambda _: " "),
    (re.compile("[" + re.escape("".join(_SIGNS)) + "]"), lambda found: f" {_SIGNS[found[0]]} "),
)
