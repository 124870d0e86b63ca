"""The phones that the teacher speaks with, in the order in which tokens number them."""

from __future__ import annotations

import numpy as np

VOICED = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "d", "dh", "eh", "el", "em", "en", "er", "ey", "g", "ih", "iy", "jh", "l", "m",
    "n", "ng", "ow", "oy", "r", "uh", "uw", "v", "w", "y", "z", "zh",
)
UNVOICED = ("pau", "ch", "f", "hh", "k", "p", "s", "sh", "t", "th")
PHONES = VOICED + UNVOICED
PAUSE = PHONES.index("pau")
_INDEX = {name: index for index, name in enumerate(PHONES)}


def parse_durations(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Read flite's `-psdur` output, `phone:end …`; return phone indices (P,) uint8 and end times in seconds (P,) float32.

    Raises: ValueError for a phone that the tokens have no number for, or for nothing at all.
    """
    pairs = [item.rsplit(":", 1) for item in text.split()]
    unknown = sorted({name for name, _ in pairs} - _INDEX.keys())
    if unknown or not pairs:
        raise ValueError(f"the teacher spoke unknown phones {unknown}" if unknown else "the teacher spoke no phones")
    return np.array([_INDEX[name] for name, _ in pairs], np.uint8), np.array([float(end) for _, end in pairs], np.float32)
