"""The command as it is run: it says where it listens, starts what it needs, keeps secrets, and ends what it started, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from bark_core.cli.main import main
from scripts.server import Server
from tests.gateway.impostor import Impostor
from tests.gateway.running import Gateway, Speaker, wait_until

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "bark_core", "gateway", "--port", "0"]


@contextmanager
def run(root: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command; give the process and where it listens."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=root, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Listening on http://127.0.0.1:"), line + process.stderr.read()
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(url: str, key: str | None = None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_one_command_starts_all_and_ends_all(root: Path, ending: signal.Signals) -> None:
    with run(root) as (process, url):
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 3  # who looks after the server, the server, its worker
        assert get(f"{url}/ready") == 200
        with urllib.request.urlopen(f"{url}/v1/audio/voices") as answer:
            assert json.load(answer)["voices"][0]["id"] == "demo_speaker_0"
        process.send_signal(ending)
        assert process.wait(60) == {signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}[ending]
        wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in started), 30)


def test_the_key_comes_from_the_environment_and_goes_no_further(root: Path, noise: Server) -> None:
    with run(root, "--backend", noise.url, BARK_API_KEY="secret-of-mine") as (process, url):
        assert get(f"{url}/v1/models") == 401
        assert get(f"{url}/v1/models", "secret-of-mine") == 200
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "secret-of-mine" not in process.stderr.read()


def test_interruption_is_exit_code_130(root: Path, noise: Server) -> None:
    with run(root, "--backend", noise.url) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_log_tells_of_speech_and_not_of_texts(root: Path, noise: Server) -> None:
    with run(root, "--backend", noise.url) as (process, url):
        body = json.dumps({"input": "A private matter.", "seed": 5}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/audio/speech", body, {"Content-Type": "application/json"})) as answer:
            assert answer.status == 200
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr is not None
        shown = process.stderr.read()
        assert re.fullmatch(r"bark: 0\.\d s of speech as mp3 in \d+\.\d s, seed 5\n", shown), shown


def test_a_stream_that_breaks_off_is_told_of_once(root: Path, tmp_path: Path) -> None:
    with Speaker(tmp_path, "streaming", is_streaming=True) as speaker, run(root, "--backend", speaker.url) as (process, url):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/v1/audio/speech", json={"input": "fail", "response_format": "pcm"})
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr is not None
        shown = process.stderr.read()
        assert re.fullmatch(r"bark: Broke off after \d\.\d s: The rest cannot be spoken\.\n", shown), shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "localhost:5000"], "--backend was 'localhost:5000'"),
        (["--backend", "file:///etc/passwd"], "must be the URL of a Cog server"),
        (["--backend", "http://a", "--replicate", "b/c"], "both given"),
        (["--replicate", "bark/bark"], "REPLICATE_API_TOKEN"),
        (["--backend", "http://a", "--api-key", ""], "The gateway's key"),
        (["--backend", "http://a", "--api-key", "two words"], "The gateway's key"),
        (["--backend", "http://a", "--port", "70000"], "--port was 70000; it must be from 0"),
        (["--backend", "http://a", "--allow-origin", "null", "--max-waiting", "0"], "--max-waiting was 0"),
        (["--backend", "http://a:99999"], "--backend was 'http://a:99999'"),
        (["--backend", "http://a", "--allow-origin", "example.org"], "--allow-origin was 'example.org'"),
        (["--backend", "http://a", "--allow-origin", "https://example.org/"], "--allow-origin was 'https://example.org/'"),
        (["--backend", "http://a", "--model", "demo"], "leave one of them out"),
        (["--backend", "http://a", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--backend", "http://a", "--voices", "none.toml"], "The table of voices none.toml cannot be read"),
        (["--backend", "http://a", "--max-waiting", "0"], "--max-waiting was 0"),
        (["--backend", "http://a", "--timeout", "nan"], "--timeout was nan"),
    ],
)
def test_wrong_options_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["gateway", *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("bark: ") and shown.err.count("\n") == 1
    assert message in shown.err


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["gateway", "--backend", "http://a", "--port", str(taken.getsockname()[1])]) == 1
    assert "Address already in use. Give another" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_ends_it_with_the_reason(root: Path) -> None:
    done = subprocess.run([*COMMAND, "--model", "no/such/model"], cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "no/such/model" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bark: The Cog server with the model no/such/model did not start")


def test_help_needs_no_package(root: Path) -> None:
    unwanted = {"starlette", "uvicorn", "httpx", "numpy"}
    code = f"import sys; from bark_core.cli.main import main\ntry: main(['gateway', '--help'])\nfinally: assert not {unwanted} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_table_of_voices_that_is_none_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "voices.toml"
    for text in ("alloy = ", "alloy = 3", "[alloy]\nid = 'x'", 'alloy = "a\\u0000b"', 'alloy = ""', "\x00"):
        path.write_text(text)
        assert main(["gateway", "--backend", "http://a", "--voices", str(path)]) == 1
        assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_says_for_a_dead_server_the_next_one_speaks(noise: Server, status: int) -> None:
    with Impostor() as proxy, Gateway(proxy.url, noise.url) as gateway:
        proxy.answer = status, b"<html>Bad Gateway</html>"
        assert [gateway.speak(seed=seed).status_code for seed in range(3)] == [200] * 3
        answer = gateway.client.put("/predictions/elsewhere", json={"input": {"prompt": "Hello."}})
        assert answer.status_code == 200 and answer.json()["status"] == "succeeded"
