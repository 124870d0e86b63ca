"""Whether steps can be captured on this GPU, with this torch: tried in a process of its own, which a failure may damage.

`python -m bark_core.engine.probe cuda:0 fp16` captures the steps of a small model, checks them, and says in one line of
JSON what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bark_core.config import GPTConfig
from bark_core.engine.modes import loading
from bark_core.engine.placement import DTYPES
from bark_core.engine.record import TOLERANCES, GraphsUnavailable, Plan, describe, record_engines
from bark_core.model.transformer import CausalGPT

CONFIG = GPTConfig(n_layer=2, n_head=4, n_embd=256, input_vocab_size=512, output_vocab_size=512, block_size=512)
"""Heads as wide as the released models', so that attention takes the same kernel."""

TIMEOUT_S = 180.0
"""A machine that has just started takes long to load torch and to set up CUDA."""

_ROOT = Path(__file__).resolve().parents[2]


class Probe:
    """A probe under way in another process."""

    def __init__(self, device: torch.device, precision: str) -> None:
        """Start it. Raises: GraphsUnavailable where no process can be started."""
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bark_core.engine.probe", str(device), precision],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except (OSError, TypeError, ValueError) as error:  # no interpreter of its own, where Python is part of another program
            raise GraphsUnavailable(f"no process could be started to try it: {describe(error)}") from error

    def finish(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for what it found. Raises: GraphsUnavailable unless steps can be captured."""
        try:
            told, errors = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise GraphsUnavailable(f"trying it was not done after {timeout_s:.0f} seconds") from error
        finally:
            self.stop()
        try:
            trouble = json.loads(told.splitlines()[-1])["trouble"]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            last = (errors.strip().splitlines() or ["nothing was said"])[-1]
            raise GraphsUnavailable(f"the process that tried it ended with {self._process.returncode}: {last[:200]}") from error
        if trouble:
            raise GraphsUnavailable(trouble)

    def stop(self) -> None:
        """End it if it is still under way."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def probing(places: Iterable[tuple[torch.device, str]]) -> Iterator[Callable[[], None]]:
    """Have a probe of each device and precision run meanwhile; hand out what waits for all, and raises GraphsUnavailable unless all went well."""
    probes, failed = list[Probe](), list[GraphsUnavailable]()

    def finish() -> None:
        for error in failed:
            raise error
        for probe in probes:
            probe.finish()

    try:
        for device, precision in places:
            try:
                probes.append(Probe(device, precision))
            except GraphsUnavailable as error:
                failed.append(error)
        yield finish
    finally:
        for probe in probes:
            probe.stop()


def try_capture(device: torch.device, precision: str) -> str:
    """Capture the steps of a small model; return what went wrong, or nothing."""
    with loading():
        model = CausalGPT(CONFIG).to(device, DTYPES[precision]).requires_grad_(False).eval()
    try:
        record_engines([Plan("probe", model, 1, TOLERANCES[precision])])
    except GraphsUnavailable as error:
        return str(error)
    return ""


def main() -> None:
    """Try what the arguments name."""
    # If a capture hangs, whoever waits for this process has given up by then.
    watch = threading.Timer(TIMEOUT_S, os._exit, [1])
    watch.daemon = True
    watch.start()
    try:
        trouble = try_capture(torch.device(sys.argv[1]), sys.argv[2])
    except Exception as error:  # of any kind: it is what was to be found out
        trouble = describe(error)
    print(json.dumps({"trouble": trouble}), flush=True)
    os._exit(0)  # a damaged process might not end of itself


if __name__ == "__main__":
    main()
