"""Workers on a Ray cluster, each with a model of its own: batches go to whoever is free, and what a worker or a node takes with it is spoken again.

A worker whose process dies is restarted by Ray, and its batch tried again; one whose node is lost is given up, and its batch goes to another.
Only batches and bytes travel: files are written where the run is.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bark_core import __version__
from bark_core.batch.requests import Facts, Request
from bark_core.batch.speaking import Outcome, speak_batch
from bark_core.errors import BarkError, BarkWarning, InvalidInput

if TYPE_CHECKING:
    from bark_core.speech.bark import Bark

USUAL_CPUS = 4
"""CPUs of a worker without a GPU, where nodes have as many: what its steps gain from more is little, as they wait for memory."""

MAX_RETRIES, MAX_DEATHS = 1, 2
"""How often Ray tries a batch again whose worker's process died, before its halves are tried; and how often a line that is alone is given out."""

POLL_S = 1.0


class Worker:
    """What runs on a node: one model, loaded when it is first asked about, so that a worker that waits for room can be told from one that loads."""

    def __init__(self, model: str, device: str, precision: str, n_rows: int) -> None:
        self._arguments = (model, device, precision)
        self._n_rows = n_rows
        self._bark: Bark | None = None
        self._facts: Facts | None = None
        self._problem: str | None = None

    def locate(self) -> str:
        """Return the node that this is."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def describe(self) -> tuple[Facts | None, str | None, int]:
        """Return what the model is, or why it cannot be loaded, and the process."""
        self._load()
        return self._facts, self._problem, os.getpid()

    def speak(self, batch: Sequence[Request]) -> list[Outcome]:
        """Speak a batch. Raises: BarkError where a process that was started again cannot load the model."""
        self._load()
        if self._bark is None:
            raise BarkError(str(self._problem))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BarkWarning)
            return speak_batch(self._bark, batch, self._n_rows)

    def _load(self) -> None:
        """Load the model, once."""
        if self._facts is not None or self._problem is not None:
            return
        from bark_core.checkpoint.open import open_checkpoint
        from bark_core.speech.bark import Bark

        model, device, precision = self._arguments
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checkpoint = open_checkpoint(model)
                self._bark = Bark.load(model, device=device, precision=precision)
            self._facts = Facts(checkpoint.name, self._bark.digest, tuple(self._bark.voices), __version__)
        except Exception as error:
            self._problem = str(error) if isinstance(error, BarkError) else f"{type(error).__name__}: {error}"


@dataclass(eq=False)
class Place:
    """A worker as the run sees it: its handle, its node (None: it waits for room), the answer that is awaited, and the batch that it is to.

    Without a batch, an answer that is awaited is to where it is, or, once that is known, to what its model is.
    """

    actor: Any
    node: str | None = None
    ref: Any = None
    batch: Sequence[Request] | None = None
    n_deaths: int = 0


class RaySpeakers:
    """As many workers as the cluster has room for: one a GPU, or where it has none, one for each `worker_cpus` CPUs of a node.

    Use it as `with RaySpeakers(...) as speakers:`; the workers are gone after it. Raises: InvalidInput where Ray is not installed, there is
    no such cluster, or no node has room within `timeout_s`; BarkError where no worker can load the model.
    """

    def __init__(
        self,
        address: str,
        model: str,
        device: str = "auto",
        precision: str = "auto",
        n_rows: int = 8,
        on_message: Callable[[str], None] = lambda _: None,
        worker_cpus: int | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        if worker_cpus is not None and worker_cpus < 1:
            raise InvalidInput(f"worker_cpus was {worker_cpus}; a worker takes a whole number of CPUs from 1 up.")
        self._ray, self._is_own = _connect(address)
        self._address = self._ray.get_runtime_context().gcs_address
        self._say, self._timeout_s = on_message, timeout_s
        self._arguments = (model, device, precision, n_rows)
        self._facts: Facts | None = None
        self._places: list[Place] = []
        self._again: deque[Sequence[Request]] = deque()
        self._deaths: Counter[str] = Counter()
        try:
            self._needs, self.n_workers = plan_workers([node for node in self._ray.nodes() if node["Alive"]], worker_cpus, self._address)
            self._remote = self._ray.remote(max_restarts=-1, max_task_retries=MAX_RETRIES, **_as_options(self._needs))(Worker)
            self._places = [self._start() for _ in range(self.n_workers)]
            self._await_first()
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> Facts:
        """What the model is, as the first worker told."""
        assert self._facts is not None
        return self._facts

    def __enter__(self) -> RaySpeakers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, and leave the cluster, unless it was joined before."""
        for place in self._places:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(place.actor)
        if self._is_own:
            self._ray.shutdown()

    def speak(self, batches: Iterable[Sequence[Request]]) -> Iterator[list[Outcome]]:
        """Hand out batches as workers get free; yield what comes back. Raises: BarkError where no worker is left, or none finds room."""
        source, self._again = iter(batches), deque[Sequence[Request]]()
        last_placed = time.monotonic()
        while True:
            for place in self._places:
                if place.ref is None and (batch := self._next(source)) is not None:
                    place.batch, place.ref = batch, place.actor.speak.remote(batch)
            if not any(place.batch for place in self._places):
                # Workers that are still starting are waited for only where there is something for them to do.
                batch = self._next(source)
                if batch is None:
                    return
                self._again.appendleft(batch)
            for outcomes in self._wait():
                if outcomes:
                    yield outcomes
            self._replace_lost()
            if any(place.node for place in self._places):
                last_placed = time.monotonic()
            elif time.monotonic() - last_placed > self._timeout_s:
                raise BarkError(f"{self._explain_room()} What is done is whole; start again, and the rest is spoken.")

    def _next(self, source: Iterator[Sequence[Request]]) -> Sequence[Request] | None:
        return self._again.popleft() if self._again else next(source, None)

    def _wait(self) -> list[list[Outcome]]:
        """Wait a moment for answers; return what was spoken, batch by batch."""
        refs = [place.ref for place in self._places if place.ref is not None]
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=POLL_S)
        return [self._receive(place) for place in [place for place in self._places if place.ref in ready]]

    def _receive(self, place: Place) -> list[Outcome]:
        """Take a worker's answer. A batch that it died of is tried in halves, a line that it died of alone once more; then that line fails."""
        batch, ref = place.batch, place.ref
        place.batch = place.ref = None
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0][:200]
            place.ref = place.actor.describe.remote() if place.node else place.actor.locate.remote()
            if batch is None:
                self._count_death(place, reason)
                return []
            if len(batch) > 1:
                self._again.extend((batch[: len(batch) // 2], batch[len(batch) // 2 :]))
                return []
            self._deaths[batch[0].key] += 1
            if self._deaths[batch[0].key] < MAX_DEATHS:
                self._again.append(batch)
                return []
            return [Outcome(batch[0], error=f"The worker that spoke it died, {MAX_DEATHS * (MAX_RETRIES + 1)} times over: {reason}")]
        if batch is not None:
            return answer
        if place.node is None:
            place.node, place.ref = answer, place.actor.describe.remote()
        else:
            self._greet(place, place.node, answer)
        return []

    def _count_death(self, place: Place, reason: str) -> None:
        """Take note of a worker that died while it was starting, and leave it out where it does so again."""
        place.n_deaths += 1
        if place.n_deaths == MAX_DEATHS:
            self._leave_out(place, f"A worker died while it loaded the model, {MAX_DEATHS * (MAX_RETRIES + 1)} times over: {reason} Is there memory for it?")

    def _leave_out(self, place: Place, reason: str) -> None:
        """Do without a worker. Raises: BarkError where it was the last."""
        self._places.remove(place)
        if not self._places:
            raise BarkError(reason)
        self._say(f"{reason} It is left out.")
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(place.actor)

    def _replace_lost(self) -> None:
        """Put new workers, wherever there will be room, in the place of those whose nodes are gone; what these had goes to others."""
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        for i, place in enumerate(self._places):
            if place.node is None or place.node in alive:
                continue
            self._say(f"The node {place.node[:8]} is lost; what its worker was speaking is spoken by another.")
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(place.actor)
            if place.batch:
                self._again.append(place.batch)
            self._places[i] = self._start()

    def _start(self) -> Place:
        place = Place(self._remote.remote(*self._arguments))
        place.ref = place.actor.locate.remote()
        return place

    def _greet(self, place: Place, node: str, answer: tuple[Facts | None, str | None, int]) -> None:
        """Take a worker in that says that it can speak; leave it out where it cannot, or has another model than the others."""
        facts, problem, pid = answer
        if facts is None:
            self._leave_out(place, f"The worker {pid} on the node {node[:8]} cannot load the model: {problem}")
            return
        wanted = self._facts or facts
        if (facts.version, facts.digest) != (__version__, wanted.digest):
            self._leave_out(
                place,
                f"The node {node[:8]} has bark-core {facts.version} and the model {facts.name} {facts.digest}, where {__version__} and "
                f"{wanted.digest} are spoken here; give all nodes the same.",
            )
            return
        self._facts, place.n_deaths = wanted, 0

    def _await_first(self) -> None:
        """Wait for the first worker; for room as long as is allowed, then for its model, which may have to be fetched. Raises: InvalidInput without room."""
        end = time.monotonic() + self._timeout_s
        while self._facts is None:
            self._wait()
            self._replace_lost()
            if time.monotonic() > end and not any(place.node for place in self._places):
                raise InvalidInput(self._explain_room())

    def _explain_room(self) -> str:
        """Return the sentence for a cluster that has no room."""
        free = {name: amount for name, amount in self._ray.available_resources().items() if name in ("CPU", "GPU")}
        return (
            f"No node of the Ray cluster {self._address} had room for a worker within {self._timeout_s:g} s: it takes {_list(self._needs)}, and "
            f"{_list(free) or 'nothing'} is free in all. Wait for others to end, add a node, or give --worker-cpus less."
        )


def plan_workers(nodes: Sequence[Mapping[str, Any]], worker_cpus: int | None, address: str = "") -> tuple[dict[str, int], int]:
    """Return what a worker takes of a node, and how many workers there are to be: one a GPU, or one for every few CPUs.

    `nodes`: those of the cluster, as Ray lists them. Raises: InvalidInput where none has room even when it is free.
    """
    resources = [node["Resources"] for node in nodes]
    if any(each.get("GPU", 0) >= 1 for each in resources):
        needs = {"GPU": 1, "CPU": worker_cpus or 1}
    else:
        needs = {"CPU": worker_cpus or max(1, min(USUAL_CPUS, int(max((each.get("CPU", 0) for each in resources), default=0))))}
    count = sum(min(int(each.get(name, 0) // amount) for name, amount in needs.items()) for each in resources)
    if not count:
        has = "; ".join(f"{node.get('NodeManagerAddress', '?')}: {_list(node['Resources']) or 'nothing'}" for node in nodes)
        raise InvalidInput(
            f"No node of the Ray cluster {address} has room for a worker, which takes {_list(needs)}; they have: {has or 'no node is alive'}. "
            "Give --worker-cpus less, or add a node."
        )
    return needs, count


def _list(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources[name]:g} {name}{'s' * (resources[name] != 1)}" for name in ("GPU", "CPU") if name in resources)


def _as_options(needs: Mapping[str, int]) -> dict[str, int]:
    return {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0)}


def _connect(address: str) -> tuple[Any, bool]:
    """Join a cluster; return Ray, and whether it was this call that did. Raises: InvalidInput where Ray is not installed, or there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InvalidInput("Ray is not installed; install the extra ray (pip install 'bark-core[ray]'), or leave --ray out.") from error
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=None if address == "auto" else address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InvalidInput(f"No Ray cluster answers at {address!r}: {reason} Start one with `ray start --head`, or give --ray auto.") from error
    return ray, True
