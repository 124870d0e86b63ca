"""A sentence → the pieces that may not be cut, and how much a cut after each would hurt. Knows nothing of how much fits."""

from __future__ import annotations

import re
from enum import Enum
from itertools import pairwise

from bark_core.text.characters import WORD_CHARACTER
from bark_core.text.language import ABBREVIATIONS, CONJUNCTIONS
from bark_core.text.spans import Spans


class Cut(Enum):
    """What a cut would part; the value is how much that hurts, where one utterance more than needed is 1."""

    SENTENCE = 0.0
    CLAUSE = 0.3
    PHRASE = 1.5
    WORD = 4.0
    CLOSE = 6.0
    """Words that belong together: the and house, 5 and kg."""


_HAN = "\u3400-\u9fff\uf900-\ufaff\u3005"
_HIRAGANA = "\u3041-\u309f"
_KATAKANA = "\u30a0-\u30ff\uff66-\uff9f"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese, Khmer: scripts without spaces that Bark does not know; their texts are cut all the same, not refused."""
_WIDE_END = "、。，．！？；：…」』）】〉》”’"
_WIDE_OPEN = "「『（【〈《“‘"
_NEVER_FIRST = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーんンゝゞヽヾ々"

_SPACE = re.compile(r"\s+")
_UNSPACED_POSITION = re.compile(
    rf"(?<=[{_HAN}{_HIRAGANA}])(?=[{_HAN}{_HIRAGANA}{_KATAKANA}{_WIDE_OPEN}A-Za-z0-9])(?![{_NEVER_FIRST}])"
    rf"|(?<=[{_KATAKANA}])(?=[{_HAN}{_HIRAGANA}{_WIDE_OPEN}])(?![{_NEVER_FIRST}])"
    rf"|(?<=[A-Za-z0-9])(?=[{_HAN}{_HIRAGANA}{_KATAKANA}{_WIDE_OPEN}])(?![{_NEVER_FIRST}])"
    rf"|(?<=[{_WIDE_END}])(?=[^\s{_WIDE_END}.,!?;:\"'»)\]])"
    rf"|(?<=[{_UNSPACED}])(?=[{_UNSPACED}])"
)
_CLOSERS = "\"'”’»)]」』）】》"
_ENDERS = ".!?…。！？।॥"
_BREATHS = ",;:、，；：—–"
_AND_SO_ON = re.compile(r"(?:etc|ecc|usw|itd|itp|vb|vs)\.|и т\.")
_PARTICLES = "的了着过過吗嗎呢吧啊は、が、を、に、で、と、も、へ、て"


def cut_pieces(sentence: str, language: str) -> list[tuple[str, Cut]]:
    """Return the pieces of a sentence, which join to it exactly, each with what a cut after it would part."""
    spans = Spans(sentence)
    positions = {found.end() for found in _SPACE.finditer(sentence)} | {found.start() for found in _UNSPACED_POSITION.finditer(sentence)}
    ends = [position for position in sorted(positions - {0, len(sentence)}) if not spans.hold(position)]
    bounds = [0, *ends, len(sentence)]
    pieces = [sentence[begin:end] for begin, end in pairwise(bounds)]
    cuts = [_judge(left, right, language) for left, right in pairwise(pieces)]
    return list(zip(pieces, [*cuts, Cut.SENTENCE], strict=True))


def _judge(left: str, right: str, language: str) -> Cut:
    word = left.rstrip()
    bare = word.rstrip(_CLOSERS)
    last, first = bare[-1:], right[:1]
    if _AND_SO_ON.match(right):
        return Cut.CLOSE
    if last and last in _ENDERS:
        return _judge_point(bare, right, language)
    if (last and last in _BREATHS) or bare != word or first in _WIDE_OPEN + "([{«„—–":
        return Cut.CLAUSE
    if "\n" in left[len(word) :] and not first.islower():
        return Cut.CLAUSE
    if left == word:  # no white space: a script without it
        return _judge_unspaced(last, first)
    begins = re.match(rf"{WORD_CHARACTER}+", right)
    if begins and begins[0].lower() in CONJUNCTIONS.get(language, frozenset[str]()):
        return Cut.PHRASE
    if last.isdigit() or first.isdigit() or not begins or len(re.sub(r"\W", "", word)) <= 3:
        return Cut.CLOSE
    return Cut.WORD


def _judge_point(word: str, right: str, language: str) -> Cut:
    """Judge a cut after a full stop or its like that ended no sentence: one inside a quotation, or an abbreviation."""
    token = word.lower()
    known = ABBREVIATIONS.get(language, frozenset[str]())
    is_abbreviation = word.endswith(".") and not word.endswith("..") and (token in known or token + "#" in known or bool(re.search(r"(?:^|\W)\w\.$", token)))
    if is_abbreviation or (word.endswith(".") and word[:-1].isdigit()):
        return Cut.CLOSE
    begins = re.search(r"[^\W_]", right)
    if begins and begins[0].islower():
        return Cut.WORD if re.search(r"[^.]\.$", word) else Cut.CLAUSE  # etc. and the like; Stop! he cried
    return Cut.SENTENCE


def _judge_unspaced(last: str, first: str) -> Cut:
    if re.match(f"[{_HIRAGANA}]", last) and re.match(f"[{_HAN}{_KATAKANA}]", first):
        return Cut.PHRASE
    if last in _PARTICLES and re.match(f"[{_HAN}]", first):
        return Cut.PHRASE
    return Cut.WORD if re.match(f"[{_HAN}]", last) and re.match(f"[{_HAN}]", first) else Cut.CLOSE
