"""Many requests of every kind leave the gateway as it was: memory, descriptors, threads, processes.

More of them by hand: `python -m tests.gateway.test_leaks 500`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from bark_core.gateway.app import WORKERS
from scripts.server import ROOT, Server
from tests.gateway.running import Gateway, Speaker, wait_until

pytestmark = pytest.mark.slow

FORMATS = ("mp3", "wav", "pcm", "opus", "aac", "flac")


def send(client: httpx.Client, number: int) -> None:
    """Send one request of a mix: speech in every format, events, errors, other routes, and clients that leave."""
    kind = number % 12
    fields: dict[str, object] = {"input": "Hello.", "seed": number % 5, "response_format": FORMATS[number % 6]}
    with contextlib.suppress(httpx.HTTPError):
        if kind < 6:
            client.post("/v1/audio/speech", json=fields)
        elif kind == 6:
            client.post("/v1/audio/speech", json={**fields, "stream_format": "sse", "speed": 1.5})
        elif kind == 7:
            client.post("/v1/audio/speech", content=b"{" * number)
        elif kind == 8:
            client.post("/v1/audio/speech", json={**fields, "voice": "nobody"})
        elif kind == 9:
            client.post("/v1/audio/speech", json={**fields, "input": "wait 5"}, timeout=0.2)
        elif kind == 10:
            client.put(f"/predictions/mix-{number}", json={"input": {"prompt": "Hello.", "seed": 1}})
        else:
            for path in ("/", "/v1/audio/voices", "/openapi.json", "/nowhere", "/ready"):
                client.get(path)


def send_many(url: str, numbers: range) -> None:
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: send(client, number), numbers))


def look(process: psutil.Process) -> dict[str, float]:
    time.sleep(0.2)
    wait_until(lambda: not [each for each in process.net_connections() if each.status == psutil.CONN_ESTABLISHED], 30)
    return {
        "memory_mb": process.memory_info().rss / 2**20,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def run_process(url: str, measure: Callable[[str, psutil.Process], None]) -> None:
    command = [sys.executable, "-m", "bark_core", "gateway", "--port", "0", "--backend", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            measure(process.stdout.readline().split()[-1], psutil.Process(process.pid))
        finally:
            process.terminate()


def test_a_mix_of_requests_leaves_nothing(noise: Server) -> None:
    def measure(url: str, process: psutil.Process) -> None:
        n_threads = process.num_threads()
        send_many(url, range(72))
        before = look(process)
        send_many(url, range(72, 144))
        after = look(process)
        for what in ("descriptors", "children"):
            assert after[what] <= before[what], (what, before, after)
        assert after["threads"] <= n_threads + WORKERS, (n_threads, after)
        assert after["memory_mb"] - before["memory_mb"] < 8, (before, after)

    run_process(noise.url, measure)


def test_many_readers_of_the_page_take_no_threads_beside_the_workers(noise: Server) -> None:
    def measure(url: str, process: psutil.Process) -> None:
        n_threads = process.num_threads()
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(16) as pool:
            assert {answer.status_code for answer in pool.map(client.get, ["/", "/page.js"] * 100)} == {200}
        assert process.num_threads() <= n_threads + WORKERS

    run_process(noise.url, measure)


def test_gateways_that_have_ended_leave_no_descriptors(noise: Server) -> None:
    def run() -> int:
        with Gateway(noise.url) as gateway:
            gateway.speak()
        gc.collect()
        return psutil.Process().num_fds()

    run()
    assert run() == run()


if __name__ == "__main__":

    def show(url: str, process: psutil.Process) -> None:
        for start in range(0, int(sys.argv[1]), 100):
            send_many(url, range(start, start + 100))
            print(start + 100, json.dumps(look(process)), flush=True)

    with Speaker(Path(tempfile.mkdtemp()), "plain") as server:
        run_process(server.url, show)
