"""Run the real Cog server for as long as standard input stays open: `python -m bark_core gateway` starts it so, and it ends with whoever holds the other end.

Prints the server's URL once a prediction can be made.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.server import Server, ServerError


def main() -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(description="Run the Cog server until standard input ends.")
    parser.add_argument("--model", default="demo", help="the checkpoint to serve (default: %(default)s)")
    model = parser.parse_args().model
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    threading.Thread(target=end_with_input, daemon=True).start()
    try:
        with Server({"BARK_MODEL": model}) as server:
            print(server.url, flush=True)
            signal.pause()
    except ServerError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    return 0


def end_with_input() -> None:
    """Wait for the end of standard input, then end this process in order."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
