"""Own sentences of what is written in figures and read as words: numbers, money, times, dates, years, telephone numbers, letters one by one.

The texts have them in words, as the demo's reader (bark_core/text/plain) hands them to the model.
"""

from __future__ import annotations

import random

from bark_core.text.letters import LETTERS

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONEY = (("dollars", "cents"), ("euros", "cents"), ("pounds", "pence"))
_UNITS = ("miles", "kilograms", "pounds", "meters", "feet", "inches", "liters", "degrees", "hours", "minutes", "kilometers per hour", "percent", "pages", "people")
_CALLED = ("My number is", "Call", "Please dial", "You can reach us at", "The code is", "The answer was", "His telephone number is")
_TITLES = ("Doctor", "Mister", "Missus", "Professor", "Captain", "Miss", "Saint", "General")
_NAMES = ("Brown", "Miller", "Hill", "Carter", "Lopez", "Baker", "Singh", "Young", "Novak", "Reed", "Parker", "Schmidt", "Cohen", "Moore")


def say_whole(value: int) -> str:
    """Return a whole number below a billion in words, as English writes it."""
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10 - 2] + (f"-{_ONES[value % 10]}" if value % 10 else "")
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if value >= size:
            return f"{say_whole(value // size)} {name}" + (f" {say_whole(value % size)}" if value % size else "")
    raise AssertionError(value)


def say_ordinal(value: int) -> str:
    """Return an ordinal in words."""
    words = say_whole(value)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    return words[:cut] + (_ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th"))


def say_year(value: int) -> str:
    """Return a year in words: nineteen eighty-four, nineteen oh five, two thousand six."""
    century, rest = divmod(value, 100)
    if value % 1000 < 10:
        return say_whole(value)
    return f"{say_whole(century)} " + ("hundred" if not rest else f"oh {say_whole(rest)}" if rest < 10 else say_whole(rest))


def make_quantity(rng: random.Random) -> str:
    """Return a sentence with one or two of them."""
    kinds = (_count, _decimal, _money, _money, _time, _time, _date, _date, _year, _phone, _phone, _letters, _person, _ordinal)
    return rng.choice(kinds)(rng)


def _size(rng: random.Random) -> int:
    return rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4, 5, 6)))


def _count(rng: random.Random) -> str:
    number, unit = say_whole(_size(rng)), rng.choice(_UNITS)
    return rng.choice((f"It was {number} {unit}.", f"We counted {number} {unit} in all.", f"There were {number} of them.", f"About {number} {unit}.")).capitalize()


def _decimal(rng: random.Random) -> str:
    digits = " ".join(_ONES[rng.randrange(10)] for _ in range(rng.choice((1, 1, 2, 3))))
    minus = "minus " if rng.random() < 0.2 else ""
    number = f"{minus}{say_whole(rng.randrange(10 ** rng.choice((1, 2))))} point {digits}"
    return f"{rng.choice(('It weighs', 'The rate was', 'That makes', 'It fell to'))} {number} {rng.choice(_UNITS)}."


def _money(rng: random.Random) -> str:
    unit, part = rng.choice(_MONEY)
    amount = f"{say_whole(_size(rng))} {unit}" + (f" and {say_whole(rng.randrange(2, 100))} {part}" if rng.random() < 0.5 else "")
    return rng.choice((f"It cost {amount}.", f"She paid {amount} for it.", f"You owe me {amount}.", f"The bill came to {amount}.", f"They raised {amount}."))


def _time(rng: random.Random) -> str:
    hour, minute = rng.randrange(1, 13), rng.randrange(60)
    said = f"{_ONES[hour]} " + ("o'clock" if not minute else f"oh {_ONES[minute]}" if minute < 10 else say_whole(minute))
    half = rng.choice(("", "", " ay em", " pea em", " in the morning", " on " + rng.choice(_DAYS)))
    return rng.choice(("The train leaves at", "Meet me at", "It was", "Wake him at", "The bank opens at", "We landed at")) + f" {said}{half}."


def _date(rng: random.Random) -> str:
    month, day = rng.choice(_MONTHS), say_ordinal(rng.randrange(1, 32))
    said = rng.choice((f"{month} {day}", f"the {day} of {month}")) + (f", {say_year(rng.randrange(1500, 2060))}" if rng.random() < 0.5 else "")
    return rng.choice((f"He was born on {said}.", f"The letter came on {said}.", f"On {said} it rained.", f"{rng.choice(_DAYS)}, {said}."))


def _year(rng: random.Random) -> str:
    year = say_year(rng.choice((rng.randrange(1066, 1900), rng.randrange(1900, 2060))))
    return rng.choice((f"In {year} the war was over.", f"The house was built in {year}.", f"Since {year} nobody had lived there.", f"It happened in {year}."))


def _phone(rng: random.Random) -> str:
    groups = [" ".join(_ONES[rng.randrange(10)] for _ in range(size)) for size in rng.choice(((3, 4), (3, 3, 4), (4,), (2, 2), (5,), (3,)))]
    return f"{rng.choice(_CALLED)} {', '.join(groups)}."


def _letters(rng: random.Random) -> str:
    name = " ".join(rng.choice(tuple(LETTERS.values())) for _ in range(rng.choice((1, 2, 3, 3, 4))))
    return rng.choice((f"The {name} called again.", f"It is spelled {name}.", f"She works for the {name} now.", f"Take the {name} to the station."))


def _person(rng: random.Random) -> str:
    name = f"{rng.choice(_TITLES)} {rng.choice(_NAMES)}"
    return rng.choice((f"{name} lives on {rng.choice(_NAMES)} Street.", f"We asked {name} for help.", f"{name} and company, et cetera.", f"Good evening, {name}."))


def _ordinal(rng: random.Random) -> str:
    said = say_ordinal(rng.choice((rng.randrange(1, 32), rng.randrange(1, 200))))
    return rng.choice((f"She came in {said}.", f"It was the {said} time.", f"The {said} floor was empty.", f"He turned the {said} page."))
