"""Write the variants of predict.py into predictors/: Cog reads inputs from one file alone, so each variant holds them all.

    python scripts/predictors.py [--check]

Each has a configuration of its own beside it: `cog build -f predictors/streaming.yaml`. With --check nothing is written; the exit
code is 1 where a variant is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "predictors"

IMPORTS = "from cog import BasePredictor, File, Input, Path\n"
ORIGIN = "The variants in\npredictors/ are written from it by scripts/predictors.py."
WHOLE = """    def predict(
"""
SERVICE = "from bark_core.speech.service import Service\n"
LOAD = "        self.service = Service.load()\n"
LAST_LINE = """        return Path(self.service.speak(self.record_metric, **inputs))
"""

VARIANTS: dict[str, list[tuple[str, str]]] = {
    "streaming": [
        ("Bark as Cog serves it: inputs → options → Bark → the path of a file.", "Bark as Cog streams it: inputs → options → Bark → a file a piece."),
        (IMPORTS, "from collections.abc import Iterator\n\nimport cog\n" + IMPORTS),
        (ORIGIN, "Written from predict.py by\nscripts/predictors.py: change that, and run this."),
        (WHOLE, "    @cog.streaming\n" + WHOLE),
        ("    ) -> Path:\n", "    ) -> Iterator[Path]:\n"),
        (
            "Speak, and return the path of a file. A WAV carries its own tokens and settings.",
            "Speak, and yield the path of a file for each piece of the speech as it comes; each plays alone.",
        ),
        (LAST_LINE, "        for piece in self.service.stream(self.record_metric, **inputs):\n            yield Path(piece)\n"),
    ],
    "concurrent": [
        ("Bark as Cog serves it: inputs", "Bark as Cog serves it to many at once: inputs"),
        (IMPORTS, "import cog\n" + IMPORTS),
        (ORIGIN, "Written from predict.py by\nscripts/predictors.py: change that, and run this."),
        (SERVICE, "from bark_core.speech.concurrent import ConcurrentService\n"),
        (LOAD, "        self.service = ConcurrentService.load()\n"),
        (WHOLE, "    @cog.concurrent(max=8)\n    async def predict(\n"),
        (LAST_LINE, "        return Path(await self.service.speak_beside(self.record_metric, **inputs))\n"),
    ],
}
"""By name: what stands in predict.py, once, and what stands in its place."""


def write_variant(name: str) -> str:
    """Return the source of a variant. Raises: ValueError where predict.py has not, or has twice, what it replaces."""
    source = (ROOT / "predict.py").read_text(encoding="utf-8")
    for old, new in VARIANTS[name]:
        if source.count(old) != 1:
            raise ValueError(f"predict.py has {source.count(old)} places that read {old!r}; scripts/predictors.py needs one for {name}.")
        source = source.replace(old, new)
    return source


def main() -> int:
    """Write or check all variants; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the variants of predict.py.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a variant is not current")
    check = parser.parse_args().check
    stale = []
    for name in VARIANTS:
        path, source = FOLDER / f"{name}.py", write_variant(name)
        if path.is_file() and path.read_text(encoding="utf-8") == source:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(source, encoding="utf-8")
            print(path)
    if check and stale:
        print(f"Not current: {', '.join(stale)}. Run python scripts/predictors.py.", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
