"""Texts to ids as BERT's tokenizer gave them to the original, from either kind of file; nothing cut, nothing silent."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bark_core.errors import CheckpointError, InvalidInput
from bark_core.text.wordpiece import TextEncoder
from tests.oracle import import_transformers

WORDS = {
    "en": "Hello the quick brown fox jumps over a lazy dog don't isn't",
    "de": "Grüße Straße schön Übermut das Mädchen läuft Größe",
    "es": "¿Cómo estás? mañana niño corazón ¡Qué día!",
    "fr": "où est l'élève français garçon ça va œuvre",
    "hi": "नमस्ते दुनिया यह एक परीक्षण है क़ ज़",
    "it": "perché città così è più già",
    "ja": "こんにちは世界 テスト が ガ 東京",
    "ko": "안녕하세요 세계 한국어 테스트",
    "pl": "zażółć gęślą jaźń dzień dobry łódź",
    "pt": "coração não manhã você está à",
    "ru": "Привет мир Это проверка ёлка й",
    "tr": "İstanbul ığdır şöyle güneş çocuk",
    "zh": "你好世界 這是測試 龍 語言",
}
MARKS = [
    *("♪", "[laughs]", "[sighs]", "MAN:", "WOMAN:", "…", "—", "'", "!?", "[SEP]", "[MASK]", "#@$%^&*()", "10,000", "½", "ﬁ", "x" * 101),
    *("😀", "👩‍👩‍👧", "🇩🇪", "e\u0301", "n\u0303", "\u1112\u1161\u11ab", "½e\u0323\u0301", "\u0301", "Å", "\u2126"),
    *("\u200b", "\u00ad", "\ufeff", "\u0000", "\ufffd"),
]


def make_texts(n: int) -> list[str]:
    """Return varied texts in all languages with marks, tags, composed and decomposed letters, and odd spaces."""
    rng = random.Random(7)
    texts = []
    for _ in range(n):
        words = rng.choice(list(WORDS.values())).split()
        picked = [rng.choice(words) for _ in range(rng.randint(1, 8))] + rng.sample(MARKS, rng.randint(0, 3))
        rng.shuffle(picked)
        text = rng.choice([" ", "  ", "\n", "\t", "\u00a0", "\u3000", ""]).join(picked)
        texts.append(unicodedata.normalize(rng.choice(["NFC", "NFD", "NFC"]), text) if rng.random() < 0.5 else text)
    return [text for text in texts if text.strip()]


TEXTS = make_texts(1200)


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocab.txt with special tokens, all characters of the texts but some, and pieces of their words."""
    rng = random.Random(1)
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    everything = unicodedata.normalize("NFC", " ".join([*WORDS.values(), *MARKS, *TEXTS]))
    letters = sorted({letter for letter in everything if not letter.isspace()})
    for letter in letters:
        if rng.random() < 0.95:
            pieces.update({letter: None, f"##{letter}": None})
    for word in sorted(set(everything.split())):
        for _ in range(2):
            start = rng.randrange(len(word))
            piece = word[start : start + rng.randint(2, 5)]
            pieces["##" * (start > 0) + piece] = None
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def theirs(vocab_file: Path) -> Any:
    lines = vocab_file.read_text(encoding="utf-8").split("\n")[:-1]
    tokenizer = import_transformers().BertTokenizer
    return tokenizer(vocab={token: i for i, token in enumerate(lines)}, do_lower_case=False, strip_accents=False)


