"""Uploaded voices by URL, on the real server: downloaded by us, within bounds, and given up at a cancel."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scripts.server import Answer, Server
from tests.http.http_inputs import as_data_url
from tests.http.test_http import read_data_url, start, wait_for
from tests.trickle import HEAD, Trickle, open_trickle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server({"BARK_MODEL": "demo"}) as running:
        yield running


@pytest.fixture(scope="module")
def spoken(server: Server) -> Answer:
    """An output that is a voice for others."""
    return server.predict(prompt="Good morning.", seed=7)


def test_a_voice_is_downloaded_from_its_url(server: Server, spoken: Answer) -> None:
    wav = read_data_url(spoken.body["output"])
    with open_trickle(Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(wav) + wav, b"")) as there:
        fetched = server.predict(prompt="And then?", seed=3, custom_history_prompt=there.url)
    sent = server.predict(prompt="And then?", seed=3, custom_history_prompt=as_data_url(wav))
    assert fetched.body["output"] == sent.body["output"]
    with open_trickle(Trickle(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", b"")) as there:
        answer = server.predict(prompt="And then?", custom_history_prompt=there.url)
    assert "custom_history_prompt could not be downloaded: the server answered 404 Gone. Check the URL" in answer.body["error"]
    assert not [path for path in server.scratch.rglob("*") if path.is_file()]


def test_a_voice_that_comes_a_byte_at_a_time_is_cancelled_within_a_second(server: Server) -> None:
    for start_of_answer in (HEAD, HEAD[:20]):
        with open_trickle(Trickle(start_of_answer, bytes(10_000), 0.2)) as there:
            name = f"trickled-{os.getpid()}-{len(start_of_answer)}"
            assert start(server, name, prompt="Never.", custom_history_prompt=there.url).status == 202
            assert there.asked.wait(30)
            wait_for(server, "BUSY", 30)
            assert server.request("POST", f"/predictions/{name}/cancel").status == 200
            assert wait_for(server, "READY", 30) < 1
            assert there.left.wait(10)
    assert server.predict(prompt="Go on.", seed=1).body["status"] == "succeeded"
