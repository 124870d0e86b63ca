"""Many requests on one set of models: each moves through the stages beside the others, and comes out as it would alone.

Stepped by whoever drives it, from one thread; there are none in here. What moves next is the policy's to say, what becomes of a take
the narrator's.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

from bark_core.config import PARTS
from bark_core.engine.runtime import Runtime
from bark_core.speech.narrate import Narrator
from bark_core.speech.policy import CAUSAL, Aim, Load, Turn, choose_stage
from bark_core.stages.lanes import LANES, Passage


class Scheduler:
    """The stages' lanes, and who is served on them. Closing it stops all work and gives back what was borrowed."""

    def __init__(self, runtime: Runtime, n_slots: int, aim: Aim = Aim.MOST_AUDIO, is_shared: bool = False) -> None:
        """`n_slots`: how many rows a stage moves together at most. `is_shared`: requests come while others are on their way."""
        self._lanes = {lane.stage: lane(runtime, n_slots, is_shared) for lane in LANES}
        self._aim = aim
        # Where only one stage's weights are to be on their device at a time, each has its turn.
        self._in_turns = PARTS if runtime.is_offloaded else CAUSAL
        self._turn: Turn | None = None
        self._numbers = itertools.count()
        self._n_arrived = 0
        self._requests: dict[Narrator, int] = {}
        self._owners: dict[Passage, tuple[Narrator, int]] = {}

    def __len__(self) -> int:
        """Return how many requests are on their way."""
        return len(self._requests)

    def add(self, narrator: Narrator, window: int, is_streamed: bool = False) -> None:
        """Serve a request, at most `window` of its lines at a time, until it is done; as `Narrator.begin` has it."""
        self._requests[narrator] = next(self._numbers)
        self._send(narrator, narrator.begin(window, is_streamed))

    def drop(self, narrator: Narrator) -> None:
        """Stop a request; the others go on as if it had never been."""
        self._requests.pop(narrator, None)
        for passage in [passage for passage, (owner, _) in self._owners.items() if owner is narrator]:
            del self._owners[passage]
            self._lanes[passage.stage].drop(passage)

    def step(self) -> Sequence[Narrator]:
        """Move one stage by one step; return the requests that have something to tell, of which some may be done."""
        loads = {stage: self._load(lane.passages) for stage, lane in self._lanes.items() if len(lane)}
        if not loads:
            return ()
        stage, self._turn = choose_stage(loads, self._turn, self._n_arrived, self._aim, self._in_turns)
        lane, begin = self._lanes[stage], time.perf_counter()
        try:
            moved = lane.step()
        except Exception as error:  # of the engine: what is in its hands is lost, and nothing else
            return self._fail({self._owners[passage][0] for passage in lane.passages}, error)
        seconds = time.perf_counter() - begin
        telling = dict.fromkeys(self._owners[passage][0] for passage in moved)
        for narrator in telling:
            narrator.seconds[stage] = narrator.seconds.get(stage, 0.0) + seconds
            narrator.note_progress(stage)
        for passage in moved:
            if passage.is_through and passage in self._owners:
                self._resume(passage)
        return list(telling)

    def close(self) -> None:
        """Stop all work."""
        self._requests.clear()
        self._owners.clear()
        for lane in self._lanes.values():
            lane.close()

    def _resume(self, passage: Passage) -> None:
        narrator, _ = self._owners.pop(passage)
        try:
            self._send(narrator, narrator.resume(passage))
        except Exception as error:  # of this request alone
            self._fail([narrator], error)
        else:
            if narrator.is_done:
                self._requests.pop(narrator, None)

    def _send(self, narrator: Narrator, passages: Sequence[Passage]) -> None:
        """Let a request's passages into the stages where they are to go on."""
        for passage in passages:
            self._owners[passage] = narrator, self._n_arrived
            self._n_arrived += 1
            self._lanes[passage.stage].add(passage)

    def _fail(self, narrators: Iterable[Narrator], error: Exception) -> list[Narrator]:
        for narrator in (failed := list(narrators)):
            narrator.error = error
            self.drop(narrator)
        return failed

    def _load(self, passages: Sequence[Passage]) -> Load:
        oldest, urgent = min(self._owners[passage][1] for passage in passages), None
        if self._aim is Aim.FIRST_AUDIO:
            urgent = min((self._requests[self._owners[passage][0]] for passage in passages if passage.is_urgent), default=None)
        return Load(oldest, urgent)
