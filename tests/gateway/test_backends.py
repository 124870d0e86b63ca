"""What is between a request and its speech: the line, backends that are busy, starting, gone or mad, and clients that go away."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from scripts.server import Server
from tests.gateway.impostor import Impostor
from tests.gateway.running import Gateway, Speaker, read_error, read_wav, wait_until
from tests.gateway.speakers.sound import make_samples

pytestmark = pytest.mark.slow


def state_of(server: Server) -> str:
    return server.request("GET", "/health-check").body["status"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_everybody_gets_their_own_audio(noise: Server) -> None:
    with Gateway(noise.url) as gateway, ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda seed: gateway.speak(f"wait 0.0{seed % 5}", seed=seed, response_format="pcm"), range(40))
        for seed, answer in enumerate(answers):
            assert answer.headers["x-bark-seed"] == str(seed)
            np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), make_samples(seed))


def test_who_came_first_is_first_and_who_is_too_many_is_told(noisy: Gateway) -> None:
    ended: list[int] = []

    def speak(number: int) -> int:
        status = noisy.speak("wait 0.1" if number else "wait 4", seed=number).status_code
        ended.append(number)
        return status

    with ThreadPoolExecutor(10) as pool:
        futures = []
        for number in range(5):  # one runs, four wait
            futures.append(pool.submit(speak, number))
            time.sleep(0.2)
        refused = noisy.speak()
        assert [future.result() for future in futures] == [200] * 5
    assert refused.status_code == 429
    assert read_error(refused)["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert ended == [0, 1, 2, 3, 4]


def test_a_client_that_goes_away_cancels_its_prediction(noisy: Gateway, noise: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        noisy.client.post("/v1/audio/speech", json={"input": "wait 30"}, timeout=0.5)
    begin = time.monotonic()
    assert noisy.speak(seed=1).status_code == 200
    assert time.monotonic() - begin < 5
    wait_until(lambda: state_of(noise) == "READY")


def test_a_client_that_goes_away_while_it_waits_is_never_spoken_for(noisy: Gateway) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(noisy.speak, "wait 1", seed=3)
        time.sleep(0.2)
        with pytest.raises(httpx.ReadTimeout):
            noisy.client.post("/v1/audio/speech", json={"input": "wait 30", "seed": 4}, timeout=0.3)
        assert first.result().status_code == 200
    assert noisy.speak(seed=5).status_code == 200


def test_what_takes_too_long_is_a_sentence_and_is_cancelled(noise: Server) -> None:
    with Gateway(noise.url, speech_timeout_s=0.5) as gateway:
        answer = gateway.speak("wait 30")
        assert answer.status_code == 504
        assert "not there within 0 seconds" in answer.text or "within" in read_error(answer)["message"]
        answer = gateway.client.put("/predictions/slow-one", json={"input": {"prompt": "wait 30"}})
        assert answer.status_code == 504
    wait_until(lambda: state_of(noise) == "READY")


def test_who_waits_too_long_is_told(noise: Server) -> None:
    with Gateway(noise.url, turn_timeout_s=0.3) as gateway, ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.speak, "wait 2")
        time.sleep(0.3)
        answer = gateway.speak()
        assert answer.status_code == 503 and "No backend had room" in read_error(answer)["message"]
        assert int(answer.headers["retry-after"]) > 0
        assert first.result().status_code == 200


def test_a_backend_that_another_uses_is_waited_for(noisy: Gateway, noise: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(noise.predict, prompt="wait 1")
        wait_until(lambda: state_of(noise) == "BUSY")
        assert noisy.speak(seed=9).status_code == 200
        assert other.result().body["status"] == "succeeded"


def test_two_backends_speak_at_once(noise: Server, tmp_path: Path) -> None:
    with Speaker(tmp_path, "plain") as second, Gateway(noise.url, second.url) as gateway, ThreadPoolExecutor(2) as pool:
        running = [pool.submit(gateway.speak, "wait 1") for _ in range(2)]
        wait_until(lambda: state_of(noise) == state_of(second) == "BUSY")
        assert [each.result().status_code for each in running] == [200, 200]
        # Where one of them has gone, the other does all.
        second.stop()
        assert [gateway.speak(seed=seed).status_code for seed in range(4)] == [200] * 4
        assert gateway.client.get("/ready").status_code == 200


def test_one_that_takes_several_is_given_several(tmp_path: Path) -> None:
    with Speaker(tmp_path, "several", {"COG_MAX_CONCURRENCY": "3"}) as server, Gateway(server.url) as gateway, ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda seed: gateway.speak(seed=seed, response_format="pcm"), range(9)))
        for seed, answer in enumerate(answers):
            np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), make_samples(seed))
        lines = re.findall(r"coglet::prediction: (Starting|Prediction worker completed)", server.log)
    running = np.cumsum([1 if line == "Starting" else -1 for line in lines])
    assert lines.count("Starting") == 9 and running.max() == 3


def test_a_backend_that_is_down_is_a_sentence_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    with Gateway(f"http://127.0.0.1:{port}") as gateway:
        for answer in (gateway.speak(), gateway.client.get("/v1/audio/voices"), gateway.client.get("/openapi.json"), gateway.client.get("/ready")):
            assert answer.status_code == 503
            assert read_error(answer)["type"] == "server_error"
            assert answer.headers["retry-after"] == "5"
        assert gateway.client.get("/health").status_code == 200
        assert gateway.client.get("/health-check").json()["status"] == "DEFUNCT"
        assert gateway.speak(None).status_code == 400  # what is wrong in any case is said in any case
        with Speaker(tmp_path, "plain", {"PORT": str(port)}):
            assert gateway.speak().status_code == 200


def test_a_worker_that_dies_in_the_middle_is_a_sentence(tmp_path: Path) -> None:
    with Speaker(tmp_path, "plain") as server, Gateway(server.url) as gateway:
        answer = gateway.speak("crash")
        assert answer.status_code in (500, 502, 503)
        read_error(answer)
        wait_until(lambda: gateway.client.get("/ready").status_code == 503)
        answer = gateway.speak()
        assert answer.status_code == 503
        read_error(answer)


def test_what_a_killed_server_was_speaking_the_next_one_speaks(noise: Server, tmp_path: Path) -> None:
    with Speaker(tmp_path, "plain") as server, Gateway(server.url, noise.url) as gateway, ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.speak, "wait 1", seed=11, response_format="pcm")
        wait_until(lambda: state_of(server) == "BUSY")
        kill(server)
        np.testing.assert_array_equal(np.frombuffer(running.result().content, "<i2"), make_samples(11))


def test_a_server_that_is_killed_in_the_middle_is_a_sentence(tmp_path: Path) -> None:
    with Speaker(tmp_path, "plain") as server, Gateway(server.url) as gateway, ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.speak, "wait 5")
        wait_until(lambda: state_of(server) == "BUSY")
        kill(server)
        assert running.result().status_code == 503
        assert "broke off" in read_error(running.result())["message"]


def kill(server: Server) -> None:
    """Kill a server and its worker: the server first, or it may still tell that its worker died, which is another fault."""
    process = psutil.Process(server.pid)
    for each in [process, *process.children(recursive=True)]:
        each.kill()


WAV = base64.b64encode(b"RIFF no sound").decode()

# What a mad backend answers to a prediction: status, body, and the status and the words of ours.
NONSENSE: dict[str, tuple[int, Any, int, str]] = {
    "no JSON": (200, b"<html>Hello</html>", 502, "not a JSON object"),
    "a list": (200, [], 502, "not a JSON object"),
    "no status": (200, {}, 502, "says nothing about a prediction"),
    "success without output": (200, {"status": "succeeded"}, 502, "gave no file"),
    "output that is a number": (200, {"status": "succeeded", "output": 3}, 502, "gave no file"),
    "output that is a path": (200, {"status": "succeeded", "output": "/etc/passwd"}, 502, "gave no file"),
    "output that is a file's URL": (200, {"status": "succeeded", "output": "file:///etc/passwd"}, 502, "gave no file"),
    "damaged base64": (200, {"status": "succeeded", "output": "data:audio/wav;base64,%%%"}, 502, "no data: URL in base64"),
    "no audio": (200, {"status": "succeeded", "output": f"data:audio/wav;base64,{WAV}"}, 502, "not audio"),
    "an empty file": (200, {"status": "succeeded", "output": "data:audio/wav;base64,"}, 502, "not audio"),
    "failure without a reason": (200, {"status": "failed", "error": None}, 500, "without a reason"),
    "failure with an odd reason": (200, {"status": "failed", "error": ["x"]}, 500, "without a reason"),
    "cancelled by another": (200, {"status": "canceled"}, 503, "cancelled at the backend"),
    "not found": (404, {}, 502, "status 404"),
    "refusal without a reason": (422, {}, 400, "gave no reason"),
    "refusal of another form": (422, {"detail": [{"loc": 3, "msg": None}]}, 400, "refuses the input"),
    "starting": (503, {"status": "STARTING"}, 503, "is starting"),
    "its own failure": (500, b"Internal Server Error", 502, "status 500"),
}


@pytest.fixture(scope="module")
def mad() -> Iterator[Impostor]:
    with Impostor() as impostor:
        yield impostor


@pytest.fixture(scope="module")
def before_mad(mad: Impostor) -> Iterator[Gateway]:
    with Gateway(mad.url) as gateway:
        yield gateway


@pytest.mark.parametrize(("status", "body", "ours", "words"), NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_from_a_backend_is_a_sentence(before_mad: Gateway, mad: Impostor, status: int, body: Any, ours: int, words: str) -> None:
    mad.answer = (status, body if isinstance(body, bytes) else json.dumps(body).encode())
    answer = before_mad.speak()
    assert answer.status_code == ours, answer.text
    assert words in read_error(answer)["message"]


def test_answers_that_break_off_are_sentences(before_mad: Gateway, mad: Impostor) -> None:
    for cut in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"nonsense\r\n\r\n"):
        mad.raw = cut
        answer = before_mad.speak()
        assert answer.status_code == 503, answer.text
        assert "broke off" in read_error(answer)["message"]
    mad.raw = None


def test_a_schema_that_is_none_is_a_sentence(mad: Impostor) -> None:
    good = mad.schema
    try:
        for schema in ([], {}, {"components": {"schemas": {"Input": 3}}}, {"components": {"schemas": {"Input": {"properties": {}}}}, "paths": {}}):
            mad.schema = schema
            with Gateway(mad.url) as gateway:
                answer = gateway.speak()
                assert answer.status_code == 502, schema
                assert "--backend" in read_error(answer)["message"] or "JSON object" in read_error(answer)["message"]
    finally:
        mad.schema = good


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Speaker(tmp_path_factory.mktemp("stream"), "streaming", is_streaming=True) as server, Gateway(server.url) as gateway:
        yield gateway


def test_audio_is_sent_as_it_comes(streaming: Gateway) -> None:
    for name, events in (("wav", False), ("mp3", False), ("pcm", True)):
        arrived: list[tuple[float, bytes]] = []
        begin = time.monotonic()
        fields = {"input": "Hello.", "seed": 5, "response_format": name, "stream_format": "sse" if events else "audio"}
        with streaming.client.stream("POST", "/v1/audio/speech", json=fields) as answer:
            assert answer.headers["x-bark-seed"] == "5" and "content-length" not in answer.headers
            for part in answer.iter_raw():
                arrived.append((time.monotonic() - begin, part))
        assert arrived[0][0] < 0.5 < 1.0 < arrived[-1][0]
        data = b"".join(part for _, part in arrived)
        if events:
            sent = [json.loads(line.removeprefix("data: ")) for line in data.decode().split("\n\n") if line]
            data = b"".join(base64.b64decode(event["audio"]) for event in sent[:-1])
            assert sent[-1]["type"] == "speech.audio.done"
        if name == "wav":
            assert data[:4] == b"RIFF"
            data = data[44:]
        if name != "mp3":
            np.testing.assert_array_equal(np.frombuffer(data, "<i2"), make_samples(5))


def test_whole_if_whole_is_asked_for(streaming: Gateway) -> None:
    answer = streaming.speak(seed=6, stream=False, response_format="wav")
    assert int(answer.headers["content-length"]) == len(answer.content)
    np.testing.assert_array_equal(read_wav(answer.content), make_samples(6))


def test_a_stream_that_fails_is_not_taken_for_the_whole(streaming: Gateway) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        streaming.speak("fail", response_format="pcm")
    answer = streaming.speak("fail", response_format="pcm", stream_format="sse")
    last = json.loads(answer.text.strip().rsplit("\n\n", 1)[-1].removeprefix("data: "))
    assert last["error"]["message"] == "The rest cannot be spoken."


def test_a_client_that_leaves_a_stream_cancels_it(streaming: Gateway) -> None:
    with streaming.client.stream("POST", "/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"}) as answer:
        next(answer.iter_raw())
    begin = time.monotonic()
    assert streaming.speak(seed=1).status_code == 200
    assert time.monotonic() - begin < 4


def test_cogs_own_interface_is_handed_on(noisy: Gateway, noise: Server) -> None:
    answer = noisy.client.post("/predictions", json={"input": {"prompt": "Hello.", "seed": 8}}).json()
    assert answer["status"] == "succeeded"
    np.testing.assert_array_equal(read_wav(base64.b64decode(answer["output"].partition(",")[2])), make_samples(8))
    assert noisy.client.get("/openapi.json").json() == noise.request("GET", "/openapi.json").body
    assert noisy.client.get("/health-check").json()["status"] in ("READY", "BUSY")
    refused = noisy.client.put("/predictions/odd-one", json={"input": {"prompt": 3}})
    assert refused.status_code == 422 and refused.json()["detail"][0]["loc"][-1] == "prompt"
    assert noisy.client.put("/predictions/odd-two", json={"input": []}).status_code == 422
    assert noisy.client.post("/predictions", json={"id": "../x", "input": {}}).status_code == 400


def test_a_prediction_can_be_watched_and_cancelled_while_it_runs_and_while_it_waits(noisy: Gateway) -> None:
    def put(id: str) -> httpx.Response:
        return noisy.client.put(f"/predictions/{id}", json={"input": {"prompt": "wait 20"}})

    def look(id: str) -> httpx.Response:
        return noisy.client.put(f"/predictions/{id}", json={"input": []}, headers={"Prefer": "respond-async"})

    assert look("second").status_code == 422
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(put, "first")
        wait_until(lambda: noisy.client.get("/health-check").json()["status"] == "BUSY")
        second = pool.submit(put, "second")
        wait_until(lambda: look("second").json().get("status") == "starting")
        wait_until(lambda: "None 0.7" in look("first").json()["logs"])
        assert noisy.client.post("/predictions/second/cancel").status_code == 200
        assert second.result().json()["status"] == "canceled"
        assert not first.done()
        assert noisy.client.post("/predictions/first/cancel").status_code == 200
        assert first.result().json()["status"] == "canceled"
    assert noisy.speak().status_code == 200


def test_the_page_leaves_and_its_prediction_ends(noisy: Gateway, noise: Server) -> None:
    with contextlib.suppress(httpx.ReadTimeout):
        noisy.client.put("/predictions/left", json={"input": {"prompt": "wait 20"}}, timeout=0.5)
    wait_until(lambda: state_of(noise) == "READY", 5)


def test_threads_are_those_of_before() -> None:
    """Gateways that have ended leave no threads."""
    with Gateway("http://127.0.0.1:9") as gateway:
        gateway.client.get("/health")
        before = threading.active_count()
    wait_until(lambda: threading.active_count() < before)
