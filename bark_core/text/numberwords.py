"""What is said around numbers in Bark's 13 languages: points, percents, currencies. Data; the numbers themselves are unicode-rbnf's."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NumberWords:
    """How a language writes and says numbers.

    `grouping`: what may part thousands; `points`: what may stand before decimals. `rule`: unicode-rbnf's rules for a number by itself,
    `noun_rule` and `feminine_rule` for one before a noun. `percent` with {} where the number goes. `currencies`: one, several, and what
    joins cents to it (None: they are decimals). `gap`: between a number and what follows it. `scales`: million and its like, which
    stand between an amount and its currency, each with what joins the two.
    """

    grouping: str
    points: str
    point: str
    minus: str
    rule: str
    percent: str
    currencies: dict[str, tuple[str, str]]
    cents: str | None = None
    noun_rule: str | None = None
    feminine_rule: str | None = None
    gap: str = " "
    scales: dict[str, str] = field(default_factory=dict)


_SPACES = " \u00a0\u202f"
_CARDINAL, _NUMBERING, _MASCULINE, _FEMININE = "spellout-cardinal", "spellout-numbering", "spellout-cardinal-masculine", "spellout-cardinal-feminine"

WORDS: dict[str, NumberWords] = {
    "en": NumberWords(
        ",", ".", "point", "minus", _CARDINAL, "{} percent",
        {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("pound", "pounds"), "¥": ("yen", "yen"), "₹": ("rupee", "rupees")},
        "and", scales={"thousand": " ", "million": " ", "billion": " ", "trillion": " "},
    ),
    "de": NumberWords(
        "." + _SPACES, ",", "Komma", "minus", _NUMBERING, "{} Prozent",
        {"$": ("Dollar", "Dollar"), "€": ("Euro", "Euro"), "£": ("Pfund", "Pfund"), "¥": ("Yen", "Yen"), "₹": ("Rupie", "Rupien")},
        "", noun_rule="spellout-cardinal-neuter", feminine_rule=_FEMININE,
        scales={"Tausend": " ", "tausend": " ", "Millionen": " ", "Million": " ", "Milliarden": " ", "Milliarde": " "},
    ),
    "es": NumberWords(
        "." + _SPACES, ",", "coma", "menos", _NUMBERING, "{} por ciento",
        {"$": ("dólar", "dólares"), "€": ("euro", "euros"), "£": ("libra", "libras"), "¥": ("yen", "yenes"), "₹": ("rupia", "rupias")},
        "con", noun_rule=_MASCULINE, feminine_rule=_FEMININE, scales={"mil": " ", "millones": " de ", "millón": " de "},
    ),
    "fr": NumberWords(
        _SPACES + ".", ",", "virgule", "moins", _MASCULINE, "{} pour cent",
        {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("livre", "livres"), "¥": ("yen", "yens"), "₹": ("roupie", "roupies")},
        "", feminine_rule=_FEMININE, scales={"mille": " ", "millions": " de ", "million": " de ", "milliards": " de ", "milliard": " de "},
    ),
    "hi": NumberWords(
        ",", ".", "दशमलव", "माइनस", _CARDINAL, "{} प्रतिशत",
        {"$": ("डॉलर", "डॉलर"), "€": ("यूरो", "यूरो"), "£": ("पाउंड", "पाउंड"), "¥": ("येन", "येन"), "₹": ("रुपया", "रुपये")},
        scales={"हज़ार": " ", "लाख": " ", "करोड़": " ", "अरब": " "},
    ),
    "it": NumberWords(
        "." + _SPACES, ",", "virgola", "meno", _NUMBERING, "{} per cento",
        {"$": ("dollaro", "dollari"), "€": ("euro", "euro"), "£": ("sterlina", "sterline"), "¥": ("yen", "yen"), "₹": ("rupia", "rupie")},
        "e", noun_rule=_MASCULINE, feminine_rule=_FEMININE, scales={"mila": " ", "milioni": " di ", "milione": " di ", "miliardi": " di ", "miliardo": " di "},
    ),
    "ja": NumberWords(
        ",，", ".", "点", "マイナス", _CARDINAL, "{}パーセント",
        {"$": ("ドル", "ドル"), "€": ("ユーロ", "ユーロ"), "£": ("ポンド", "ポンド"), "¥": ("円", "円"), "￥": ("円", "円"), "₹": ("ルピー", "ルピー")},
        gap="", scales={"万": "", "億": "", "兆": ""},
    ),
    "ko": NumberWords(
        ",", ".", "점", "마이너스", "spellout-cardinal-sinokorean", "{} 퍼센트",
        {"$": ("달러", "달러"), "€": ("유로", "유로"), "£": ("파운드", "파운드"), "¥": ("엔", "엔"), "₩": ("원", "원"), "₹": ("루피", "루피")},
        scales={"만": " ", "억": " ", "조": " "},
    ),
    "pl": NumberWords(
        _SPACES, ",.", "przecinek", "minus", _MASCULINE, "{} procent",
        {"$": ("dolar", "dolarów"), "€": ("euro", "euro"), "£": ("funt", "funtów"), "zł": ("złoty", "złotych"), "¥": ("jen", "jenów"), "₹": ("rupia", "rupii")},
        "i", feminine_rule=_FEMININE,
        scales={"tysięcy": " ", "tysiące": " ", "milionów": " ", "miliony": " ", "milion": " ", "miliardów": " ", "miliardy": " ", "miliard": " "},
    ),
    "pt": NumberWords(
        "." + _SPACES, ",", "vírgula", "menos", _MASCULINE, "{} por cento",
        {"R$": ("real", "reais"), "$": ("dólar", "dólares"), "€": ("euro", "euros"), "£": ("libra", "libras"), "¥": ("iene", "ienes"), "₹": ("rupia", "rupias")},
        "e", feminine_rule=_FEMININE, scales={"mil": " ", "milhões": " de ", "milhão": " de ", "bilhões": " de ", "bilhão": " de "},
    ),
    "ru": NumberWords(
        _SPACES, ",.", "запятая", "минус", _MASCULINE, "{} процентов",
        {"$": ("доллар", "долларов"), "€": ("евро", "евро"), "£": ("фунт", "фунтов"), "¥": ("иена", "иен"), "₽": ("рубль", "рублей"), "₹": ("рупия", "рупий")},
        "", feminine_rule=_FEMININE,
    ),
    "tr": NumberWords(
        "." + _SPACES, ",", "virgül", "eksi", _CARDINAL, "yüzde {}",
        {"$": ("dolar", "dolar"), "€": ("avro", "avro"), "£": ("sterlin", "sterlin"), "¥": ("yen", "yen"), "₺": ("lira", "lira"), "₹": ("rupi", "rupi")},
        scales={"bin": " ", "milyon": " ", "milyar": " "},
    ),
    "zh": NumberWords(
        ",，", ".", "点", "负", _CARDINAL, "百分之{}",
        {"$": ("美元", "美元"), "€": ("欧元", "欧元"), "£": ("英镑", "英镑"), "¥": ("元", "元"), "￥": ("元", "元"), "₹": ("卢比", "卢比")},
        gap="", scales={"万": "", "亿": ""},
    ),
}

FEW = {
    "pl": {"dolarów": "dolary", "funtów": "funty", "złotych": "złote", "jenów": "jeny", "rupii": "rupie"},
    "ru": {"процентов": "процента", "долларов": "доллара", "фунтов": "фунта", "иен": "иены", "рублей": "рубля", "рупий": "рупии"},
}
"""What stands after two, three and four where it differs from what stands after five."""

TIMES = {
    "en": ("{} o'clock", "{} {}"), "de": ("{} Uhr", "{} Uhr {}"), "es": ("{} en punto", "{} y {}"), "fr": ("{} heures", "{} heures {}"),
    "hi": ("{} बजे", "{} बजकर {} मिनट"), "it": ("{} in punto", "{} e {}"), "ja": ("{}時", "{}時{}分"), "ko": ("{} 시", "{} 시 {} 분"),
    "pl": ("{} zero zero", "{} {}"), "pt": ("{} horas", "{} e {}"), "ru": ("{} ноль ноль", "{} {}"), "tr": ("{}", "{} {}"), "zh": ("{}点", "{}点{}分"),
}
"""A time of day on the hour, and between hours."""

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
}
"""Months beside which a day is said as an ordinal."""

POLISH_ORDINALS = (
    "pierwszego", "drugiego", "trzeciego", "czwartego", "piątego", "szóstego", "siódmego", "ósmego", "dziewiątego", "dziesiątego",
    "jedenastego", "dwunastego", "trzynastego", "czternastego", "piętnastego", "szesnastego", "siedemnastego", "osiemnastego",
    "dziewiętnastego",
)
POLISH_TENS = (
    "dwudziestego", "trzydziestego", "czterdziestego", "pięćdziesiątego", "sześćdziesiątego", "siedemdziesiątego", "osiemdziesiątego",
    "dziewięćdziesiątego",
)
"""First to nineteenth, and the tens, in the genitive, as dates have them: unicode-rbnf knows no Polish ordinals."""
