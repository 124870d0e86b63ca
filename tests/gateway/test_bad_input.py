"""What must be refused, and how: with the right status, a sentence, the field at fault, and before anything is spoken."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from typing import Any

import pytest

from bark_core.gateway import connection
from scripts.server import Server
from tests.gateway.running import Gateway, read_error, read_wav

DEEP = b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

# Fields that cannot be used: what is sent beside the text, the field that the answer names, and what it says.
FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no text": ({"input": None}, "input", "give the text to speak"),
    "empty text": ({"input": ""}, "input", "give the text to speak"),
    "blank text": ({"input": " \n"}, "input", "give the text to speak"),
    "text that is a number": ({"input": 3}, "input", "it must be a text"),
    "text that is a list": ({"input": ["Hello."]}, "input", "it must be a text"),
    "half a surrogate pair": ({"input": "\ud83d"}, "input", "surrogate"),
    "half a pair elsewhere": ({"normalize": "\ud800"}, "normalize", "surrogate"),
    "half a pair in a list": ({"voices": ["\ud800"]}, "voices", "surrogate"),
    "half a pair in a name": ({"\ud800": 1}, "\\ud800", "surrogate"),
    "text beyond the model's": ({"input": "a" * 5_001}, "input", "at most 5000 characters; it has 5001"),
    "model that is a number": ({"model": 1}, "model", "it must be a text"),
    "instructions in a list": ({"instructions": []}, "instructions", "it must be a text"),
    "unknown voice": ({"voice": "gray"}, "voice", "closest are grey"),
    "empty voice": ({"voice": ""}, "voice", "There is no voice ''"),
    "voice that is a number": ({"voice": 1}, "voice", "voice was 1"),
    "voice without an id": ({"voice": {"name": "alloy"}}, "voice", "with a name as its id"),
    "voice with an id of a number": ({"voice": {"id": 1}}, "voice", "with a name as its id"),
    "voice of a path": ({"voice": "../../etc/passwd"}, "voice", "There is no voice"),
    "voice with a line break": ({"voice": "alloy\r\nX-Evil: 1"}, "voice", "There is no voice"),
    "very long voice": ({"voice": "a" * 100_000}, "voice", "There is no voice"),
    "unknown format": ({"response_format": "wma"}, "response_format", "one of mp3, opus, aac, flac, wav, pcm"),
    "format that is a number": ({"response_format": 3}, "response_format", "it must be a text"),
    "format with a line break": ({"response_format": "mp3\r\n"}, "response_format", "one of mp3"),
    "slow": ({"speed": 0.2}, "speed", "from 0.25 to 4"),
    "fast": ({"speed": 4.1}, "speed", "from 0.25 to 4"),
    "speed that is a text": ({"speed": "fast"}, "speed", "it must be a number"),
    "speed that is true": ({"speed": True}, "speed", "it must be a number"),
    "speed of 400 digits": ({"speed": 10**400}, "speed", "it must be smaller"),
    "unknown stream format": ({"stream_format": "webrtc"}, "stream_format", "one of audio, sse"),
    "stream that is a text": ({"stream": "yes"}, "stream", "true or false"),
    "stream that is a number": ({"stream": 1}, "stream", "true or false"),
    "negative seed": ({"seed": -1}, "seed", "from 0 to 4294967295"),
    "seed of 33 bits": ({"seed": 2**32}, "seed", "from 0 to 4294967295"),
    "half a seed": ({"seed": 0.5}, "seed", "a whole number"),
    "seed that is a text": ({"seed": "1"}, "seed", "a whole number"),
    "seed of 400 digits": ({"seed": 10**400}, "seed", "it must be smaller"),
    "cold": ({"temperature": -1}, "temperature", "from 0 to 2"),
    "hot": ({"temperature": 2.1}, "temperature", "from 0 to 2"),
    "temperature that is a text": ({"temperature": "warm"}, "temperature", "a number"),
    "the model's own input, out of range": ({"text_temp": 3}, "text_temp", "from 0 to 2"),
    "the model's own input, a text": ({"text_temp": "3"}, "text_temp", "must be a number"),
    "sample rate of a text": ({"sample_rate": "24k"}, "sample_rate", "a whole number"),
    "sample rate beyond all": ({"sample_rate": 1_000_000, "response_format": "wav"}, "sample_rate", "from 8000 to 48000"),
    "sample rate that mp3 has not": ({"sample_rate": 24_001}, "sample_rate", "24001 Hz"),
    "language that is a number": ({"language": 1}, "language", "it must be a text"),
    "language without a voice": ({"language": "xx"}, "language", "There is no voice for the language 'xx'"),
}

BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "half an object": (b'{"input": "Hel', "not JSON"),
    "a list": (b'["Hello."]', "a JSON list; it must be an object"),
    "a text": (b'"Hello."', "a JSON text"),
    "null": (b"null", "a JSON null"),
    "a form": (b"input=Hello.&voice=alloy", "not JSON"),
    "no UTF-8": (b'{"input": "\xff\xfe"}', "not JSON"),
    "no number": (b'{"input": "Hello.", "speed": NaN}', "not a JSON number"),
    "infinity": (b'{"input": "Hello.", "speed": -Infinity}', "not a JSON number"),
    "a number of 10,000 digits": (b'{"input": "Hello.", "seed": ' + b"1" * 10_000 + b"}", "not JSON: it has a number of 10000 digits"),
    "nested too deeply": (DEEP, "not JSON: it is nested too deeply"),
}


@pytest.mark.parametrize(("fields", "param", "reason"), FIELDS.values(), ids=FIELDS.keys())
def test_a_field_that_cannot_be_used_is_named(noisy: Gateway, fields: dict[str, Any], param: str, reason: str) -> None:
    answer = noisy.client.post("/v1/audio/speech", content=json.dumps({"input": "Hello.", **fields}))
    assert answer.status_code == 400, answer.text
    error = read_error(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert reason in error["message"]
    assert len(error["message"]) < 600


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_request_is_refused(noisy: Gateway, body: bytes, reason: str) -> None:
    answer = noisy.client.post("/v1/audio/speech", content=body)
    assert answer.status_code == 400
    assert reason in read_error(answer)["message"]


def test_null_and_unknown_fields_do_no_harm(noisy: Gateway) -> None:
    answer = noisy.speak(seed=5, voice=None, speed=None, response_format="wav", word_timestamps=True, volume_multiplier=3, history_prompt="grey")
    assert answer.status_code == 200
    assert len(read_wav(answer.content)) == 6_000


def test_what_the_model_cannot_speak_is_the_clients_fault_and_what_burns_out_is_not(noisy: Gateway) -> None:
    answer = noisy.speak("fail")
    assert (answer.status_code, read_error(answer)["message"]) == (400, "The text cannot be spoken; give another.")
    answer = noisy.client.post("/v1/audio/speech", json={"input": "break"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/audio/speech", 405),
        ("GET", "/predictions", 405),
        ("POST", "/v1/audio/speech/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/..%2f..%2fpyproject.toml", 404),
        ("GET", "//etc/passwd", 404),
        ("GET", "/index.html%00.js", 404),
        ("GET", "/shutdown", 404),
        ("POST", "/shutdown", 404),
        ("PUT", "/predictions/a%2f..%2f..%2fshutdown", 404),
        ("PUT", "/predictions/a%0d%0aX-Evil:1", 400),
        ("POST", "/predictions/a b/cancel", 400),
        ("PUT", "/predictions/" + "a" * 65, 400),
    ],
)
def test_paths_that_lead_elsewhere_lead_nowhere(noisy: Gateway, method: str, path: str, status: int) -> None:
    with noisy.connect() as bare:  # httpx would tidy them up
        bare.sendall(f"{method} {path.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        head, _, body = receive_all(bare).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert b"X-Evil:" not in head


def receive_all(bare: socket.socket) -> bytes:
    received = b""
    while part := bare.recv(65_536):
        received += part
    return received


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/predictions"])
def test_a_compressed_body_is_refused_by_name(noisy: Gateway, path: str) -> None:
    answer = noisy.client.post(path, content=gzip.compress(b'{"input": "Hello."}'), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "compressed (gzip)" in read_error(answer)["message"]


def test_a_cancel_of_what_is_not_there_is_404_as_cogs(noisy: Gateway) -> None:
    answer = noisy.client.post("/predictions/nobodys/cancel")
    assert (answer.status_code, read_error(answer)["param"]) == (404, "id")
    assert noisy.client.put("/predictions/once", json={"input": {"prompt": "Hello."}}).status_code == 200
    assert noisy.client.post("/predictions/once/cancel").status_code == 404


def test_an_announced_body_of_100_mb_is_refused_before_it_is_sent(noisy: Gateway) -> None:
    for path in ("/v1/audio/speech", "/predictions"):
        with noisy.connect() as bare:
            bare.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * 2**20}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert bare.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_100_mb_is_refused_whether_announced_or_not(noisy: Gateway) -> None:
    part = b'"' + b"a" * (2**20 - 1)
    answers = [
        noisy.client.post("/v1/audio/speech", content=b"a" * (100 * 2**20)),
        noisy.client.post("/v1/audio/speech", content=(part for _ in range(100))),
    ]
    for answer in answers:
        assert answer.status_code == 413
        assert "larger than 2097152 bytes" in read_error(answer)["message"]
    assert noisy.speak().status_code == 200


def test_a_body_that_drips_has_a_deadline(noisy: Gateway) -> None:
    begin = time.monotonic()
    with noisy.connect() as bare:
        bare.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        bare.setblocking(False)
        received = b""
        while not received and time.monotonic() - begin < 10:
            try:
                bare.sendall(b" ")
                received = bare.recv(65_536)
            except BlockingIOError:
                time.sleep(0.1)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begin < 4


def test_a_head_that_drips_has_a_deadline(noise: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.5)
    with Gateway(noise.url) as gateway:
        for start in (b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            with gateway.connect() as bare:
                bare.sendall(start)
                begin = time.monotonic()
                with contextlib.suppress(ConnectionResetError):
                    assert bare.recv(100) == b""
                assert time.monotonic() - begin < 5
        # One that is kept has it anew for each request, and an answer may take as long as it takes.
        with gateway.connect() as bare:
            for _ in range(2):
                body = b'{"input": "wait 0.7", "response_format": "pcm"}'
                bare.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                received = b""
                while len(received) < 12_000:
                    received += bare.recv(65_536)
                assert received.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_let_go(noise: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL_TIMEOUT_S", 0.5)
    with Gateway(noise.url) as gateway, socket.socket() as bare:
        for end, buffer in ((gateway.socket, socket.SO_SNDBUF), (bare, socket.SO_RCVBUF)):  # so that they are full soon
            end.setsockopt(socket.SOL_SOCKET, buffer, 4096)
        bare.connect(gateway.address)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        bare.setblocking(False)
        begin = time.monotonic()
        gone = False
        while not gone and time.monotonic() - begin < 15:
            try:
                bare.sendall(request * 20)
            except BlockingIOError:
                time.sleep(0.05)
            except (ConnectionResetError, BrokenPipeError):
                gone = True
        assert gone


def test_what_is_no_http_is_answered_in_the_same_form(noisy: Gateway) -> None:
    for request in (b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with noisy.connect() as bare:
            bare.sendall(request)
            head, _, body = receive_all(bare).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_a_wrong_key_is_refused_and_the_right_one_taken(noise: Server) -> None:
    with Gateway(noise.url, api_key="the-key") as gateway:
        for header in (None, "", "Bearer", "Bearer the-kez", "Bearer the-key2", "Basic the-key", "the-key", "Bearer \xff\xfe"):
            headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
            for path in ("/v1/audio/voices", "/openapi.json", "/health-check", "/v1/models"):
                answer = gateway.client.get(path, headers=headers)
                assert answer.status_code == 401, header
                assert read_error(answer)["type"] == "authentication_error"
                assert answer.headers["www-authenticate"] == "Bearer"
        assert gateway.client.post("/v1/audio/speech", content=b"no JSON").status_code == 401
        for header in ("Bearer the-key", "bearer the-key"):
            assert gateway.client.get("/v1/audio/voices", headers={"Authorization": header}).status_code == 200
        for path in ("/health", "/ready", "/"):
            assert gateway.client.get(path).status_code == 200
        for path in ("/shutdown", "/v1", "/v1/audio/speech%2f"):
            assert gateway.client.get(path).status_code == 404


def test_pages_from_elsewhere_are_kept_out_unless_allowed(noise: Server) -> None:
    fields = {"input": "Hello.", "response_format": "pcm"}
    with Gateway(noise.url, allowed_origins=("https://good.example",)) as gateway:
        for origin, status in (("https://evil.example", 403), ("null", 403), ("https://good.example", 200), (gateway.url, 200)):
            answer = gateway.client.post("/v1/audio/speech", json=fields, headers={"Origin": origin})
            assert answer.status_code == status, origin
        # A name of the net that was made to lead here: the page's own name then is the one that it asks.
        led = {"Host": "evil.example:80", "Origin": "http://evil.example:80"}
        assert gateway.client.post("/v1/audio/speech", json=fields, headers=led).status_code == 403
        local = {"Host": "localhost:80", "Origin": "http://localhost:80"}
        assert gateway.client.post("/v1/audio/speech", json=fields, headers=local).status_code == 200
        assert gateway.client.post("/v1/audio/speech", json=fields, headers={"Origin": "https://good.example"}).headers["access-control-allow-origin"]
        asked = {"Origin": "https://good.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert gateway.client.options("/v1/audio/speech", headers=asked).status_code == 200
