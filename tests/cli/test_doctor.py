"""`doctor`: a whole machine passes; each thing that can be wrong is named with what to do, and nothing shows whose machine it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bark_core.cli.doctor import INDENT, WIDTH, render
from bark_core.engine.runtime import DTYPES
from bark_core.engine.survey import survey_precisions
from bark_core.speech.diagnosis import hide_home
from tests.conftest import ROOT


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BARK_", "HF_"))}
    command = [sys.executable, "-m", "bark_core", "doctor", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**env, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """What is found here, as JSON; the machine must be one on which nothing is wrong."""
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler on this machine, which doctor rightly finds wrong")
    done = run("--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_whole_machine_has_no_problems_and_everything_is_told(healthy: dict[str, Any]) -> None:
    assert healthy["problems"] == []
    assert [each["asked"] for each in healthy["precisions"]] == ["auto", "fast", *DTYPES]
    assert healthy["kernel"]["instructions"] and healthy["machine"]["n_cores"] >= 1 and healthy["memory_gb"] > 0
    held = {each["name"]: each for each in healthy["checkpoints"]}
    assert held["demo"]["fault"] is None and held["demo"]["folder"].endswith("demo")
    assert healthy["versions"]["torch"] != "missing"
    for precision in healthy["precisions"]:
        assert bool(precision["parts"]) != bool(precision["refused"]), precision


def test_the_screen_is_one_screen_and_ends_with_what_to_do(healthy: dict[str, Any]) -> None:
    lines = render(healthy).splitlines()
    assert len(lines) <= 32 and max(len(line) for line in lines) <= WIDTH
    assert {line[:INDENT].strip() for line in lines} >= {"bark", "machine", "GPUs", "kernel", "precisions", "checkpoints", "caches"}
    text = render({**healthy, "problems": ["The roof leaks. Mend it."], "next_step": "The roof leaks. Mend it."})
    assert text.endswith("\nNext: The roof leaks. Mend it.") and "wrong        The roof leaks." in text


@pytest.mark.slow
def test_what_would_run_is_what_the_runtime_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the kernel away from the runtime, and the survey says torch, and why."""
    from bark_core.engine import runtime
    from bark_core.engine.compile import NativeUnavailable

    def refuse() -> None:
        raise NativeUnavailable("for this test")

    monkeypatch.setattr(runtime, "load_library", refuse)
    found = {each.asked: each for each in survey_precisions()}
    assert {part["code"] for part in found["fp32"].parts.values()} == {"torch"}
    assert "for this test" in found["fp32"].warnings[0]
    if not runtime.torch.cuda.is_available():
        assert found["auto"].parts == found["fp32"].parts
        assert "fp16 was asked for on a CPU" in str(found["fp16"].refused)


@pytest.mark.slow
def test_all_that_is_wrong_is_named_and_the_exit_code_is_1(tmp_path: Path, demo_folder: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(demo_folder, weights / "demo")
    (weights / "demo" / "fine.safetensors").write_bytes((weights / "demo" / "fine.safetensors").read_bytes()[:5000])
    (tmp_path / "file").write_text("")
    done = run(
        BARK_WEIGHTS=str(weights), BARK_PRECISION="fp8", CXX="/nowhere/c++", XDG_CACHE_HOME=str(tmp_path / "file"), HF_HOME=str(tmp_path / "hub")
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    shown = " ".join(done.stdout.split())
    for said in (
        "no C++ compiler here (/nowhere/c++)",
        "demo damaged",
        "fine.safetensors cannot be read",
        "BARK_PRECISION cannot be used: A precision of 'fp8' was given",
        "cannot be written. Make it writable",
    ):
        assert said in shown, said
    assert "Next: The compiled kernel is not to be had" in shown
    assert done.stderr.splitlines()[-1].endswith("things are wrong.")


@pytest.mark.slow
def test_nothing_shows_whose_machine_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home" / "alicia"
    home.mkdir(parents=True)
    if (kept := Path.home() / ".cache" / "bark").is_dir():
        shutil.copytree(kept, home / ".cache" / "bark")  # or each run would compile the kernel
    done = run(HOME=str(home), HF_TOKEN="hf_secret", HTTPS_PROXY="http://me:secret@127.0.0.1:1")
    assert "~/.cache/bark/kernels" in done.stdout
    assert "alicia" not in done.stdout + done.stderr and "secret" not in done.stdout + done.stderr
    assert os.uname().nodename not in done.stdout


def test_home_is_hidden_only_where_it_is_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert hide_home({"a": ["/home/al/x", Path("/home/alma/x")], "b": "in /home/al/y, and /home/al"}) == {
        "a": ["~/x", "/home/alma/x"], "b": "in ~/y, and ~",
    }  # fmt: skip
    monkeypatch.setenv("HOME", "/")
    assert hide_home("/x") == "/x"
