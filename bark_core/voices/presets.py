"""The presets: the names that Suno gave, those that a folder has, and how a caller's spelling is matched to them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from bark_core.errors import InvalidInput

LANGUAGES = ("en", "de", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh")
"""The languages that Bark was trained to speak."""

PRESETS = (
    "announcer",
    *(f"speaker_{n}" for n in range(10)),
    *(f"{prefix}{language}_speaker_{n}" for prefix in ("v2/", "") for language in LANGUAGES for n in range(10)),
)
"""The names of Suno's 271 presets. Those under v2/ are the better ones."""


def list_voices(folder: Path) -> tuple[str, ...]:
    """Return the names of the presets in a `voices/` folder, with forward slashes, in order."""
    return tuple(sorted(found.relative_to(folder).with_suffix("").as_posix() for found in folder.rglob("*.npz")))


ELSE = "A path to an .npz or to a WAV of ours works, too."
"""What a library call takes beside names."""


def find_preset(name: str, present: Sequence[str], owner: str, otherwise: str = ELSE) -> str:
    """Return `name` as `present` spells it, either slash.

    Raises: InvalidInput that names the closest ones that `owner` has, and says what else can be given: `otherwise`, a sentence or nothing.
    """
    wanted = normalise_name(name)
    if wanted in present:
        return wanted
    if not present:
        raise InvalidInput(f"The voice {name!r} was asked for, but {owner} has no presets; give no voice. {otherwise}".rstrip())
    close = difflib.get_close_matches(wanted, present, n=3, cutoff=0.5) or list(present[:3])
    what = f"The voice {name!r} is one of Suno's presets, which {owner} does not have" if wanted in PRESETS else f"{owner} has no voice {name!r}"
    among = f" of its {len(present)}" if len(present) > len(close) else ""
    raise InvalidInput(f"{what[0].upper()}{what[1:]}; the closest{among}: {', '.join(close)}. {otherwise}".rstrip())


def normalise_name(name: str) -> str:
    """Return a preset's name as folders have it, with forward slashes."""
    return name.strip().replace("\\", "/")


def tell_language(name: object) -> str | None:
    """Return the language of one of Suno's presets by its name, as "de" for v2/de_speaker_3; None for any other voice."""
    if not isinstance(name, str) or normalise_name(name) not in PRESETS:
        return None
    language = normalise_name(name).removeprefix("v2/").partition("_")[0]
    return language if language in LANGUAGES else None
