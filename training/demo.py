"""The demo checkpoint's sizes, vocabulary ids and spelling: Bark's architecture in small."""

from __future__ import annotations

import string

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bark_core.config import BarkConfig, CodecConfig, FineConfig, GPTConfig
from training.lexicon import SIGNS
from training.phonetokens import N_TOKENS

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TEXT_ROOM = 256
_TEXT_OFFSET = N_TOKENS + 8


def make_config(smoke: bool = False) -> BarkConfig:
    """Return the demo's configuration; a smoke run's is the same with less width and depth.

    Windows are shorter than the released models', since nothing here looks further: the coarse stage reads 1.6 s
    of codes and 0.9 s of tokens ahead, and positions cost time.
    """
    width, deep, shallow = (32, 1, 1) if smoke else (256, 5, 4)
    coarse_end = N_TOKENS + 2 * 1024
    return BarkConfig(
        name="demo",
        semantic_vocab_size=N_TOKENS,
        text_encoding_offset=_TEXT_OFFSET,
        text_pad_token=_TEXT_OFFSET + _TEXT_ROOM,
        semantic_pad_token=N_TOKENS,
        semantic_infer_token=_TEXT_OFFSET + _TEXT_ROOM + 1,
        coarse_semantic_pad_token=coarse_end,
        coarse_infer_token=coarse_end + 2,
        max_text_tokens=176,
        coarse_semantic_window=120,
        max_coarse_history=240,
        fine_window=512,
        fine_history=256,
        utterance_s=5.0,  # it learned single sentences: of 231 words of tuning.txt, 38% are misheard in utterances of ten seconds, 15% in these
        semantic=GPTConfig(
            n_layer=deep,
            n_head=width // 64 or 1,
            n_embd=width,
            input_vocab_size=_TEXT_OFFSET + _TEXT_ROOM + 2,
            output_vocab_size=N_TOKENS + 1,
            block_size=176 + 1 + 768,
        ),
        coarse=GPTConfig(
            n_layer=shallow,
            n_head=width // 64 or 1,
            n_embd=width,
            input_vocab_size=coarse_end + 3,
            output_vocab_size=coarse_end,
            block_size=120 + 1 + 240 + 60,
        ),
        fine=FineConfig(
            n_layer=shallow - (not smoke), n_head=width // 64 or 1, n_embd=width, input_vocab_size=1025, output_vocab_size=1025, block_size=512
        ),
        codec=CodecConfig(n_filters=4 if smoke else 16),
    )


def list_pieces() -> dict[str, int]:
    """Return the tokenizer's pieces with their numbers, in the order of these: by itself it lists them in another order each time."""
    return dict(sorted(make_tokenizer().get_vocab().items(), key=lambda item: item[1]))


def bare_characters() -> np.ndarray:
    """Return, for each piece of text, the number of the piece that begins a word with the same character, (pieces,)."""
    vocabulary = list_pieces()
    bare = np.arange(_TEXT_ROOM)
    for piece, number in vocabulary.items():
        bare[number] = vocabulary.get(piece.removeprefix("##"), number) if piece != "##" else number
    return bare


def make_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer whose pieces are single characters ("h ##e ##l ##l ##o") and the signs of phones: words come in either."""
    characters = string.ascii_lowercase + string.digits + "".join(SIGNS.values())
    pieces = [*_SPECIAL, *characters, *(f"##{character}" for character in characters), *string.punctuation]
    assert len(pieces) <= _TEXT_ROOM
    tokenizer = Tokenizer(models.WordPiece(vocab={piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100))
    quotes = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."}
    tokenizer.normalizer = normalizers.Sequence(
        [
            *(normalizers.Replace(given, plain) for given, plain in quotes.items()),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
