"""`doctor`: what this machine is, what would run on it and why, and what is wrong; on one screen, or as JSON."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from bark_core.cli.console import Commands, say, show, show_json
from bark_core.errors import BarkError

WIDTH, INDENT = 110, 13
"""Columns of the screen, and where the second column begins."""


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("doctor", help="say what this machine is, what would run on it, and what is wrong; exit 1 where something is")
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    parser.set_defaults(command=run_doctor)


def run_doctor(options: argparse.Namespace) -> None:
    """Look at the machine, and print what was found. Raises: BarkError where something is wrong."""
    from bark_core.speech.diagnosis import diagnose

    found = diagnose(say).to_dict()
    if options.json:
        show_json(found, indent=2)
    else:
        show(render(found))
    if found["problems"]:
        n = len(found["problems"])
        raise BarkError(f"{n} {'thing is' if n == 1 else 'things are'} wrong.")


def render(found: dict[str, Any]) -> str:
    """Return what was found as a screen of text, which ends with what to do next, if there is something."""
    machine, kernel, versions = found["machine"], found["kernel"], found["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in ("bark", "python", "system"))
    rows = [
        ("bark", f"{versions['bark']} on Python {versions['python']}, {versions['system']}: {packages}"),
        ("machine", f"{machine['processor']}, {_count(machine['n_cores'], 'core')} ({_count(machine['n_threads'], 'thread')}), {found['memory_gb']} GB of memory"),
        ("", f"levels of the kernel that run here: {', '.join(machine['levels']) or 'none'}"),
        ("GPUs", "; ".join(machine["gpus"]) or "none"),
        ("kernel", f"compiled for {kernel['instructions']}{_describe_checks(found)}" if kernel["instructions"] else f"not to be had: {kernel['unavailable']}"),
        *((f"{'precisions' if n == 0 else ''}", f"{each['asked']:5} {_describe_precision(each)}") for n, each in enumerate(found["precisions"])),
        ("drafts", _describe_drafts(found["drafts"])),
        *((f"{'checkpoints' if n == 0 else ''}", f"{each['name']:5} {_describe_held(each)}") for n, each in enumerate(found["checkpoints"])),
        *((f"{'caches' if n == 0 else ''}", f"{name:7} {_describe_cache(cache)}") for n, (name, cache) in enumerate(found["caches"].items())),
        *((f"{'settings' if n == 0 else ''}", f"{name}={value}") for n, (name, value) in enumerate(found["settings"].items())),
        *((f"{'wrong' if n == 0 else ''}", problem) for n, problem in enumerate(found["problems"])),
    ]
    lines = [line for name, text in rows for line in _wrap(name, text)]
    if found["next_step"]:
        lines += ["", *textwrap.wrap(f"Next: {found['next_step']}", WIDTH)]
    return "\n".join(lines)


def _wrap(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{name:{INDENT}}", subsequent_indent=" " * INDENT, break_long_words=False) or [name]


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _describe_checks(found: dict[str, Any]) -> str:
    """Return in which precisions the kernel gave what torch gives; where it did not, nothing is run by it."""
    checked = [each["asked"] for each in found["precisions"] if each["asked"] != "auto" and any(part["code"] == "kernel" for part in each["parts"].values())]
    return f", gives what torch gives in {', '.join(checked)}" if checked else ", and used in no precision"


def _describe_precision(precision: dict[str, Any]) -> str:
    """Return where a precision runs and by whose code, or why it does not."""
    if precision["refused"]:
        return f"no: {precision['refused']}"
    names = {"kernel": "the compiled kernel", "graphs": "captured CUDA graphs", "torch": "torch"}
    ways: dict[str, list[str]] = {}
    for part, how in precision["parts"].items():
        ways.setdefault(f"{how['precision']} on {how['device']} by {names[how['code']]}", []).append(part)
    return "; ".join(f"{', '.join(parts)} in {way}" for way, parts in ways.items())


def _describe_drafts(drafts: dict[str, Any] | None) -> str:
    if drafts is None:
        return "none: fp32 drafts its tokens in 8 bits where the compiled kernel runs them"
    found = f"where {drafts['share_right']:.0%} of 8-bit drafts are right, fp32 decodes"
    return f"{found} {drafts['gain']} × as fast by them, {drafts['n_tokens']} tokens a round" if drafts["n_tokens"] > 1 else f"{found} no faster by them"


def _describe_held(held: dict[str, Any]) -> str:
    if held["folder"] is None:
        return f"not here; {held['size_gb']} GB to fetch" if held["size_gb"] else "not here"
    return f"{'damaged' if held['fault'] else 'whole'}, in {held['folder']}"


def _describe_cache(cache: dict[str, Any]) -> str:
    state = "" if cache["is_there"] else ", not made yet"
    return f"{cache['path']}{state}{'' if cache['is_writable'] else ', NOT writable'}, {cache['free_gb']} GB free"
