"""Numbers in words, as people say them, in Bark's 13 languages; and what is left as it is."""

from __future__ import annotations

import builtins
import re
from typing import Any

import pytest

from bark_core.errors import InvalidInput
from bark_core.text import counting
from bark_core.text.numbers import spell_numbers
from bark_core.text.script import parse_script
from bark_core.voices.presets import LANGUAGES
from tests.text.samples import TEXTS

pytest.importorskip("unicode_rbnf", reason="the package unicode-rbnf (extra numbers) is not installed")

THOUSAND = {
    "en": ("1,234", "one thousand two hundred thirty-four"),
    "de": ("1.234", "eintausendzweihundertvierunddreißig"),
    "es": ("1.234", "mil doscientos treinta y cuatro"),
    "fr": ("1 234", "mille deux cent trente-quatre"),
    "hi": ("1,234", "एक हज़ार दो सौ चौंतीस"),
    "it": ("1.234", "milleduecentotrentaquattro"),
    "ja": ("1,234", "千二百三十四"),
    "ko": ("1,234", "천이백삼십사"),
    "pl": ("1 234", "tysiąc dwieście trzydzieści cztery"),
    "pt": ("1.234", "mil duzentos e trinta e quatro"),
    "ru": ("1 234", "одна тысяча двести тридцать четыре"),
    "tr": ("1.234", "bin iki yüz otuz dört"),
    "zh": ("1,234", "一千二百三十四"),
}

DECIMAL = {
    "en": ("3.14", "three point one four"),
    "de": ("3,14", "drei Komma eins vier"),
    "es": ("3,14", "tres coma uno cuatro"),
    "fr": ("3,14", "trois virgule un quatre"),
    "hi": ("3.14", "तीन दशमलव एक चार"),
    "it": ("3,14", "tre virgola uno quattro"),
    "ja": ("3.14", "三点一四"),
    "ko": ("3.14", "삼점일사"),
    "pl": ("3,14", "trzy przecinek jeden cztery"),
    "pt": ("3,14", "três vírgula um quatro"),
    "ru": ("3,14", "три запятая один четыре"),
    "tr": ("3,14", "üç virgül bir dört"),
    "zh": ("3.14", "三点一四"),
}

PERCENT = {
    "en": "fifty percent", "de": "fünfzig Prozent", "es": "cincuenta por ciento", "fr": "cinquante pour cent", "hi": "पचास प्रतिशत",
    "it": "cinquanta per cento", "ja": "五十パーセント", "ko": "오십 퍼센트", "pl": "pięćdziesiąt procent", "pt": "cinquenta por cento",
    "ru": "пятьдесят процентов", "tr": "yüzde elli", "zh": "百分之五十",
}  # fmt: skip

MONEY = {
    "en": "five euros", "de": "fünf Euro", "es": "cinco euros", "fr": "cinq euros", "hi": "पाँच यूरो", "it": "cinque euro", "ja": "五ユーロ",
    "ko": "오 유로", "pl": "pięć euro", "pt": "cinco euros", "ru": "пять евро", "tr": "beş avro", "zh": "五欧元",
}  # fmt: skip

