"""The real Cog server with the checkpoint that comes with the repository: what clients send, and what they get."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import statistics
import threading
import time
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bark_core.speech.bark import Bark
from bark_core.voices.files import ARRAYS, read_info
from bark_core.voices.voice import Voice
from scripts.server import Answer, Server, ServerError
from tests.http.http_inputs import MALFORMED, UNUSABLE, VOICE, as_data_url

pytestmark = pytest.mark.slow

TEXT = "Good morning. It is a fine day."

@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server({"BARK_MODEL": "demo"}) as running:
        yield running


@pytest.fixture(scope="module")
def spoken(server: Server) -> Answer:
    """One prediction that several tests look at."""
    return server.predict(prompt=TEXT, seed=7)


@pytest.fixture(scope="module")
def lengthy(server: Server) -> dict[str, Any]:
    """Inputs of a prediction that takes long enough to be met while it runs: the longest of a few."""
    text = "The quick brown fox jumps over the lazy dog. " * 4
    found: dict[int, dict[str, Any]] = {}
    for seed in range(12):
        inputs = {"prompt": text, "seed": seed, "min_eos_p": 1, "text_temp": 1}
        answer = server.predict(**inputs)
        if answer.body["status"] == "succeeded":
            found[answer.body["metrics"]["semantic_tokens"]] = inputs
        if max(found, default=0) > 250:
            break
    return found[max(found)]


def read_data_url(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def tokens_of(answer: Answer, folder: Path) -> Voice:
    """Return the tokens that a prediction's WAV carries."""
    path = folder / "tokens.wav"
    path.write_bytes(read_data_url(answer.body["output"]))
    return Voice.load(path)


def wait_for(server: Server, status: str, timeout_s: float) -> float:
    """Return how long it took until /health-check said `status`."""
    begin = time.monotonic()
    while time.monotonic() - begin < timeout_s:
        if server.request("GET", "/health-check").body["status"] == status:
            return time.monotonic() - begin
        time.sleep(0.01)
    raise AssertionError(f"the server was not {status} within {timeout_s} s")


def start(server: Server, prediction: str, **inputs: Any) -> Answer:
    """Start a prediction under a name of ours and do not wait for it."""
    end = time.monotonic() + 60
    while True:
        answer = server.request("PUT", f"/predictions/{prediction}", {"input": inputs}, {"Prefer": "respond-async"})
        if answer.status != 409 or time.monotonic() > end:
            return answer
        time.sleep(0.02)


def test_prediction_gives_a_wav_that_plays(spoken: Answer, tmp_path: Path) -> None:
    assert spoken.status == 200
    assert spoken.body["status"] == "succeeded", spoken.body
    assert spoken.body["output"].startswith("data:audio/wav;base64,")
    data = read_data_url(spoken.body["output"])
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        n_samples = file.getnframes()
        samples = np.frombuffer(file.readframes(n_samples), dtype=np.int16)
    assert samples.size == n_samples > 0
    assert np.abs(samples.astype(int)).max() > 0
    assert n_samples / 24_000 == pytest.approx(spoken.body["metrics"]["audio_seconds"])
    (tmp_path / "out.wav").write_bytes(data)
    info = read_info(tmp_path / "out.wav")
    assert (info["text"], info["seed"], info["model"]) == (TEXT, 7, "demo")


