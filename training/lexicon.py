"""Step 2: how the teacher says words → `reading.json`, what the demo's reader brings: English spelling has to be known word by word.

A small model knows the exceptions badly, and would spend most of its weights on them. So the common words come to it in the
teacher's own phones, one sign each; the rest come in letters, as before. The words are those of an installed word list (Debian's
`wamerican`) and of WordNet; their phones are looked up in the lexicon that flite itself brings (`libflite_cmulex`).
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bark_core.text.wordpiece import READING
from training.vocabulary import Vocabulary
from training.workspace import Workspace, argument_parser, open_workspace

SIGNS = {
    "aa1": "ɑ", "aa0": "ᴀ", "ae1": "ᴂ", "ae0": "ᴁ", "ah1": "ʌ", "ah0": "ᴧ", "ao1": "ɔ", "ao0": "ᴐ", "aw1": "ꜷ", "aw0": "ꜵ", "ax1": "ɜ", "ax0": "ə",
    "ay1": "ꜽ", "ay0": "ꜹ", "eh1": "ɛ", "eh0": "ɞ", "er1": "ɝ", "er0": "ɚ", "ey1": "ᴇ", "ey0": "ⱻ", "ih1": "ɪ", "ih0": "ᵻ", "iy1": "ᴉ", "iy0": "ɨ",
    "ow1": "ᴏ", "ow0": "ᴑ", "oy1": "ᴔ", "oy0": "ɶ", "uh1": "ʊ", "uh0": "ᵿ", "uw1": "ᴜ", "uw0": "ʉ",
    "b": "ʙ", "ch": "ʧ", "d": "ᴅ", "dh": "ᴆ", "f": "ꜰ", "g": "ɢ", "hh": "ʜ", "jh": "ʤ", "k": "ᴋ", "l": "ʟ", "m": "ᴍ", "n": "ɴ", "ng": "ŋ", "p": "ᴘ",
    "r": "ʀ", "s": "ꜱ", "sh": "ʃ", "t": "ᴛ", "th": "ᵺ", "v": "ᴠ", "w": "ᴡ", "y": "ʏ", "z": "ᴢ", "zh": "ʒ",
}  # fmt: skip
"""What each phone is written as: letters that phoneticians use and plain text does not. Vowels by stress, which says how long and how high they are."""

WORD_LIST = Path("/usr/share/dict/american-english")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_SMOKE = {"the": "ᴆə", "and": "ᴂɴᴅ", "of": "ʌᴠ", "a": "ə"}

Look = Callable[[str], list[str]]


def open_flite() -> Look:
    """Return what says words as flite does, by its lexicon or else by its rules: phones, vowels with their stress. Raises: SystemExit without flite."""
    try:
        flite, words = (ctypes.CDLL(f"lib{name}.so.1", mode=ctypes.RTLD_GLOBAL) for name in ("flite", "flite_cmulex"))
    except OSError as error:
        raise SystemExit("flite is missing; install it (Debian: apt-get install flite).") from error
    for function in (words.cmu_lex_init, flite.lex_lookup, flite.val_car, flite.val_cdr):
        function.restype = ctypes.c_void_p
    flite.lex_lookup.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    flite.val_string.restype = ctypes.c_char_p
    for function in (flite.val_car, flite.val_cdr, flite.val_string):
        function.argtypes = [ctypes.c_void_p]
    lexicon = words.cmu_lex_init()

    def look(word: str) -> list[str]:
        item, phones = flite.lex_lookup(lexicon, word.encode(), None, None), list[str]()
        while item:
            phones.append(flite.val_string(flite.val_car(item)).decode())
            item = flite.val_cdr(item)
        return phones

    return look


def write_signs(phones: Iterable[str]) -> str:
    """Return phones as signs; a vowel of unknown stress has none."""
    return "".join(SIGNS[phone if phone in SIGNS else f"{phone}0"] for phone in phones)


def say_contraction(word: str) -> list[str]:
    """Return how flite says a word with an apostrophe, which it takes apart before it looks into its lexicon; the first vowel is stressed."""
    done = subprocess.run(["flite", "-voice", "rms", "-psdur", "-o", "/dev/null", "-t", f" {word}"], capture_output=True, text=True, check=True)
    phones = [item.rsplit(":", 1)[0] for item in done.stdout.split()]
    spoken = [phone for phone in phones if phone != "pau"]
    first = next((i for i, phone in enumerate(spoken) if f"{phone}1" in SIGNS), -1)
    return [f"{phone}1" if i == first else phone for i, phone in enumerate(spoken)]


def read_words() -> list[str]:
    """Return the words to look up, lower case, sorted. A possessive is that of its word. Raises: SystemExit without the list."""
    if not WORD_LIST.exists():
        raise SystemExit(f"{WORD_LIST} is missing; install it (Debian: apt-get install wamerican).")
    listed = WORD_LIST.read_text(encoding="utf-8").lower().split()
    return sorted({word for word in [*listed, *Vocabulary().list_words()] if _WORD.fullmatch(word) and not word.endswith("'s")})


def make_lexicon() -> dict[str, str]:
    """Return words and their signs."""
    look = open_flite()
    return {word: write_signs(say_contraction(word) if "'" in word else look(word)) for word in read_words()}


def write_reading(path: Path, lexicon: Mapping[str, str]) -> None:
    """Write the file that tells bark_core how to read for a checkpoint."""
    content = json.dumps({"reader": "english", "respellings": lexicon}, indent=0, sort_keys=True, ensure_ascii=False)
    path.write_text(f"{content}\n", encoding="utf-8")


def write_lexicon(workspace: Workspace) -> None:
    """Write the reader's words; a smoke run has four."""
    lexicon = _SMOKE if workspace.smoke else make_lexicon()
    write_reading(workspace.path(READING), lexicon)
    print(f"{len(lexicon)} words, {sum(map(len, lexicon.values())) / len(lexicon):.1f} phones on average")


def load_lexicon(workspace: Workspace) -> dict[str, str]:
    """Return words and their signs, as this step has written them."""
    return json.loads(workspace.need(READING, step="lexicon").read_text(encoding="utf-8"))["respellings"]


if __name__ == "__main__":
    write_lexicon(open_workspace(argument_parser("Look up how the teacher says common words.").parse_args()))
