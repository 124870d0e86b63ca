"""Other phones in place of some that a line has, in its text and its tokens alike: words that no language has.

A model that is given phones need not know words, but learns them all the same, and then says the word that it knows best instead of
the one that is written. Swapped phones keep it to what is written. How long they last and how high they are stays as it was.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from training.demo import list_pieces
from training.lexicon import SIGNS
from training.phones import PHONES, VOICED
from training.phonetokens import HEIGHTS, REMAINING, split_tokens

_SHARE = 0.25
"""How many of a line's phones are swapped."""


@cache
def _pieces() -> tuple[dict[int, int], dict[int, np.ndarray]]:
    """Return the phone of each piece that is a sign, and the pieces that may stand in its place: vowels of the same stress, or consonants as voiced as it."""
    kinds: dict[int, tuple[object, ...]] = {}
    phones: dict[int, int] = {}
    names = {sign: name for name, sign in SIGNS.items()}
    for piece, number in list_pieces().items():
        if name := names.get(piece.removeprefix("##")):
            phone = name.rstrip("01")
            phones[number] = PHONES.index(phone)
            kinds[number] = (piece.startswith("##"), name[len(phone) :], phone in VOICED)
    return phones, {number: np.array([other for other in kinds if kinds[other] == kind]) for number, kind in kinds.items()}


def swap_phones(rng: np.random.Generator, ids: list[int], semantic: np.ndarray, places: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Return a text's ids and tokens (S,) with some phones swapped in both; `places` (S,) tells which id each token comes from."""
    phone_of, others = _pieces()
    ids, semantic = list(ids), semantic.copy()
    spoken, heights, remaining = split_tokens(semantic)
    for at, number in enumerate(ids):
        if number not in phone_of or rng.random() >= _SHARE:
            continue
        mine = (places == at) & (spoken == phone_of[number])
        if not mine.any():
            continue
        ids[at] = int(rng.choice(others[number]))
        phone = phone_of[ids[at]]
        kinds = phone * HEIGHTS + heights[mine] if phone < len(VOICED) else np.full(mine.sum(), len(VOICED) * HEIGHTS + phone - len(VOICED))
        semantic[mine] = kinds * REMAINING + remaining[mine]
    return ids, semantic
