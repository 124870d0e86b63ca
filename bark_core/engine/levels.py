"""Which instructions the kernel may be compiled for: levels of processors, from the plainest to this very one.

Knows names, compiler flags and what the system says of the processor; compiles and loads nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bark_core.errors import InvalidInput

LEVEL_VARIABLE = "BARK_KERNEL_LEVEL"
"""Names the level to compile for; native, which is this machine's own, where it is not set."""

NATIVE = "native"


@dataclass(frozen=True)
class Level:
    """A level by its name, the compiler's flags for it, and the instructions that it needs, as /proc/cpuinfo calls them."""

    name: str
    flags: tuple[str, ...]
    needs: frozenset[str] = frozenset()


_AVX2 = frozenset({"avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

LEVELS: Mapping[str, tuple[Level, ...]] = {
    "x86_64": (
        Level("x86-64", ("-march=x86-64",)),
        Level("x86-64-v3", ("-march=x86-64-v3",), _AVX2),
        Level("alderlake", ("-march=x86-64-v3", "-mavxvnni"), _AVX2 | {"avx_vnni"}),
        Level("x86-64-v4", ("-march=x86-64-v4",), _AVX512),
        Level("cascadelake", ("-march=x86-64-v4", "-mavx512vnni"), _AVX512 | {"avx512_vnni"}),
        Level("cooperlake", ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16"), _AVX512 | {"avx512_vnni", "avx512_bf16"}),
    ),
    "aarch64": (
        Level("armv8-a", ("-march=armv8-a",)),
        Level("armv8.2-a+dotprod", ("-march=armv8.2-a+dotprod",), frozenset({"asimddp"})),
        Level("armv8.6-a", ("-march=armv8.6-a",), frozenset({"asimddp", "bf16", "i8mm"})),
    ),
}
"""The levels of each kind of processor that have names of their own, each after those that it can do without."""


def choose_levels(asked: str | None = None) -> list[Level]:
    """Return the levels to compile for, in the order in which they are tried: the one asked for, then the plainer ones.

    `asked` is a name; BARK_KERNEL_LEVEL's where it is None. Raises: InvalidInput for a name that there is not, and for a
    level whose instructions this processor lacks.
    """
    name = asked or os.environ.get(LEVEL_VARIABLE) or NATIVE
    known = LEVELS.get(machine_name(), ())
    if name == NATIVE:
        return [Level(NATIVE, ("-march=native",)), *reversed(list_runnable())]
    if name not in (level.name for level in known):
        raise InvalidInput(f"{LEVEL_VARIABLE} asks for the level {name!r}; it must be one of {', '.join([NATIVE, *(level.name for level in known)])}.")
    runnable = list_runnable()
    places = [place for place, level in enumerate(runnable) if level.name == name]
    if not places:
        has = read_instructions()
        missing = sorted(next(level for level in known if level.name == name).needs - has)
        raise InvalidInput(
            f"{LEVEL_VARIABLE} asks for the level {name}, and this processor lacks {', '.join(missing)};"
            f" it can run {', '.join([NATIVE, *(level.name for level in runnable)])}."
        )
    return runnable[places[0] :: -1]


def list_runnable() -> list[Level]:
    """Return the named levels that this processor can run, the plainest first."""
    has = read_instructions()
    return [level for level in LEVELS.get(machine_name(), ()) if level.needs <= has]


def machine_name() -> str:
    """Return the kind of processor, as `LEVELS` names it."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())


def read_instructions() -> frozenset[str]:
    """Return the names of the instructions that this processor has, as Linux names them; none where there is no /proc/cpuinfo."""
    return frozenset(_cpuinfo_line().partition(":")[2].split())


def describe_processor() -> str:
    """Return what decides whether a compiled kernel runs here, since a home folder may be shared by unlike machines."""
    return f"{_cpuinfo_line() or f'{platform.processor()} {platform.node()}'} {platform.machine()}"


def _cpuinfo_line() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
