"""Memory goes back to the system, and what it held can still be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bark_core.checkpoint.tensorfiles import read_safetensors
from bark_core.engine.memory import release_pages, trim_heap


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def is_in_memory(path: Path) -> bool:
    """Tell whether a path's file system keeps its files in memory, from where they cannot go anywhere."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((len(where), kind) for where, kind in mounts if path.is_relative_to(where))[1] in ("tmpfs", "ramfs")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is told")
def test_released_pages_leave_memory_and_keep_what_they_hold(tmp_path: Path) -> None:
    if is_in_memory(tmp_path.resolve()):
        pytest.skip(f"{tmp_path} is in memory itself")
    written = torch.arange(16 * 2**20, dtype=torch.float32)
    save_file({"a": written}, tmp_path / "a.safetensors")
    mapped = read_safetensors(tmp_path / "a.safetensors")["a"]
    assert torch.equal(mapped, written)
    before = resident_bytes()
    release_pages(mapped)
    assert before - resident_bytes() > 0.9 * mapped.nbytes
    assert torch.equal(mapped, written)


def test_tensors_without_a_file_keep_what_they_hold() -> None:
    tensor = torch.arange(100_000)
    release_pages(tensor)
    release_pages(tensor[:3])
    assert torch.equal(tensor, torch.arange(100_000))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux's C library is asked")
def test_freed_pieces_leave_memory() -> None:
    pieces = [torch.ones(2**16) for _ in range(512)]  # too small for the system to be asked for each
    keep = pieces[-1]
    del pieces
    before = resident_bytes()
    trim_heap()
    assert resident_bytes() <= before and torch.equal(keep, torch.ones(2**16))
