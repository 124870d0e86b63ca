"""A Cog server of the gateway's own, which ends with it however it ends. Knows the checkout's script that starts one, and no model."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bark_core.errors import BarkError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "serve.py"


@contextlib.contextmanager
def start_cog(model: str) -> Iterator[str]:
    """Start the real Cog server with a model; give its URL once it is ready, and end it afterwards. Raises: BarkError with its reason."""
    if not SCRIPT.is_file():
        raise BarkError(f"A Cog server can be started from a checkout only, and there is no {SCRIPT}. Start one yourself and name it: --backend URL.")
    # It lives for as long as its standard input is open, and the system closes that with this process.
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--model", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise BarkError(f"The Cog server with the model {model} did not start; its reason is above.")
        yield url
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
