"""Trying a capture in a process of its own: what it says where there is no GPU, and that no way of failing reaches who waits."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import torch

from bark_core.engine.probe import Probe, probing, try_capture
from bark_core.engine.record import GraphsUnavailable
from tests.engine.fake_cuda import FakeCuda

PLACE = (torch.device("cuda:0"), "fp16")


def stand_in(tmp_path: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Have something else than Python take the probe's place."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    patch.setattr(sys, "executable", str(path))


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_probe_says_so() -> None:
    with pytest.raises(GraphsUnavailable, match="CUDA|NVIDIA"):
        Probe(*PLACE).finish()


def test_what_is_tried_is_captured_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    assert try_capture(torch.device("cpu"), "fp32") == ""
    assert cuda.n_begun == cuda.n_ended == 8
    cuda.fails = "body"
    assert try_capture(torch.device("cpu"), "fp32") == "CUDA error: operation not permitted when stream is capturing"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo 'one line'; echo 'Segmentation fault' >&2; exit 139", "ended with 139: Segmentation fault"),
        ("exit 1", "ended with 1: nothing was said"),
        ("""echo 'hello'; echo '{"trouble": "it is broken"}'""", "^it is broken$"),
        ("""echo '{"trouble"'""", "ended with 0: nothing was said"),
    ],
)
def test_a_probe_that_fails_is_a_sentence(script: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(GraphsUnavailable, match=sentence), probing([PLACE]) as finish:
        finish()


def test_a_probe_that_went_well_lets_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, """echo "$@" >&2; echo '{"trouble": ""}'""")
    with probing([PLACE, (torch.device("cuda:1"), "fp16")]) as finish:
        finish()


def test_where_no_process_can_be_started_nothing_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for nowhere in ("/nowhere/python", None):
        monkeypatch.setattr(sys, "executable", nowhere)
        with probing([PLACE]) as finish:
            loaded = True
            with pytest.raises(GraphsUnavailable, match="no process could be started to try it"):
                finish()
        assert loaded


def test_a_probe_that_hangs_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "exec sleep 600")
    probe = Probe(*PLACE)
    with pytest.raises(GraphsUnavailable, match="not done after 0 seconds"):
        probe.finish(0.1)
    assert probe._process.poll() is not None
    with pytest.raises(KeyError), probing([PLACE]):
        raise KeyError  # loading failed
