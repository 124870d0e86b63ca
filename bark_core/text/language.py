"""Which of Bark's 13 languages a text is in, from its script and its commonest words. A guess, good enough for full stops and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bark_core.text.spans import TAG

COMMON_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "I the and of to is was in that it he she they his her you are not with for this have had but on at what who we were be there",
        "de": "der die das und ist ich nicht ein eine er sie es wir mit den dem zu von auf war auch wie im am dann dort aber hier sind hat was wer wo so",
        "es": "el la los las de que y en un una es no se por con para su lo como más pero fue qué está del al yo muy sí son era desde mucho",
        "fr": "le la les de des et est un une il elle je ne pas que qui dans en ce sur pour du au avec nous vous était c'est mais où son sa ils",
        "it": "il lo la gli le di che e è un una non per con sono si mi ma era del della nel al da ho ha come più questo dove anche sei",
        "pl": "i w nie na się jest to że z do jak ale był była co po tak od dla gdzie już tu jego ich przez przy oraz czy on ona",
        "pt": "o a os as de que e é um uma não em se por com para do da no na mas foi como mais eu ele ela está são você isso muito",
        "tr": "ve bir bu da de için ne çok ben sen o ama var yok değil mi gibi daha sonra ile olarak her en kadar oldu burada herkes",
    }.items()
}
"""The commonest words of the languages in Latin letters, by which they are told apart."""

ABBREVIATIONS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "dr. mr. mrs. ms. prof. st. vs. e.g. i.e. cf. gen. lt. sgt. capt. rev. hon. no.# nos.# fig.# figs.# p.# pp.# vol.# ch.# art.# sec.#",
        "de": "dr. hr. fr. frl. prof. st. z. z.b. d. d.h. u. u.a. bzw. ca. vgl. geb. gest. abs. ggf. sog. inkl. evtl. dipl. ing. nr.# str.# "
        "bd.# art.# s.# jh.#",
        "es": "sr. sra. srta. dr. dra. d. d.ª dña. ud. uds. av. avda. ej. prof. gral. ee. pág.# págs.# núm.# n.# vol.# cap.# art.# p.# fig.# tel.#",
        "fr": "m. mm. mme. mlle. dr. me. pr. st. ste. av. bd. cf. env. j. p.# pp.# fig.# vol.# chap.# art.# n.# no.#",
        "hi": "डॉ. श्री. श्रीमती. प्रो. सु. कु. मो. पं. रु. नं.",
        "it": "sig. sigg. sig.ra sig.na dott. dott.ssa dr. prof. prof.ssa ing. avv. on. v. es. pag.# pagg.# p.# fig.# vol.# cap.# art.# n.# s.#",
        "pl": "dr. mgr. inż. prof. hab. ul. al. pl. np. tzn. tzw. tj. m.in. św. im. ks. gen. płk. os. pow. woj. por. zob. ok.# nr.# str.# s.# art.#",
        "pt": "sr. sra. srta. dr. dra. d. av. pça. r. prof. profa. eng. gen. ex. n.# n.º# pág.# págs.# p.# fig.# vol.# cap.# art.# tel.#",
        "ru": "ул. пр. просп. пл. пер. им. т. н. проф. акад. доц. см. ср. св. д.# кв.# стр.# с.# гл.# рис.# ок.#",
        "tr": "dr. prof. doç. av. sn. cad. cd. sok. sk. mah. apt. bkz. örn. st. alb. gen. no.# s.# yy.#",
    }.items()
}
"""Abbreviations, lower-case, after which the same sentence goes on; behind # those after which it does where a number follows."""

CONJUNCTIONS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "and but or nor because which who whom that when while where if though although unless until before after so than as",
        "de": "und oder aber sondern denn weil dass daß wenn als ob obwohl während bevor nachdem damit sowie",
        "es": "y e o u pero sino porque que cuando donde si aunque mientras como quien cual para pues",
        "fr": "et ou mais car donc parce que qui dont où quand lorsque si comme tandis puis afin pour",
        "hi": "और या लेकिन पर क्योंकि कि जो जब अगर यदि तो ताकि जबकि तथा एवं मगर",
        "it": "e ed o ma perché che quando dove se mentre come chi cui oppure però quindi anche",
        "ko": "그리고 그러나 하지만 그래서 또는 및 그런데 왜냐하면",
        "pl": "i oraz lub albo ale lecz bo ponieważ że który która które gdy kiedy jeśli gdzie aby żeby niż a",
        "pt": "e ou mas porque que quando onde se embora enquanto como quem qual pois porém para",
        "ru": "и или но а потому что который которая которое которые когда если где чтобы хотя пока как чем",
        "tr": "ve veya ya ama fakat çünkü ki eğer ancak ile hem ise yani",
    }.items()
}
"""Words before which a clause begins, so that a breath there does little harm."""

_LETTERS = {"de": "ßäöü", "es": "ñ¿¡", "fr": "çœêîôûëï", "it": "ìò", "pl": "łąęśżźćń", "pt": "ãõ", "tr": "ğış"}
"""Letters that few of the others have."""

_SCRIPTS = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
)
_LATIN = re.compile("[a-zA-Z\u00c0-\u024f]")
_MAX_LOOKED_AT = 4000
"""Characters that a guess looks at."""


def guess_language(text: str) -> str:
    """Return the likeliest of Bark's languages; "en" where nothing speaks for another."""
    text = text[:_MAX_LOOKED_AT]
    latin = len(_LATIN.findall(text))
    counts = {language: len(pattern.findall(text)) for language, pattern in _SCRIPTS}
    # Japanese is written with both: a tenth of kana is enough, while one の does not make a Chinese text Japanese.
    if counts["ja"] and counts["ja"] * 10 > counts["zh"]:
        counts["ja"] += counts["zh"]
    script = max(counts, key=lambda language: counts[language])
    # A word or two in Latin letters, such as a name, is common in the other scripts, whose words are shorter in characters.
    if counts[script] * 3 > latin:
        return script
    # A capital I is English, a small one Polish.
    words = [word if word == "I" else word.lower() for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", TAG.sub(" ", text))]
    return max(COMMON_WORDS, key=lambda language: (_score(language, words, text), language == "en"))


def _score(language: str, words: Iterable[str], text: str) -> int:
    common = COMMON_WORDS[language]
    return sum(word in common for word in words) + 2 * sum(text.count(letter) for letter in _LETTERS.get(language, ""))
