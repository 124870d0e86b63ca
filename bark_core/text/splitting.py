"""A passage → parts that each fit one utterance. Knows how much fits; not who speaks, nor what follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bark_core.errors import InvalidInput
from bark_core.text.characters import WIDE, WORD_CHARACTER, has_words, is_layout
from bark_core.text.duration import SUNG, estimate_seconds
from bark_core.text.language import guess_language
from bark_core.text.packing import Item, pack
from bark_core.text.pieces import Cut, cut_pieces
from bark_core.text.sentences import split_sentences
from bark_core.text.spans import LYRIC

TokenCounter = Callable[[str], int]
"""Returns how many tokens a text is, as `len(encoder.tokenize(text))`. Asked only of texts with a letter or a digit."""

REFERENCE = (
    "When the old man came to the house in the evening, there was no light in the window, and nobody said a word to him "
    "before he went back to the city where his mother still lived."
)
"""Speech of about ten seconds in common words."""


@dataclass(frozen=True)
class Limits:
    """How much one utterance may be. A text up to `whole_s` and `whole_tokens` is left whole; what is cut is cut into less.

    `utterance_tokens` None: as many as REFERENCE has: 40 in a vocabulary of whole words, as BERT's nearly is for it.
    """

    whole_s: float = 13.0
    whole_tokens: int = 256
    utterance_s: float = 10.0
    utterance_tokens: int | None = None


@dataclass(frozen=True)
class Part:
    """What one utterance will say, the line it begins in, and what the cut after it parts."""

    text: str
    line: int
    cut: Cut


class Splitter:
    """Splits passages. Counts each sentence once, and its words only where it does not fit: time is linear in the text."""

    def __init__(
        self, count_tokens: TokenCounter, limits: Limits, language: str | None = None, spell: Callable[[str, str], str] | None = None
    ) -> None:
        self.count_tokens = count_tokens
        self.limits = limits
        self.language = language
        self.spell = spell
        asked = count_tokens(REFERENCE) if limits.utterance_tokens is None else limits.utterance_tokens
        self.most_tokens = min(asked, limits.whole_tokens)

    def split(self, text: str, line: int = 1, first_s: float | None = None) -> list[Part]:
        """Return the parts of a text that begins in this line. Raises: InvalidInput for a word that no utterance can hold."""
        language = self.language or guess_language(text)
        text = self.spell(text, language) if self.spell else text
        items: list[Item] = []
        parts: list[Part] = []
        before_s, line_here = 0.0, line
        for sentence in split_sentences(text, language):
            item = self._measure(sentence, Cut.SENTENCE)
            is_long_first = first_s is not None and before_s < 2 * first_s and item.seconds > 1.5 * first_s
            items += self._open(item, language, line_here) if is_long_first or not self._fits(item) else [item]
            before_s += item.seconds
            line_here += item.n_lines
        for group in pack(items, self.limits.utterance_s, self.most_tokens, first_s):
            spoken = "".join(item.text for item in group)
            if not is_layout(spoken):
                parts.append(Part(_join_lines(spoken), line, group[-1].cut))
            line += sum(item.n_lines for item in group)
        return parts

    def _measure(self, text: str, cut: Cut, n_lines: int | None = None) -> Item:
        is_spoken = has_words(text)
        tokens = self.count_tokens(text) if is_spoken else len(text.split())
        return Item(text, estimate_seconds(text), tokens, cut, text.count("\n") if n_lines is None else n_lines, is_spoken)

    def _fits(self, item: Item) -> bool:
        return item.seconds <= self.limits.utterance_s and item.tokens <= self.most_tokens

    def _fits_whole(self, item: Item) -> bool:
        return item.seconds <= max(self.limits.whole_s, self.limits.utterance_s) and item.tokens <= self.limits.whole_tokens

    def _open(self, sentence: Item, language: str, line: int) -> Iterator[Item]:
        """Yield the pieces of a sentence."""
        for text, cut in cut_pieces(sentence.text, language):
            piece = self._measure(text, cut)
            lyric = LYRIC.search(text)
            if self._fits_whole(piece):
                yield piece
            elif lyric:
                yield from self._open_lyric(piece, lyric, language)
            else:
                yield from self._open_word(piece, line)
            line += piece.n_lines

    def _open_word(self, piece: Item, line: int) -> Iterator[Item]:
        """Yield the parts of what has no white space, such as a link, cut after its marks."""
        # A row of one mark says no more for being long.
        short = re.sub(r"([^\w\s])\1{9,}", r"\1\1\1", piece.text)
        texts = re.findall(rf"{WORD_CHARACTER}+(?:(?!{WORD_CHARACTER}).)*|(?:(?!{WORD_CHARACTER}).)+", short, re.DOTALL)
        for n, text in enumerate(texts):
            is_last = n + 1 == len(texts)
            part = self._measure(text, piece.cut if is_last else Cut.WORD, piece.n_lines if is_last else 0)
            if has_words(text) and not self._fits_whole(part):
                raise InvalidInput(
                    f"Line {line} has the word {text.strip()[:20] + '…'!r} of {len(text.strip())} characters, which is too long to be spoken at once; "
                    "put spaces into it, or leave it out."
                )
            yield part

    def _open_lyric(self, piece: Item, lyric: re.Match[str], language: str) -> Iterator[Item]:
        """Yield a lyric that is too long for one utterance as several, each between notes of its own, and what is around it."""
        before, after = piece.text[: lyric.start()], piece.text[lyric.end() :]
        if before:
            yield self._measure(before, Cut.CLAUSE)
        inner = [self._measure(text, cut) for text, cut in cut_pieces(lyric[0].strip("♪"), language)]
        for group in pack(inner, self.limits.utterance_s / SUNG, self.most_tokens - 2):
            sung = "".join(each.text for each in group).strip()
            yield self._measure(f"♪ {sung} ♪ ", Cut.CLAUSE, sum(each.n_lines for each in group))
        yield self._measure(after, piece.cut)


def _join_lines(text: str) -> str:
    """Return a text on one line, without spaces where a line of a script that has none ends."""
    return " ".join(re.sub(rf"(?<=[{WIDE}])\n(?=[{WIDE}])", "", text).split())