def test_server_speaks_what_the_core_speaks(spoken: Answer, tmp_path: Path) -> None:
    expected = Bark.load("demo").generate(TEXT, seed=7)
    given = tokens_of(spoken, tmp_path)
    for mine, theirs in zip((expected.semantic, expected.coarse, expected.fine), (given.semantic, given.coarse, given.fine), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_logs_name_the_seed_and_hold_one_readable_progress_bar(spoken: Answer) -> None:
    logs = spoken.body["logs"]
    assert "Seed: 7\n" in logs
    # The pattern with which clients look for progress in a line of the logs.
    shown = [found for line in logs.split("\n") if (found := re.match(r"^\s*(\d+)%\s*\|.+?\|\s*(\d+)/(\d+)", line))]
    percents = [int(found[1]) for found in shown]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert {found[3] for found in shown} == {"100"}


def test_metrics_are_numbers_for_every_stage(spoken: Answer) -> None:
    metrics = spoken.body["metrics"]
    for stage in ("semantic", "coarse", "fine", "codec"):
        assert metrics[f"{stage}_seconds"] > 0
    assert metrics["coarse_tokens"] % 2 == 0
    assert metrics["fine_tokens"] == 4 * metrics["coarse_tokens"]
    assert metrics["seed"] == 7
    seconds = sum(metrics[f"{stage}_seconds"] for stage in ("semantic", "coarse", "fine", "codec"))
    assert metrics["real_time_factor"] == pytest.approx(seconds / metrics["audio_seconds"], rel=0.05)


def test_what_there_is_to_note_stands_in_the_logs_every_time(server: Server, spoken: Answer) -> None:
    for _ in range(2):
        answer = server.predict(prompt="I love it😀", seed=1)
        assert "\nNote: Not known to the model's tokenizer, and so not spoken: '😀'. Write that in other words or letters.\n" in answer.body["logs"]
        assert answer.body["logs"].count("Not known") == 1
        assert answer.body["metrics"]["reached_ceiling"] is False
    assert "Note:" not in spoken.body["logs"]


def test_a_seed_left_out_is_reported_and_makes_the_same_again(server: Server) -> None:
    first = server.predict(prompt="Yes, it is.")
    seed = first.body["metrics"]["seed"]
    assert f"Seed: {seed}\n" in first.body["logs"]
    assert server.predict(prompt="Yes, it is.", seed=float(seed)).body["output"] == first.body["output"]


def test_the_older_name_of_prompt_works_and_comes_first(server: Server, spoken: Answer) -> None:
    for inputs in ({"text_prompt": TEXT}, {"text_prompt": TEXT, "prompt": "Something else."}):
        assert server.predict(seed=7, **inputs).body["output"] == spoken.body["output"]


def test_a_voice_of_the_model_is_taken_by_name(server: Server, spoken: Answer, tmp_path: Path) -> None:
    answer = server.predict(prompt=TEXT, seed=7, history_prompt="demo_speaker_1")
    assert answer.body["status"] == "succeeded", answer.body
    (tmp_path / "named.wav").write_bytes(read_data_url(answer.body["output"]))
    assert read_info(tmp_path / "named.wav")["voice"] == "demo_speaker_1"
    assert answer.body["output"] != spoken.body["output"]


def test_an_output_is_a_voice_for_the_next_prediction(server: Server, spoken: Answer, tmp_path: Path) -> None:
    wav = read_data_url(spoken.body["output"])
    (tmp_path / "voice.wav").write_bytes(wav)
    voice = Voice.load(tmp_path / "voice.wav")
    voice.save(tmp_path / "voice.npz")
    npz = (tmp_path / "voice.npz").read_bytes()
    first = server.predict(prompt="And then?", seed=3, custom_history_prompt=as_data_url(wav))
    second = server.predict(prompt="And then?", seed=3, custom_history_prompt=as_data_url(npz))
    without = server.predict(prompt="And then?", seed=3)
    assert first.body["status"] == "succeeded", first.body
    given = [tokens_of(answer, tmp_path) for answer in (first, second, without)]
    np.testing.assert_array_equal(given[0].fine, given[1].fine)
    assert not np.array_equal(given[0].fine, given[2].fine)


def test_arrays_of_these_tests_are_a_voice() -> None:
    assert tuple(VOICE) == ARRAYS
    Voice.load(VOICE)


@pytest.mark.parametrize(("inputs", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_input_is_refused_by_name(server: Server, inputs: dict[str, Any], reason: str) -> None:
    answer = server.predict(**inputs)
    assert answer.status == 422, answer
    assert [fault["loc"][-1] for fault in answer.body["detail"]] == list(inputs) * len(answer.body["detail"])
    assert reason in answer.body["detail"][0]["msg"] or reason in answer.body["detail"][-1]["msg"]


@pytest.mark.parametrize(("inputs", "sentence"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_input_fails_with_a_sentence(server: Server, inputs: dict[str, Any], sentence: str) -> None:
    answer = server.predict(**inputs)
    assert answer.status == 200
    assert answer.body["status"] == "failed"
    assert sentence in answer.body["error"]
    assert "/tmp" not in answer.body["error"]
    assert "Traceback" not in server.log


@pytest.mark.parametrize("body", [{"prompt": "Hello", "seed": 3}, {"input": {"promt": "Hello"}}], ids=["no input", "misspelt"])
def test_what_the_server_drops_is_seen_in_the_logs(server: Server, body: dict[str, Any]) -> None:
    answer = server.request("POST", "/predictions", body)
    assert answer.body["status"] == "succeeded", answer.body
    assert "\nSpeaking 'Hello, my name is Suno. And, uh — and I like pizza." in answer.body["logs"]
    assert f"with voice None, seed {answer.body['metrics']['seed']}, text_temp 0.7" in answer.body["logs"]


def test_unknown_inputs_and_broken_requests_do_no_harm(server: Server, spoken: Answer) -> None:
    assert server.predict(prompt=TEXT, seed=7, volume=11).body["output"] == spoken.body["output"]
    assert server.request("POST", "/predictions", ["no", "object"]).status in (400, 422)
    assert server.request("GET", "/nowhere").status == 404
    wait_for(server, "READY", 30)


def test_schema_is_served(server: Server, root: Path) -> None:
    assert server.request("GET", "/openapi.json").body == json.loads((root / ".cog" / "openapi_schema.json").read_text(encoding="utf-8"))


def test_cancelled_prediction_frees_its_slot_within_a_second(server: Server, lengthy: dict[str, Any]) -> None:
    seconds = []
    for round_number in range(3):
        name = f"cancelled-{os.getpid()}-{round_number}"
        assert start(server, name, **lengthy).status == 202
        wait_for(server, "BUSY", 30)
        time.sleep(0.4 * round_number)  # cut into it at different places
        assert server.request("POST", f"/predictions/{name}/cancel").status == 200
        seconds.append(wait_for(server, "READY", 30))
        assert server.predict(prompt="Go on.", seed=1).body["status"] == "succeeded"
    assert min(seconds) < 1, seconds  # the best of them: whatever else keeps this machine busy takes its time, too


def test_same_name_is_one_prediction(server: Server, lengthy: dict[str, Any]) -> None:
    name = f"same-{os.getpid()}"
    lines_before = server.log.count(name)
    answers = [start(server, name, **lengthy) for _ in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    assert {answer.body["id"] for answer in answers} == {name}
    assert server.log.count(f"Starting prediction prediction_id={name}") == lines_before + 1
    assert server.request("POST", f"/predictions/{name}/cancel").status == 200
    wait_for(server, "READY", 30)


def test_webhook_hears_the_start_and_the_end(server: Server, spoken: Answer) -> None:
    heard: list[dict[str, Any]] = []
    finished = threading.Event()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            if heard[-1]["status"] in ("succeeded", "failed", "canceled"):
                finished.set()

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        hook = f"http://127.0.0.1:{listener.server_port}/hook"
        body = {"input": {"prompt": TEXT, "seed": 7}, "webhook": hook, "webhook_events_filter": ["start", "completed"]}
        assert server.request("POST", "/predictions", body, {"Prefer": "respond-async"}).status == 202
        assert finished.wait(120)
        listener.shutdown()
    assert heard[0]["status"] in ("starting", "processing")
    assert heard[-1]["status"] == "succeeded"
    assert heard[-1]["output"] == spoken.body["output"]
    assert heard[-1]["metrics"]["seed"] == 7
    wait_for(server, "READY", 30)


def worker_memory(server: Server) -> int:
    """Return the bytes that the server and its worker hold."""
    process = psutil.Process(server.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


def test_fifty_predictions_leave_no_memory_and_no_files(server: Server, spoken: Answer) -> None:
    wav = as_data_url(read_data_url(spoken.body["output"]))
    ids, memory = [], []
    for number in range(50):
        voice = {"custom_history_prompt": wav} if number % 2 else {}
        answer = server.predict(prompt="One more.", seed=number % 5, **voice)
        assert answer.body["status"] == "succeeded", answer.body
        ids.append(answer.body["id"])
        memory.append(worker_memory(server))
    # The first ten may still be filling caches that stay as they are. Each ten are the same ten predictions.
    assert statistics.median(memory[-10:]) - statistics.median(memory[10:20]) < 16 * 2**20, memory
    left = [path for path in server.scratch.rglob("*") if path.is_file()]
    assert len(left) == 1, left
    assert left[0].suffix == ".wav"
    kept_by_cog = [path for name in ids for path in Path("/tmp/coglet/predictions", name).rglob("*") if path.is_file()]
    assert not kept_by_cog


def test_nothing_is_left_when_the_server_ends() -> None:
    server = Server({"BARK_MODEL": "demo"})
    try:
        server.launch()
        server.wait_ready()
        assert server.predict(prompt="Good night.", seed=1).body["status"] == "succeeded"
        assert list(server.scratch.rglob("*.wav"))
        process = psutil.Process(server.pid)
        process.terminate()
        assert process.wait(60) == 0
        end = time.monotonic() + 20
        while list(server.scratch.iterdir()) and time.monotonic() < end:
            time.sleep(0.1)
        assert not list(server.scratch.iterdir())
    finally:
        server.stop()


def test_failed_setup_says_why(tmp_path: Path) -> None:
    server = Server({"BARK_MODEL": str(tmp_path / "nothing")})
    try:
        server.launch()
        with pytest.raises(ServerError, match=r"CheckpointError: .*nothing.*\."):
            server.wait_ready()
        assert server.request("GET", "/health-check").body["status"] == "SETUP_FAILED"
        assert server.request("POST", "/predictions", {"input": {}}).status == 503
    finally:
        server.stop()


def test_waiting_ends_when_the_worker_cannot_start(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'Traceback (most recent call last): no such module' >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    server = Server({"BARK_MODEL": "demo", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}, ready_timeout_s=60)
    begin = time.monotonic()
    with pytest.raises(ServerError, match="Traceback|setup failed"), server:
        pass
    assert time.monotonic() - begin < 50