SAID = {
    "en": {
        "$1,234.50": "One thousand two hundred thirty-four dollars and fifty cents",
        "It was $0.99, £3.20 or $1.": "It was ninety-nine cents, three pounds and twenty pence or one dollar.",
        "about $5 million": "about five million dollars",
        "the 3rd of 21 houses": "the third of twenty-one houses",
        "On May 3, 1871, and on 4 June.": "On May third, eighteen seventy-one, and on the fourth of June.",
        "In 1984, 1905, 1900, 2005 and 2010.": "In nineteen eighty-four, nineteen oh five, nineteen hundred, two thousand five and twenty ten.",
        "1984–1990": "Nineteen eighty-four–nineteen ninety",
        "1500 soldiers, 1500 men": "One thousand five hundred soldiers, one thousand five hundred men",
        "the 1980s": "the nineteen eighties",
        "at 12:30, 5:00 and 9:05": "at twelve thirty, five o'clock and nine oh five",
        "007 and -5": "Zero zero seven and minus five",
        "a 5kg bag": "a five kg bag",
        "I was 21. 30 came.": "I was twenty-one. Thirty came.",
        "Read No. 5.": "Read No. five.",
        "1" + "0" * 14: "One hundred trillion",
        "12345678901234567": "One two three four five six seven eight nine zero one two three four five six seven",
    },
    "de": {
        "Im 19. Jahrhundert": "Im neunzehnten Jahrhundert",
        "Der 1. FC gewann am 3. Mai.": "Der erste FC gewann am dritten Mai.",
        "Ich bin 21. Er ist 22.": "Ich bin einundzwanzig. Er ist zweiundzwanzig.",
        "1 Haus, 1 Katze, Nummer 1": "Ein Haus, eine Katze, Nummer eins",
        "Es war 1984, um 17:30 Uhr.": "Es war neunzehnhundertvierundachtzig, um siebzehn Uhr dreißig.",
        "mit 1984 Menschen": "mit eintausendneunhundertvierundachtzig Menschen",
        "12.500,75 €": "Zwölftausendfünfhundert Euro fünfundsiebzig",
        "5 Millionen €": "Fünf Millionen Euro",
    },
    "es": {
        "21 casas, 21 perros, 200 libras": "Veintiuna casas, veintiún perros, doscientas libras",
        "el 1.º y la 2ª, el 1er día": "el primero y la segunda, el primer día",
        "3,50 €": "Tres euros con cincuenta",
        "$5 millones": "Cinco millones de dólares",
    },
    "fr": {
        "le 1er mai, la 1re fois, la 2e": "le premier mai, la première fois, la deuxième",
        "1 234 567,5 francs": "Un million deux cent trente-quatre mille cinq cent soixante-sept virgule cinq francs",
        "à 17:30": "à dix-sept heures trente",
    },
    "hi": {"12,34,567 लोग": "बारह लाख चौंतीस हज़ार पाँच सौ सड़सठ लोग", "३.५ किलो": "तीन दशमलव पाँच किलो", "19वीं सदी": "उन्नीसवीं सदी"},
    "it": {"1 casa, 1 cane, il 3º": "Una casa, un cane, il terzo", "3,50 €": "Tre euro e cinquanta"},
    "ja": {"3.5万円と5番": "三点五万円と五番", "1984年5月3日12:30": "千九百八十四年五月三日十二時三十分", "第3回": "第三回"},
    "ko": {"사과 5개, 3시, 21살": "사과 다섯개, 세시, 스물한살", "5층 5번": "오층 오번", "3번째": "세번째", "1,234,500원": "백이십삼만 사천오백원"},
    "pl": {
        "Dnia 3. maja 1871 r. i 15 maja.": "Dnia trzeciego maja tysiąc osiemset siedemdziesiątego pierwszego r. i piętnastego maja.",
        "1 zł, 2 zł, 5 zł, 12 zł, 22 zł": "Jeden złoty, dwa złote, pięć złotych, dwanaście złotych, dwadzieścia dwa złote",
        "1 książka, 1 okno, 1 dom": "Jedna książka, jedno okno, jeden dom",
        "12 500,75 zł": "Dwanaście tysięcy pięćset złotych i siedemdziesiąt pięć",
    },
    "pt": {
        "2 casas e 2 livros": "Duas casas e dois livros",
        "R$ 1.234,50": "Mil duzentos e trinta e quatro reais e cinquenta",
        "o 1º, a 2ª": "o primeiro, a segunda",
    },
    "ru": {
        "в 1984 году, 3 мая": "в одна тысяча девятьсот восемьдесят четвертом году, третьего мая",
        "5-й день, 2-го дня": "Пятый день, второго дня",
        "Это 1000000-й": "Это один миллион-й",  # there is no rule for the ordinal
        "21%, 2%, 5%, 11%, 3,5%": "Двадцать один процент, два процента, пять процентов, одиннадцать процентов, три запятая пять процента",
        "1 книга, 2 книги, 2 стола, 1 окно": "Одна книга, две книги, два стола, одно окно",
        "$1, $2, $5": "Один доллар, два доллара, пять долларов",
    },
    "tr": {"19. yüzyılda saat 5'te": "On dokuzuncu yüzyılda saat beş'te", "%50": "Yüzde elli", "Sayı 5. Sonra 2.": "Sayı beş. Sonra iki.", "2 elma": "İki elma"},
    "zh": {"1984年有101人": "一九八四年有一百零一人", "2个，12个，第2个": "两个，十二个，第二个", "$5亿": "五亿美元", "-5度": "负五度"},
}


