"""Numbers in a text → words, in Bark's 13 languages. Off unless asked for: the text is the caller's.

Spelled are whole numbers and decimals, as the language writes them, and where they are clear: ordinals, years, percents, amounts of
money, times of day. Left as they are: what has letters in it, numbers of several parts (dates in figures, versions, telephone numbers),
and what stands in brackets. Grammatical case is not known here, and gender only where a noun's ending tells it.
"""

from __future__ import annotations

import re
from functools import cache

from bark_core.errors import InvalidInput
from bark_core.text.counting import NATIVE, Counter
from bark_core.text.numberwords import FEW, TIMES, WORDS
from bark_core.text.ordinals import is_year, spell_ordinals
from bark_core.text.sentences import split_sentences
from bark_core.text.spans import TAG

_SIGN = r"R\$|[$€£¥￥₹₽₺₩]|zł\b"
_SPACE = "[ \u00a0\u202f]"
_LETTER = r"A-Za-z\u00aa\u00ba\u00c0-\u024f\u0400-\u04ff"
_UNIT = r"(?:kg|km|cm|mm|mg|ml|GB|MB|kB|kHz|Hz|кг|км|см|мм)(?![^\W_])"
_TIME = re.compile(rf"(?<![{_LETTER}\d_:.,/-])([01]?\d|2[0-4]):([0-5]\d)(?: Uhr\b)?(?![:.,]?\d|[{_LETTER}])")
_KOREAN_COUNTER = re.compile(rf"{_SPACE}?(?:시(?!간표|리즈|스템|즌)|개(?!월|국)|명|살|마리|권|잔|병|벌|그루|송이|켤레|사람|가지|번째|시간|달(?!러))")
_CHINESE_COUNTER = re.compile("[个個只隻本位条條张張天次块塊件种種辆輛家间間名岁歲倍把双雙封场場部杯瓶碗座层層匹头頭棵朵颗顆]")


def spell_numbers(text: str, language: str) -> str:
    """Return a text with its numbers in words. `language`: one of Bark's 13, as "de".

    Raises: InvalidInput for another language, or where the package unicode-rbnf is missing.
    """
    if language not in WORDS:
        raise InvalidInput(f"Numbers cannot be spelled out in {language!r}; give one of {', '.join(WORDS)}.")
    if not re.search(r"\d", text):
        return text
    speller = _Speller(language)
    # A full stop after a number makes an ordinal of it where the sentence goes on: 19. Jahrhundert.
    return "".join(speller.spell(sentence) for sentence in split_sentences(text, language))


@cache
def _compile_number(language: str) -> re.Pattern[str]:
    """Return what a number looks like, with what may stand around it: a sign of money or per cent, a scale, a unit."""
    words = WORDS[language]
    spaced = rf"\d{{1,3}}(?:{_SPACE}\d{{3}})+(?!\d)(?:[{re.escape(words.points)}]\d+)?|" if " " in words.grouping else ""
    scales = "|".join(sorted(words.scales, key=len, reverse=True)) or "(?!)"
    return re.compile(
        rf"(?<![{_LETTER}\d_+#*^=.,:/])(?<!\d-)(?P<minus>(?<!\w)[-−](?=[\d$€£]))?(?:(?P<before>{_SIGN}|%){_SPACE}?)?"
        rf"(?P<number>{spaced}\d+(?:[.,]\d+)*)(?!\d)(?P<scale>{_SPACE}?(?:{scales})(?![^\W\d_]))?"
        rf"(?:{_SPACE}?(?P<after>%|％|{_SIGN}))?(?P<unit>{_UNIT})?(?![{_LETTER}_]|[:/.^*=+]\d|-[\dA-Za-z]|–\d+[-–./:])"
    )


