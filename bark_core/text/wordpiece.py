"""Text → token ids: BERT WordPiece through the `tokenizers` package. Reads the tokenizer file it is given and nothing else."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from bark_core.errors import CheckpointError, InvalidInput

_BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class TextEncoder:
    """Turns text into WordPiece ids. No [CLS] or [SEP] is added; a literal one in the text becomes its own id."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> TextEncoder:
        """Load a `tokenizer.json`, or a `vocab.txt` of the cased multilingual BERT. Raises: CheckpointError if it is neither."""
        try:
            tokenizer = _from_vocabulary(path) if path.suffix == ".txt" else Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"The tokenizer file {path} cannot be read: {error}. Fetch the checkpoint again.") from error
        return cls(tokenizer, max_tokens)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. Raises: InvalidInput if it is empty or longer than `max_tokens` ids; nothing is ever cut."""
        ids = self.tokenize(text)
        if len(ids) > self.max_tokens:
            raise InvalidInput(
                f"The text is {len(ids)} tokens long; at most {self.max_tokens} fit in one utterance. "
                "Shorten it or split it into sentences and speak them one by one."
            )
        return ids

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text of any length. Raises: InvalidInput if nothing is left of it."""
        if not isinstance(text, str):
            raise InvalidInput(f"The text was a {type(text).__name__}; give a string.")
        # Quirk: the original's BERT tokenizer composed characters first (NFC), which `tokenizers` does not.
        clean = unicodedata.normalize("NFC", " ".join(text.split()))
        try:
            clean.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput("The text holds a lone surrogate, which is no character; give valid Unicode.") from error
        ids = self._tokenizer.encode(clean, add_special_tokens=False).ids
        if not ids:
            raise InvalidInput("The text is empty; give at least one word to speak.")
        return ids


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
