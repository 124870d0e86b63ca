"""What this machine is, what is installed, and what would run on it; with a sentence for each thing that is wrong. Changes nothing but caches.

Names nobody: the home folder is ~, and the values of tokens and passwords are never read.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bark_core import __version__
from bark_core.checkpoint.check import Held, list_held
from bark_core.checkpoint.fetch import hub_folder
from bark_core.engine.placement import plan_placement
from bark_core.engine.survey import DraftSpeed, Kernel, Machine, Precision, survey_drafts, survey_kernel, survey_machine, survey_precisions
from bark_core.errors import BarkError, InvalidInput
from bark_core.speech.service import read_switch

PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "huggingface_hub", "encodec", "cog")
SETTINGS = ("BARK_MODEL", "BARK_PRECISION", "BARK_SPECULATE", "BARK_KERNEL_LEVEL", "BARK_WEIGHTS", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "XDG_CACHE_HOME")
"""Variables that decide what is loaded, and from where."""

OLDEST_TORCH = (2, 8)


@dataclass
class Cache:
    """A folder that things are kept in."""

    path: str
    is_there: bool
    is_writable: bool
    free_gb: float


@dataclass
class Diagnosis:
    """What was found. `problems` are sentences that say what to do; `next_step` is the one thing to do next, if there is one."""

    versions: dict[str, str]
    machine: Machine
    memory_gb: float
    kernel: Kernel
    precisions: list[Precision]
    drafts: DraftSpeed | None
    checkpoints: list[Held]
    caches: dict[str, Cache]
    settings: dict[str, str]
    problems: list[str] = field(default_factory=list)
    next_step: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return hide_home(asdict(self))


def diagnose(on_message: Callable[[str], None]) -> Diagnosis:
    """Look at everything; raise nothing for what is wrong. `on_message` hears of what takes long."""
    on_message("Looking at this machine; the kernel is compiled where it has not been yet, which takes some twenty seconds …")
    kernel = survey_kernel()
    settings = {name: value for name in SETTINGS if (value := os.environ.get(name))}
    caches = {"kernels": _look_at(kernel.cache), "hub": _look_at(hub_folder())}
    found = Diagnosis(find_versions(), survey_machine(), _memory_gb(), kernel, survey_precisions(), survey_drafts(), [], caches, settings)
    try:
        found.checkpoints = list_held()
    except BarkError as error:
        found.problems.append(str(error))
    found.problems = list(dict.fromkeys([*found.problems, *_find_problems(found)]))
    found.next_step = _choose_next_step(found)
    return found


def find_versions() -> dict[str, str]:
    """Return the versions of this project, of Python and of the packages that matter; "missing" for those that are not installed."""
    versions = {"bark": __version__, "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def _find_problems(found: Diagnosis) -> list[str]:
    problems = list[str]()
    for name in PACKAGES:
        if found.versions[name] == "missing" and name != "cog":  # only servers need that
            problems.append(f"The package {name} is not installed. Run `pip install -e .` in the project's folder.")
    if _number(found.versions["torch"]) < OLDEST_TORCH:
        problems.append(f"torch {found.versions['torch']} is older than {'.'.join(map(str, OLDEST_TORCH))}. Run `pip install -U torch`.")
    if found.kernel.unavailable and not found.machine.gpus:
        problems.append(f"The compiled kernel is not to be had, so that speech takes several times as long: {found.kernel.unavailable}.")
    problems += found.kernel.warnings
    problems += [warning for precision in found.precisions for warning in precision.warnings if not found.kernel.unavailable]
    problems += [held.fault for held in found.checkpoints if held.fault]
    try:
        plan_placement("auto", found.settings.get("BARK_PRECISION", "auto"))
    except InvalidInput as error:
        problems.append(f"BARK_PRECISION cannot be used: {error}")
    try:
        read_switch("BARK_SPECULATE")
    except InvalidInput as error:
        problems.append(str(error))
    problems += [f"The cache in {cache.path} cannot be written. Make it writable, or name another." for cache in found.caches.values() if not cache.is_writable]
    return problems


def _choose_next_step(found: Diagnosis) -> str | None:
    if found.problems:
        return found.problems[0]
    here = [held.name for held in found.checkpoints if held.folder]
    if not here:
        return "There is no checkpoint here. Run `python -m bark_core fetch small`."
    if here == ["demo"]:
        return "Only the demo is here. For Suno's own voices run `python -m bark_core fetch small`."
    return None


def _look_at(folder: Path) -> Cache:
    """Look at a folder, or at the one that it would be made in."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    is_writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Cache(str(folder), folder.is_dir(), is_writable, round(shutil.disk_usage(there).free / 1e9, 1))


def _memory_gb() -> float:
    """Return the memory that this process may have: the machine's, or what a container is given of it."""
    sizes = list[int]()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # none, or "max"
            continue
    return round(min(sizes, default=0) / 1e9, 1)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())


def hide_home(value: Any) -> Any:
    """Return plain values with the home folder written as ~ in every string, and paths as strings."""
    if isinstance(value, dict):
        return {key: hide_home(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_home(each) for each in value]
    if isinstance(value, (str, Path)):
        home = os.path.expanduser("~").rstrip("/")
        return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", str(value)) if home else str(value)
    return value