class _Speller:
    def __init__(self, language: str) -> None:
        self.language = language
        self.words = WORDS[language]
        self.counter = Counter(language)
        self.number = _compile_number(language)

    def spell(self, sentence: str) -> str:
        """Return a sentence with its numbers in words, what stands in brackets as it is."""
        parts: list[str] = []
        start = 0
        for tag in TAG.finditer(sentence):
            parts += [self._spell_bare(sentence[start : tag.start()]), tag[0]]
            start = tag.end()
        said = "".join([*parts, self._spell_bare(sentence[start:])])
        place = len(sentence) - len(sentence.lstrip())
        if said == sentence or not re.match(rf"[-−]?(?:{_SIGN}|%)?{_SPACE}?\d", sentence[place:]):
            return said
        first = "İ" if self.language == "tr" and said[place] == "i" else said[place].upper()
        return said[:place] + first + said[place + 1 :]

    def _spell_bare(self, text: str) -> str:
        text = _TIME.sub(self._say_time, spell_ordinals(text, self.counter))
        return self.number.sub(self._say_number, text)

    def _say_number(self, found: re.Match[str]) -> str:
        number = self.counter.read(found["number"])
        if number is None:
            return found[0]
        whole, decimals = number
        minus = self.words.minus + self.words.gap if found["minus"] else ""
        scale = (found["scale"] or "").strip()
        sign = found["before"] or found["after"] or ""
        rest = found.string[found.end() : found.end() + 80]
        gap = self.words.gap if rest[:1].isalnum() else ""
        if sign in ("%", "％"):
            said = self._say_percent(whole, decimals)
        elif sign:
            if sign not in self.words.currencies:
                return found[0]
            said = self._say_money(whole, decimals, scale, sign)
        else:
            said = self._say_plain(found, whole, decimals, scale, rest)
            gap = ""
        return minus + said + gap

    def _say_plain(self, found: re.Match[str], whole: str, decimals: str, scale: str, rest: str) -> str:
        written = found["number"]
        unit = f" {found['unit']}" if found["unit"] else ""
        noun = re.match(rf"{_SPACE}([^\W\d_]+)", rest)
        following = scale or (found["unit"] or (noun[1] if noun else ""))
        if not decimals and is_year(written, following, self.language):
            return self.counter.say_year(int(written)) + unit
        number = int(whole[-3:])
        rule = self.counter.find_rule(number, following)
        if self.language == "ko" and len(whole) < 3 and number and _KOREAN_COUNTER.match(rest):
            rule = NATIVE
        if self.language == "zh" and whole == "2" and not decimals and found.string[found.start() - 1 : found.start()] != "第" and _CHINESE_COUNTER.match(rest):
            return "两"
        return self.counter.say_number(whole, decimals, rule) + (found["scale"] or "") + unit

    def _say_percent(self, whole: str, decimals: str) -> str:
        words = self.words.percent
        if self.language == "ru":
            words = "{} " + self._inflect("процент", "процентов", whole, decimals)
        return words.format(self.counter.say_number(whole, decimals))

    def _say_money(self, whole: str, decimals: str, scale: str, sign: str) -> str:
        """Say an amount of money: three dollars and fifty cents; five million dollars, the scale before the currency."""
        one, many = self.words.currencies[sign]
        if scale:
            gap = self.words.gap
            return f"{self.counter.say_number(whole, decimals)}{gap}{scale}{self.words.scales[scale]}{many}"
        has_cents = self.words.cents is not None and len(decimals) == 2
        if has_cents and self.language == "en" and not int(whole) and int(decimals):
            return self.counter.say(int(decimals)) + self._name_cents(sign, decimals)
        name = self._inflect(one, many, whole, "" if has_cents else decimals)
        said = self.counter.say_number(whole, "" if has_cents else decimals, self.counter.find_rule(int(whole[-3:]), name)) + self.words.gap + name
        if not has_cents or not int(decimals):
            return said
        cents = self.counter.say(int(decimals)) + (self._name_cents(sign, decimals) if self.language == "en" else "")
        return " ".join(part for part in (said, self.words.cents, cents) if part)

    def _name_cents(self, sign: str, decimals: str) -> str:
        return {"£": " pence", "₹": " paise"}.get(sign, " cent" if decimals == "01" else " cents")

    def _inflect(self, one: str, many: str, whole: str, decimals: str) -> str:
        """Return the form of a unit's name that goes with a number."""
        few = FEW.get(self.language, {}).get(many, many)
        last, last_two = int(whole[-1]), int(whole[-2:])
        is_few = 2 <= last <= 4 and not 12 <= last_two <= 14
        if self.language == "ru":
            is_one = last == 1 and last_two != 11
            return few if decimals or is_few else one if is_one else many
        if decimals:
            return many
        return one if int(whole) == 1 or (self.language in ("fr", "hi") and int(whole) == 0) else few if is_few else many

    def _say_time(self, found: re.Match[str]) -> str:
        on_the_hour, between = TIMES[self.language]
        hour, minute = int(found[1]), int(found[2])
        rule = NATIVE if self.language == "ko" and 0 < hour <= 12 else self.words.noun_rule if self.language == "de" else None
        said = self.counter.say(hour, rule)
        is_english = self.language == "en"
        if not minute:
            return f"{said} hundred" if is_english and not 0 < hour <= 12 else on_the_hour.format(said)
        return between.format(said, ("oh " if is_english and minute < 10 else "") + self.counter.say(minute))
