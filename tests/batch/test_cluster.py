"""`--ray`: a worker killed, a node lost, the run killed and started again: every line once, and every byte as without Ray.

The cluster is a local one of two nodes, which Ray makes for tests.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from bark_core.batch import cluster
from bark_core.batch.cluster import MAX_DEATHS, MAX_RETRIES, RaySpeakers, Worker, plan_workers
from bark_core.batch.entries import Defaults
from bark_core.batch.requests import Request
from bark_core.batch.run import speak_file
from bark_core.batch.speaking import Outcome
from bark_core.cli.main import main
from bark_core.errors import BarkError, InvalidInput
from tests.batch.lines import Parrot, finish, list_words, read_report, read_speech, start, wait_for, write_lines

N_LINES = 40
RAY = ("--worker-cpus", "1", "--batch-size", "1", "--ray-timeout", "240", "--ray")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with a CPU each."""
    pytest.importorskip("ray", reason="the package ray (extra ray) is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """Lines, one of them with a voice from a file, which no node need have. The last ones are long: there is time to kill what speaks them."""
    folder = tmp_path_factory.mktemp("lines")
    voice = {"voice": str(tiny / "voices" / "demo_speaker_1.npz")}
    lines = [{"id": f"{n:02}", "text": f"This is line {n}.", **({} if n < 16 else {"max_seconds": 2.0}), **(voice if n == 3 else {})} for n in range(N_LINES)]
    return write_lines(folder / "a.jsonl", *lines)


@pytest.fixture(scope="module")
def whole(source: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without Ray gives."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(list_words(source, folder, tiny)) == 0
    return read_speech(folder)


def find_workers(nodes: Any) -> list[psutil.Process]:
    """Return the processes that speak, or are about to."""
    raylets = [each.process.pid for node in nodes.list_all_nodes() for each in node.all_processes.get("raylet", ())]
    found = [child for pid in raylets if psutil.pid_exists(pid) for child in psutil.Process(pid).children()]
    return [each for each in found if each.name().startswith("ray::Worker")]


@pytest.mark.slow
def test_killed_runs_killed_workers_and_lost_nodes_cost_no_line(
    nodes: Any, root: Path, source: Path, tiny: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    process = start(root, source, folder, tiny, *RAY, nodes.address)
    wait_for(process, lambda: folder.is_dir() and bool(read_speech(folder)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = read_speech(folder)
    assert done.items() <= whole.items(), "whatever has its name is whole"

    before = {each.pid for each in find_workers(nodes)}
    process = start(root, source, folder, tiny, *RAY, "auto", env={**os.environ, "RAY_ADDRESS": nodes.address})
    wait_for(process, lambda: len(read_speech(folder)) > len(done))
    next(each for each in find_workers(nodes) if each.pid not in before).kill()
    n_before = len(read_speech(folder))
    wait_for(process, lambda: len(read_speech(folder)) > n_before)
    lost = nodes.list_all_nodes()[1]
    nodes.remove_node(lost)
    said = finish(process)
    nodes.add_node(num_cpus=1)
    assert f"The node {lost.node_id[:8]} is lost" in said
    assert read_speech(folder) == whole
    report = read_report(folder)
    assert (report["n_unchanged"], report["n_spoken"], report["n_failed"]) == (len(done), N_LINES - len(done), 0)
    assert len({each["id"] for each in report["spoken"]}) == len(report["spoken"]) == N_LINES

    assert main(list_words(source, folder, tiny)) == 0, "without Ray it is the same run"
    assert read_report(folder)["n_unchanged"] == N_LINES


class Deadly(Worker):
    """A worker without a model, whose process ends where a text says so."""

    def __init__(self, *_: Any) -> None:
        super().__init__("", "", "", 1)
        self._facts = Parrot.facts

    def speak(self, batch: Sequence[Request]) -> list[Outcome]:
        if any(request.text == "Die." for request in batch):
            os._exit(1)
        return next(Parrot().speak([batch]))


@pytest.mark.slow
def test_a_line_that_kills_its_worker_fails_alone(nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "Worker", Deadly)
    monkeypatch.setattr(cluster, "__version__", Parrot.facts.version)
    source = write_lines(tmp_path / "a.jsonl", *({"id": str(n), "text": "Die." if n == 5 else f"Line {n}."} for n in range(12)))
    with RaySpeakers(nodes.address, "none", n_rows=2, worker_cpus=1, timeout_s=120) as speakers:
        progress = speak_file(source, tmp_path / "out", speakers, Defaults(), 2)
    assert (progress.n_spoken, progress.n_failed) == (11, 1)
    (failed,) = read_report(tmp_path / "out")["failed"]
    assert failed["id"] == "5" and f"died, {MAX_DEATHS * (MAX_RETRIES + 1)} times over" in failed["error"]


@pytest.mark.slow
def test_a_cluster_without_room_and_workers_without_a_model(nodes: Any, tiny: Path) -> None:
    import ray

    ray.init(nodes.address, log_to_driver=False)
    try:
        with pytest.raises(InvalidInput, match=r"No node of the Ray cluster .* has room for a worker, which takes 8 CPUs; they have: .*: 1 CPU"):
            RaySpeakers(nodes.address, str(tiny), worker_cpus=8)
        with pytest.raises(BarkError, match=r"The worker \d+ on the node \w+ cannot load the model: .*no/model"):
            RaySpeakers(nodes.address, "no/model", worker_cpus=1, timeout_s=120)
        hold: Any = ray.remote(num_cpus=1)(Held)
        others = [hold.remote() for _ in range(2)]
        ray.get([each.ready.remote() for each in others])
        with pytest.raises(InvalidInput, match=r"had room for a worker within 1 s: it takes 1 CPU, and .* is free in all"):
            RaySpeakers(nodes.address, str(tiny), worker_cpus=1, timeout_s=1)
        assert ray.is_initialized(), "whoever joined the cluster stays in it"
    finally:
        ray.shutdown()


class Other(Worker):
    """A worker without a model, of which the second that starts has another one than the first."""

    def __init__(self, folder: str, *_: Any) -> None:
        is_first = True
        try:
            os.close(os.open(f"{folder}/first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            is_first = False
        super().__init__("", "", "", 1)
        self._facts = replace(Parrot.facts, digest="0" * 16 if is_first else "1" * 16)

    def speak(self, batch: Sequence[Request]) -> list[Outcome]:
        return next(Parrot().speak([batch]))


@pytest.mark.slow
def test_a_node_with_another_model_is_left_out(nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "Worker", Other)
    monkeypatch.setattr(cluster, "__version__", Parrot.facts.version)
    source = write_lines(tmp_path / "a.jsonl", *({"id": str(n), "text": f"Line {n}."} for n in range(12)))
    said: list[str] = []
    with RaySpeakers(nodes.address, str(tmp_path), n_rows=1, on_message=said.append, worker_cpus=1, timeout_s=120) as speakers:
        assert speak_file(source, tmp_path / "out", speakers, Defaults(), 1).n_spoken == 12
        end = time.monotonic() + 120
        while not said and time.monotonic() < end:
            speakers._wait()
    assert len({each["sha256"] for each in read_report(tmp_path / "out")["spoken"]}) == 12
    assert len(said) == 1 and "1111111111111111" in said[0] and "give all nodes the same. It is left out." in said[0]


class Held:
    """An actor that keeps a CPU."""

    def ready(self) -> bool:
        return True


def test_where_ray_is_absent_or_no_cluster_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"Ray is not installed; install the extra ray"):
        RaySpeakers("auto", "demo")
    with pytest.raises(InvalidInput, match="worker_cpus was 0"):
        RaySpeakers("auto", "demo", worker_cpus=0)


def node(**resources: float) -> dict[str, Any]:
    return {"Resources": resources, "NodeManagerAddress": "10.0.0.1"}


@pytest.mark.parametrize(
    ("nodes", "cpus", "expected"),
    [
        ([node(CPU=16), node(CPU=6)], None, ({"CPU": 4}, 5)),
        ([node(CPU=2), node(CPU=1)], None, ({"CPU": 2}, 1)),
        ([node(CPU=2), node(CPU=1)], 1, ({"CPU": 1}, 3)),
        ([node(CPU=64, GPU=8), node(CPU=64)], None, ({"GPU": 1, "CPU": 1}, 8)),
        ([node(CPU=4, GPU=8)], 2, ({"GPU": 1, "CPU": 2}, 2)),
    ],
)
def test_how_many_workers_there_are(nodes: list[dict[str, Any]], cpus: int | None, expected: tuple[dict[str, int], int]) -> None:
    assert plan_workers(nodes, cpus) == expected


@pytest.mark.parametrize(("nodes", "cpus"), [([], None), ([node(memory=1.0)], None), ([node(CPU=4)], 5), ([node(GPU=1)], None)])
def test_no_node_has_room_even_when_it_is_free(nodes: list[dict[str, Any]], cpus: int | None) -> None:
    with pytest.raises(InvalidInput, match=r"No node of the Ray cluster X has room for a worker, which takes .*they have: "):
        plan_workers(nodes, cpus, "X")
