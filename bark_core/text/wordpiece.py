"""Text → token ids: BERT WordPiece through the `tokenizers` package. Reads the tokenizer file it is given, and `reading.json` beside it if there is one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer, decoders, models, normalizers, pre_tokenizers

from bark_core.errors import CheckpointError, InvalidInput
from bark_core.filekinds import describe_file
from bark_core.text.characters import check_characters
from bark_core.text.english import EnglishReader

_BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
READING = "reading.json"
"""The file beside a tokenizer's that says who reads for it: {"reader": "english", "respellings": {word: spelling}}."""

_MAX_NAMED, _MAX_SHOWN = 5, 30
"""So many words, and so many characters of each, stand in a message."""


class TextEncoder:
    """Turns text into WordPiece ids. No [CLS] or [SEP] is added; a literal one in the text becomes its own id."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, read: Callable[[str], str] | None = None) -> None:
        """`read` makes of a text what the tokenizer is given; None: the text itself, as the released models have it."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        unknown = getattr(tokenizer.model, "unk_token", None)
        self._unknown_id = None if unknown is None else tokenizer.token_to_id(unknown)
        self.max_tokens = max_tokens
        self._make_plain = read

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> TextEncoder:
        """Load a `tokenizer.json`, or a `vocab.txt` of the cased multilingual BERT, and what reads for it. Raises: CheckpointError if it is neither."""
        try:
            tokenizer = _from_vocabulary(path) if path.suffix == ".txt" else Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            if (stand_in := describe_file(path)) is not None:
                raise CheckpointError(f"The tokenizer file {path} is {stand_in}.") from error
            raise CheckpointError(f"The tokenizer file {path} cannot be read: {error}. Fetch the checkpoint again.") from error
        reading = path.with_name(READING)
        return cls(tokenizer, max_tokens, _load_reader(reading) if reading.is_file() else None)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; nothing is ever cut.

        Raises: InvalidInput if it is empty, longer than `max_tokens` ids, or holds no word that the tokenizer knows.
        """
        clean, encoding = self._read(text)
        ids = encoding.ids
        if len(ids) > self.max_tokens:
            raise InvalidInput(
                f"The text is {len(ids)} tokens long; at most {self.max_tokens} fit in one utterance. "
                "Shorten it or split it into sentences and speak them one by one."
            )
        unknown = self._find_unknown(clean, encoding)
        if unknown and all(_is_punctuation(clean[start:end]) for start, end in encoding.offsets if (start, end) not in unknown):
            raise InvalidInput(f"The model's tokenizer knows no word of the text ({_name(clean, unknown)}); give words in letters that it knows.")
        return ids

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text of any length. Raises: InvalidInput if nothing is left of it."""
        return self._read(text)[1].ids

    def note_unknown(self, text: str) -> list[str]:
        """Return a note that names the words of a text that the tokenizer does not know, or nothing.

        Quirk: the original reads [UNK] for such a word, all of it, though only one character may be strange: "it😀" is lost.
        """
        clean, encoding = self._read(text)
        unknown = self._find_unknown(clean, encoding)
        return [f"Not known to the model's tokenizer, and so not spoken: {_name(clean, unknown)}. Write that in other words or letters."] if unknown else []

    def _read(self, text: str) -> tuple[str, Encoding]:
        """Return the text as the tokenizer is given it, and what it makes of it."""
        check_characters(text)
        # Quirk: the original's BERT tokenizer composed characters first (NFC), which `tokenizers` does not.
        clean = unicodedata.normalize("NFC", " ".join(text.split()))
        if self._make_plain is not None:
            clean = self._make_plain(clean)
        encoding = self._tokenizer.encode(clean, add_special_tokens=False)
        if not encoding.ids:
            raise InvalidInput("The text is empty; give at least one word to speak.")
        return clean, encoding

    def _find_unknown(self, clean: str, encoding: Encoding) -> list[tuple[int, int]]:
        """Return where the words that became [UNK] begin and end in the text; a literal [UNK] that is a token of its own is none."""
        return [
            (start, end)
            for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if index == self._unknown_id and clean[start:end] != self._tokenizer.id_to_token(index)
        ]


def _load_reader(path: Path) -> Callable[[str], str]:
    """Return what `reading.json` asks for. Raises: CheckpointError where it asks for nothing that is known."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        respellings = values["respellings"]
        is_known = values["reader"] == "english" and all(isinstance(each, str) for pair in respellings.items() for each in pair)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}. Fetch the checkpoint again, or take the file away to have texts read as they are.") from error
    if not is_known:
        raise CheckpointError(f'{path} asks for a reader that this version does not have; it knows "english", with respellings of words by words.')
    return EnglishReader(respellings).read


def _name(text: str, places: Sequence[tuple[int, int]]) -> str:
    """Return the words at some places of a text, quoted, each once; what stands side by side, as Chinese does, is one."""
    words: list[tuple[int, int]] = []
    for start, end in places:
        while end < len(text) and unicodedata.category(text[end]).startswith("M"):  # a mark that the normalizer took off the word
            end += 1
        if words and words[-1][1] == start:
            start, _ = words.pop()
        words.append((start, end))
    found = list(dict.fromkeys(text[start:end] for start, end in words))
    shown = [repr(word) if len(word) <= _MAX_SHOWN else f"{word[:_MAX_SHOWN] + '…'!r} ({len(word)} letters)" for word in found[:_MAX_NAMED]]
    return ", ".join(shown) + (f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else "")


def _is_punctuation(piece: str) -> bool:
    """Tell whether a piece is none but what BERT splits words at, which says nothing by itself. ♪ does."""
    return all(unicodedata.category(letter).startswith("P") or letter in "$+<=>^`|~" for letter in piece)


def _from_vocabulary(path: Path) -> Tokenizer:
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()
    vocabulary = {token.rstrip("\r"): index for index, token in enumerate(lines)}
    if "[UNK]" not in vocabulary:
        raise ValueError("it has no [UNK] entry")
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([token for token in _BERT_SPECIAL_TOKENS if token in vocabulary])
    return tokenizer