def lower(text: str) -> str:
    return text[:1].lower() + text[1:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_thousands_decimals_percents_and_money(language: str) -> None:
    amounts = [("50%", PERCENT[language]), ("50 %", PERCENT[language]), ("5 €", MONEY[language]), ("€5", MONEY[language])]
    for written, said in (THOUSAND[language], DECIMAL[language], *amounts):
        assert lower(spell_numbers(written, language)) == said
        assert spell_numbers(f"({written})", language) == f"({said})"


EACH = [(language, written, said) for language, cases in SAID.items() for written, said in cases.items()]


@pytest.mark.parametrize(("language", "written", "said"), EACH, ids=lambda value: value)
def test_numbers_are_said_as_people_say_them(language: str, written: str, said: str) -> None:
    assert spell_numbers(written, language) == said


@pytest.mark.parametrize(
    "text", ["2020-05-03", "3/4/2020", "v2.0.1", "1.2.3", "192.168.0.1", "555-1234", "MP3", "B2B", "x2", "3D", "H2O", "1/2", "12:30:45", "#5", "10^3", "5,6", "a_1"]
)
def test_what_is_no_plain_number_is_left_as_it_is(text: str) -> None:
    assert spell_numbers(text, "en") == text
    assert spell_numbers(f"See {text} here.", "en") == f"See {text} here."


@pytest.mark.parametrize("language", LANGUAGES)
def test_marks_and_texts_without_numbers_are_left_as_they_are(language: str) -> None:
    marked = "[pause 1.5s] [voice v2/en_speaker_3] [2]"
    assert spell_numbers(marked, language) == marked
    text = re.sub(r"\d", "", TEXTS[language])
    assert spell_numbers(text, language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_numbers_change_in_a_text(language: str) -> None:
    said = spell_numbers(TEXTS[language], language)
    assert not re.search(r"\d", said)
    bare = re.sub(r"[\d,.\s$]", "", TEXTS[language])
    kept = iter(re.sub(r"[\d,.\s]", "", said).lower())
    missing = [letter for letter in bare.lower() if letter not in kept]
    assert len(missing) <= 3, "what is around numbers stays, in order, but for the ends of ordinals"


def test_numbers_are_spelled_before_the_text_is_measured() -> None:
    def parse(text: str) -> list[str]:
        return [each.text for each in parse_script(text, {"N1": 1}, count_tokens=lambda part: len(part.split()), language="en", spell=spell_numbers)]

    assert parse("I have 3.") == ["I have three."]
    long = ("There were 777,777 of them. " * 8).strip()
    assert sum(text.count("seven hundred seventy-seven thousand") for text in parse(long)) == 8
    assert parse("N1: 2 boats. [pause 1.5s] N2 4.") == ["Two boats.", "N2 four."]
    with pytest.raises(InvalidInput, match="The text was a NoneType"):
        parse(None)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["1", "1 ", "1,", "1.", "12:30 ", "1 000 ", "$1 ", "-1 ", "1-", "1. A ", "%1", "１"])
def test_hostile_texts_are_spelled_in_time(piece: str) -> None:
    for language in ("en", "fr", "de"):
        assert spell_numbers((piece * 50_000)[:50_000], language)


def test_another_language_is_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="cannot be spelled out in 'nl'; give one of en, de"):
        spell_numbers("5", "nl")


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    counting.load_rules.cache_clear()
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "unicode_rbnf":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput, match=r'pip install "bark-core\[numbers\]"'):
        spell_numbers("5", "en")
