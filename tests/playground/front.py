"""The gateway, which serves the page in front of a Cog server: started for a test, as anybody would start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "playground"


@contextmanager
def serve(backend: str, port: int = 0, *options: str) -> Iterator[str]:
    """Serve the page in front of a Cog server; yield the address."""
    command = [sys.executable, "-m", "bark_core", "gateway", "--backend", backend, "--port", str(port), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Listening on http://"), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
