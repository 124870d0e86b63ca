"""The gateway as a process: it says where it listens, speaks, and ends what it started."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path


def test_one_command_serves_and_ends_all(root: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "bark_core", "gateway", "--port", "0"], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip().removeprefix("Listening on ")
        with urllib.request.urlopen(f"{url}/health-check") as answer:
            assert json.load(answer)["status"] == "READY"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()
