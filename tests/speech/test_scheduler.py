"""Many requests on one scheduler: each comes out as it would alone, whoever comes, goes or fails beside it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bark_core import Bark, BarkWarning, GenerationError
from bark_core.config import PARTS
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.loop import Engine
from bark_core.speech.policy import Aim
from bark_core.speech.scheduler import Scheduler
from bark_core.speech.session import Session
from bark_core.stages.fine import FineRow
from tests.speech.test_bark import STATES, make_bark, same

STORY = "Good morning to all. The ship left at nine. Nobody had slept."
REQUESTS: list[dict[str, Any]] = [
    {"text": "one", "seed": 1},
    {"text": "two words", "seed": 2, "voice": "announcer", "text_temp": 1.1, "waveform_temp": 0.4},
    {"text": STORY, "seed": 3, "split": True, "max_seconds": 0.2},
    {"text": "greedy", "seed": 4, "text_temp": 0, "waveform_temp": 0, "fine_temp": 0},
    {"text": "a few takes", "seed": 5, "n_takes": 3, "top_k": 40},
    {"text": "likely ones", "seed": 6, "top_p": 0.8, "voice": "v2/en_speaker_6", "min_eos_p": 0.05},
    {"text": "no end", "seed": 7, "min_eos_p": None, "fine_temp": 0.9},
    {"text": "one", "seed": 8},
]


def complete(request: dict[str, Any]) -> dict[str, Any]:
    return {"max_seconds": 0.4, **request}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarkWarning)
        yield


@pytest.fixture(scope="module")
def bark() -> Bark:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        return make_bark()


@pytest.fixture(scope="module")
def alone(bark: Bark) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarkWarning)
        return [bark.generate(**complete(request)) for request in REQUESTS]


def open_all(bark: Bark) -> list[Session]:
    return [bark.open_session(**complete(request)) for request in REQUESTS]


def drive(scheduler: Scheduler, waiting: list[Session], rng: random.Random, every: int = 15) -> int:
    """Let sessions join at random steps and run all to their ends; return the number of steps."""
    joined, n_steps = list[Session](), 0
    while waiting or len(scheduler):
        if waiting and (not len(scheduler) or not rng.randrange(every)):
            joined.append(waiting.pop(0))
            joined[-1].join(scheduler, is_shared=True)
        scheduler.step()
        n_steps += 1
        for session in joined:
            list(session.take_events())
    assert all(session.is_done for session in joined)
    return n_steps


def finish(scheduler: Scheduler, *sessions: Session) -> None:
    """Run a scheduler to the end of all that is on it."""
    while len(scheduler):
        scheduler.step()
    for session in sessions:
        list(session.take_events())


def step_until_error(scheduler: Scheduler, session: Session) -> None:
    """Step until a session raises what ended it."""
    while True:
        scheduler.step()
        list(session.take_events())


def made_by(bark: Bark, session: Session) -> Any:
    return bark.present(session.assemblies[0], session)


@pytest.mark.slow
@pytest.mark.parametrize(("aim", "n_slots"), [(Aim.MOST_AUDIO, 4), (Aim.FIRST_AUDIO, 8)])
def test_requests_that_join_in_mid_run_come_out_as_alone(bark: Bark, alone: list[Any], aim: Aim, n_slots: int) -> None:
    sessions = open_all(bark)
    scheduler = Scheduler(bark.runtime, n_slots, aim, is_shared=True)
    n_steps = drive(scheduler, list(sessions), random.Random(n_slots))
    for session, wanted in zip(sessions, alone, strict=True):
        made = made_by(bark, session)
        assert same(made, wanted) and made.notes == wanted.notes and made.settings == wanted.settings
        assert [each.seed for each in made.utterances] == [each.seed for each in wanted.utterances]
        assert set(made.timings.seconds) == set(wanted.timings.seconds) and made.timings.logprobs == pytest.approx(wanted.timings.logprobs)
    n_drawn = sum(len(wanted.semantic) + wanted.coarse.size for wanted in alone)
    assert n_steps < 0.6 * n_drawn, "steps are shared"


@pytest.mark.parametrize("stage", PARTS)
def test_who_is_cancelled_at_any_stage_leaves_the_others_as_they_were(bark: Bark, alone: list[Any], stage: str) -> None:
    sessions = open_all(bark)[:4]
    scheduler = Scheduler(bark.runtime, 4, is_shared=True)
    for session in sessions:
        session.join(scheduler, is_shared=True)
    cancelled, others = sessions[1], [sessions[0], *sessions[2:]]
    while not any(event[0] == stage for event in list(cancelled.take_events())):
        scheduler.step()
    cancelled.leave(scheduler)
    finish(scheduler, *others)
    assert not any(isinstance(event[0], str) for event in cancelled.take_events())
    for session, wanted in zip(others, [alone[0], *alone[2:4]], strict=True):
        assert same(made_by(bark, session), wanted)


@pytest.mark.slow
def test_an_engine_that_runs_ahead_lets_others_join_and_takes_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = make_bark(plain=True)
    ahead = make_bark(plain=True)
    monkeypatch.setattr(ahead.runtime, "_make_engine", lambda stage, n: GraphEngine(ahead.runtime.causal(stage), n))
    monkeypatch.setattr(plain.runtime, "_make_engine", lambda stage, n: Engine(plain.runtime.causal(stage), n))
    made = []
    for bark in (plain, ahead):
        sessions = open_all(bark)[:4]
        drive(Scheduler(bark.runtime, 1, is_shared=True), list(sessions), random.Random(5), every=5)
        made.append([made_by(bark, session) for session in sessions])
    assert all(same(one, other) for one, other in zip(*made, strict=True))


def test_who_cannot_be_spoken_fails_alone(bark: Bark, alone: list[Any]) -> None:
    sessions = open_all(bark)
    mute = bark.open_session("Hello", seed=1, min_eos_p=1e-9)
    scheduler = Scheduler(bark.runtime, 8, is_shared=True)
    for session in (*sessions[:2], mute):
        session.join(scheduler, is_shared=True)
    with pytest.raises(GenerationError, match="ended the speech of 'Hello' before it began"):
        step_until_error(scheduler, mute)
    finish(scheduler, *sessions[:2])
    assert all(same(made_by(bark, session), wanted) for session, wanted in zip(sessions[:2], alone, strict=False))


def test_an_engine_that_breaks_takes_only_what_it_holds_with_it(bark: Bark, alone: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = bark.open_session(**complete(REQUESTS[0])), bark.open_session(**complete(REQUESTS[1]))
    scheduler = Scheduler(bark.runtime, 8, is_shared=True)
    first.join(scheduler, is_shared=True)

    def open_window(_: FineRow) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(FineRow, "open_window", open_window)
        with pytest.raises(RuntimeError, match="out of memory"):
            step_until_error(scheduler, first)
    second.join(scheduler, is_shared=True)
    finish(scheduler, second)
    assert same(made_by(bark, second), alone[1])


def test_rows_whose_probabilities_are_no_numbers_end_alone() -> None:
    states = {**STATES, "semantic": {key: value.clone() for key, value in STATES["semantic"].items()}}
    # The pad that stands where a voice's tokens would: who has a voice of 256 tokens never reads it.
    states["semantic"]["wte.weight"][500] = torch.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        broken = make_bark(states=states, plain=True)
    codes = {name: np.arange(n * 450).reshape(n, 450) % 1024 for name, n in (("coarse_prompt", 2), ("fine_prompt", 8))}
    voice = {"semantic_prompt": np.arange(300) % 500, **codes}
    good, bad = broken.open_session("good", voice=voice, seed=1, max_seconds=0.3), broken.open_session("bad", seed=1, max_seconds=0.3, n_takes=2)
    scheduler = Scheduler(broken.runtime, 8, is_shared=True)
    for session in (good, bad):
        session.join(scheduler, is_shared=True)
    with pytest.raises(GenerationError, match="not numbers"):
        step_until_error(scheduler, bad)
    finish(scheduler, good)
    assert same(made_by(broken, good), broken.generate("good", voice=voice, seed=1, max_seconds=0.3))


def test_closing_gives_back_what_was_borrowed(bark: Bark) -> None:
    scheduler = Scheduler(bark.runtime, 3, is_shared=True)
    session = bark.open_session(**complete(REQUESTS[0]))
    session.join(scheduler, is_shared=True)
    scheduler.step()
    scheduler.close()
    assert not len(scheduler) and scheduler.step() == ()
    with bark.runtime.lend_engine("semantic", 3) as engine:
        assert engine.longest_run is None