def test_a_thousand_texts_have_the_ids_of_transformers(vocab_file: Path, theirs: Any, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    encoders = [TextEncoder.load(vocab_file, 100_000), TextEncoder.load(tmp_path / "tokenizer.json", 100_000)]
    compared = 0
    for text in TEXTS:
        clean = unicodedata.normalize("NFC", " ".join(text.split()))
        wanted = theirs(clean, add_special_tokens=False)["input_ids"]
        if not wanted:
            continue
        assert [encoder.tokenize(text) for encoder in encoders] == [wanted, wanted], repr(text)
        compared += 1
    assert compared > 1000


def test_composed_and_decomposed_letters_are_the_same(vocab_file: Path) -> None:
    encoder = TextEncoder.load(vocab_file, 256)
    for words in WORDS.values():
        assert encoder.tokenize(unicodedata.normalize("NFD", words)) == encoder.tokenize(unicodedata.normalize("NFC", words))


def test_white_space_never_counts(vocab_file: Path) -> None:
    encoder = TextEncoder.load(vocab_file, 256)
    assert encoder.encode("  Hello \n\n the\tquick ") == encoder.encode("Hello the quick")


def test_long_texts_are_refused_with_their_length(vocab_file: Path) -> None:
    encoder = TextEncoder.load(vocab_file, 256)
    assert len(encoder.encode("a " * 256)) == 256
    with pytest.raises(InvalidInput, match="The text is 257 tokens long; at most 256 fit.*split it into sentences"):
        encoder.encode("a " * 257)
    assert len(encoder.tokenize("a " * 5000)) == 5000


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b", "\ufeff\u00ad"])
def test_nothing_to_say_is_refused(vocab_file: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="text is empty"):
        TextEncoder.load(vocab_file, 256).encode(text)


def test_what_is_no_text_is_refused(vocab_file: Path) -> None:
    encoder = TextEncoder.load(vocab_file, 256)
    with pytest.raises(InvalidInput, match="lone surrogate"):
        encoder.encode("a \ud800 b")
    with pytest.raises(InvalidInput, match="The text was a NoneType"):
        encoder.encode(None)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def latin_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocab.txt of BERT's kind that knows small Latin letters, digits, a note and some punctuation."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789♪é"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *".,!?[]"]
    path = tmp_path_factory.mktemp("latin") / "vocab.txt"
    path.write_text("\n".join(pieces), encoding="utf-8")
    return path


UNKNOWN = [
    ("i love it😀", ["'it😀'"]),
    ("it costs €5 at 20°c, ½ of it", ["'€5', '20°c', '½'"]),
    ("a ﬁne day", ["'ﬁne'"]),
    ("a " + "x" * 101, ["'" + "x" * 30 + "…' (101 letters)"]),
    ("so, Привет, мир! Привет", ["'Привет', 'мир'"]),
    ("你好 a 世界", ["'你好', '世界'"]),
    ("नमस्ते a", ["'नमस्ते'"]),
    ("cafe\u0301 ♪ la la ♪", []),
    ("a\u200b\u00ad b", []),
    ("[UNK] a", []),
    ("[UNK] Ä [UNK]", ["'Ä'"]),
    ("a 1€ 2€ 3€ 4€ 5€ 6€ 7€ 1€", ["'1€', '2€', '3€', '4€', '5€' and 2 more"]),
    ("...", []),
    ("♪ Ä", ["'Ä'"]),
]


@pytest.mark.parametrize(("text", "named"), UNKNOWN, ids=[text for text, _ in UNKNOWN])
def test_words_that_are_not_known_are_named(latin_file: Path, text: str, named: list[str]) -> None:
    encoder = TextEncoder.load(latin_file, 256)
    known = [f"Not known to the model's tokenizer, and so not spoken: {words}. Write that in other words or letters." for words in named]
    assert encoder.note_unknown(text) == known
    assert encoder.encode(text) == encoder.tokenize(text)


@pytest.mark.parametrize("text", ["Привет, мир!", "½", "20°C", "😀😀 😀!", "Ä.", "x" * 101])
def test_a_text_of_nothing_but_unknown_words_is_refused(latin_file: Path, text: str) -> None:
    encoder = TextEncoder.load(latin_file, 256)
    assert 1 in encoder.tokenize(text)
    with pytest.raises(InvalidInput, match=f"knows no word of the text \\('{text[:2]}"):
        encoder.encode(text)


@pytest.mark.parametrize(
    ("text", "named"), [("I love it😀.", "'😀'"), ("It’s “fine” — 20°C…", None), ("É, Æ", None), ("[UNK] ok", None), ("♪ Добро", "'♪', 'Добро'")]
)
def test_the_demo_names_what_it_cannot_say(demo_folder: Path, text: str, named: str | None) -> None:
    notes = TextEncoder.load(demo_folder / "tokenizer.json", 256).note_unknown(text)
    assert [note for note in notes if named and f"not spoken: {named}." in note] == notes and len(notes) == (named is not None)


@pytest.mark.parametrize(
    ("name", "content"), [("tokenizer.json", b"{"), ("tokenizer.json", b"\xff\xfe"), ("vocab.txt", b"no\nunknown\n"), ("vocab.txt", b"\xff\xff")]
)
def test_damaged_tokenizer_files_are_sentences(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read.*Fetch the checkpoint again"):
        TextEncoder.load(tmp_path / name, 256)
