"""A host speaks for callers in other threads: each gets its own, a fault is told, and what is cancelled is stopped."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from bark_core import Bark, GenerationError
from bark_core.speech.host import Host, Ticket
from bark_core.speech.narrate import Narrator
from bark_core.speech.scheduler import Scheduler
from tests.speech.test_bark import make_bark, same

WAIT_S = 120


@pytest.fixture(scope="module")
def bark() -> Bark:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        return make_bark()


@pytest.fixture
def host(bark: Bark) -> Iterator[Host]:
    with closing(Host(bark.runtime, 4)) as running:
        yield running


def hand_in(host: Host, bark: Bark, text: str, seed: int, max_seconds: float = 0.3, min_eos_p: float = 0.2) -> tuple[Ticket, threading.Event]:
    """Submit a text; return its ticket, and an event that is set at its end."""
    done = threading.Event()
    session = bark.open_session(text, seed=seed, max_seconds=max_seconds, min_eos_p=min_eos_p, split=True)
    return host.submit(session, lambda ticket: ticket.is_done and done.set()), done


def test_each_caller_gets_its_own_and_pieces_in_order(bark: Bark, host: Host) -> None:
    texts = ["One.", "Two words.", "Good morning to all. The ship left at nine, and nobody on it had slept that night."]
    found: dict[int, Ticket] = {}

    def call(seed: int) -> None:
        found[seed], done = hand_in(host, bark, texts[seed], seed)
        assert done.wait(WAIT_S)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for seed, ticket in found.items():
        made = bark.present(ticket.session.assemblies[0], ticket.session)
        assert ticket.error is None and same(made, bark.generate(texts[seed], seed=seed, max_seconds=0.3, split=True))
        assert [is_last for _, _, is_last in ticket.pieces] == [*(False for _ in made.utterances[1:]), True]
        assert all(done == total for _, done, total in ticket.progress.values()) and len(ticket.progress) == 4


def test_an_error_is_its_callers_alone(bark: Bark, host: Host) -> None:
    (good, good_done), (bad, bad_done) = hand_in(host, bark, "Good.", 1), hand_in(host, bark, "Bad.", 1, min_eos_p=1e-9)
    assert bad_done.wait(WAIT_S) and good_done.wait(WAIT_S)
    assert isinstance(bad.error, GenerationError) and good.error is None


def test_what_is_cancelled_stops_and_what_is_cancelled_late_is_as_it_was(bark: Bark, host: Host) -> None:
    long, _ = hand_in(host, bark, "A very long one. " * 200, 1, max_seconds=15.0)
    short, done = hand_in(host, bark, "Short.", 2)
    host.cancel(long)
    assert done.wait(WAIT_S) and short.error is None
    host.cancel(short)
    again, done = hand_in(host, bark, "Again.", 3)
    assert done.wait(WAIT_S) and again.error is None
    assert long.is_done and not long.pieces


def test_a_fault_of_the_scheduler_ends_those_that_are_there_and_no_other(bark: Bark, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Scheduler.step

    def fail(scheduler: Scheduler) -> Sequence[Narrator]:
        monkeypatch.setattr(Scheduler, "step", step)
        step(scheduler)
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(Scheduler, "step", fail)
    first, done = hand_in(host, bark, "First.", 1)
    assert done.wait(WAIT_S) and isinstance(first.error, ZeroDivisionError)
    second, done = hand_in(host, bark, "Second.", 1)
    assert done.wait(WAIT_S) and second.error is None
