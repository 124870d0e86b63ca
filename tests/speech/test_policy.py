"""Which stage moves next, by cases and by a simulation of what steps cost: no model, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from bark_core.config import PARTS
from bark_core.speech.policy import CAUSAL, Aim, Load, Turn, choose_stage


def test_what_gains_nothing_by_waiting_moves_at_once_and_keeps_whose_turn_it_is() -> None:
    turn = Turn("coarse", 5)
    loads = {"semantic": Load(0), "coarse": Load(1), "fine": Load(2)}
    assert choose_stage(loads, turn, 9) == ("fine", turn)
    assert choose_stage({**loads, "codec": Load(7)}, turn, 9) == ("codec", turn)
    assert choose_stage({"semantic": Load(0), "coarse": Load(1)}, turn, 9) == ("coarse", turn)


def test_a_turn_lasts_for_those_that_were_there_when_it_began() -> None:
    stage, turn = choose_stage({"semantic": Load(0)}, None, 3)
    assert (stage, turn) == ("semantic", Turn("semantic", 3))
    assert choose_stage({"semantic": Load(2), "coarse": Load(3)}, turn, 9)[0] == "semantic", "what came first is still there"
    assert choose_stage({"semantic": Load(3), "coarse": Load(4)}, turn, 9) == ("coarse", Turn("coarse", 9)), "whoever came later waits"
    assert choose_stage({"semantic": Load(3)}, turn, 9) == ("semantic", Turn("semantic", 9)), "but for nobody"


def test_stages_that_may_not_be_there_together_have_each_its_turn() -> None:
    loads, order = {stage: Load(n) for n, stage in enumerate(PARTS)}, []
    turn = None
    while loads:
        stage, turn = choose_stage(loads, turn, 4, in_turns=PARTS)
        order.append(stage)
        del loads[stage]
    assert order == list(PARTS)


def test_the_first_audio_goes_before_turns() -> None:
    turn = Turn("semantic", 100)
    loads = {"semantic": Load(0), "coarse": Load(1, urgent=7), "fine": Load(2, urgent=8)}
    assert choose_stage(loads, turn, 9, Aim.FIRST_AUDIO) == ("coarse", turn)
    assert choose_stage({**loads, "fine": Load(2, urgent=7)}, turn, 9, Aim.FIRST_AUDIO)[0] == "fine"
    assert choose_stage({"semantic": Load(0), "coarse": Load(1)}, turn, 9, Aim.FIRST_AUDIO)[0] == "semantic"


@dataclass(eq=False)
class Text:
    """A text of some utterances on its way through a simulated server: seconds of speech each."""

    number: int
    begun_s: float
    lengths: list[float]
    first_s: float | None = None
    n_done: int = 0


@dataclass(eq=False)
class Part:
    """An utterance in a stage: the steps left there, and when it came."""

    text: Text
    length_s: float
    is_first: bool = True
    left: int = 0
    came: int = 0


@dataclass
class Server:
    """Steps that cost what they cost on a CPU: a row more in a causal stage little, a window of the fine stage half a second."""

    aim: Aim
    now_s: float = 0.0
    lanes: dict[str, list[Part]] = field(default_factory=lambda: {stage: [] for stage in PARTS})
    n_arrived: int = 0
    turn: Turn | None = None
    moving: dict[str, list[Part]] = field(default_factory=dict)

    def enter(self, stage: str, part: Part) -> None:
        part.came, part.left = self.n_arrived, {"semantic": round(50 * part.length_s), "coarse": round(150 * part.length_s), "fine": 6, "codec": 1}[stage]
        self.n_arrived += 1
        self.lanes[stage].append(part)

    def step(self) -> list[Part]:
        """Move a stage; return the parts that are spoken."""
        loads = {
            stage: Load(parts[0].came, min((part.text.number for part in parts if part.is_first), default=None))
            for stage, parts in self.lanes.items()
            if parts
        }
        stage, self.turn = choose_stage(loads, self.turn, self.n_arrived, self.aim)
        # A row keeps its slot; of those that wait the urgent ones come first.
        waiting = sorted(self.lanes[stage], key=lambda part: (part not in self.moving.get(stage, ()), not part.is_first))
        self.moving[stage] = moving = waiting[: 8 if stage in CAUSAL else 1]
        self.now_s += {"fine": 0.08, "codec": 0.1}.get(stage, 0.0025 + 0.0005 * len(moving))
        spoken = []
        for part in moving:
            part.left -= 1
            if part.left:
                continue
            self.lanes[stage].remove(part)
            if stage == PARTS[-1]:
                if part.is_first:
                    part.text.first_s = self.now_s - part.text.begun_s
                part.text.n_done += 1
                spoken.append(part)
            else:
                self.enter(PARTS[PARTS.index(stage) + 1], part)
        return spoken


def serve(aim: Aim, n_clients: int, n_texts: int, n_utterances: int = 1) -> tuple[float, float]:
    """Serve clients that each send a text as soon as theirs is spoken; return audio seconds a second, and mean seconds to the first audio."""
    rng, server, texts = random.Random(1), Server(aim), list[Text]()

    def send() -> None:
        texts.append(Text(len(texts), server.now_s, [rng.uniform(2, 10) for _ in range(rng.randint(1, n_utterances))]))
        for n, length_s in enumerate(texts[-1].lengths):
            server.enter("semantic", Part(texts[-1], length_s, n == 0))

    for _ in range(n_clients):
        send()
    while sum(text.n_done == len(text.lengths) for text in texts) < n_texts:
        for part in server.step():
            if part.text.n_done == len(part.text.lengths):
                send()
    spoken_s = sum(sum(text.lengths[: text.n_done]) for text in texts)
    first_s = [text.first_s for text in texts if text.first_s is not None]
    return spoken_s / server.now_s, sum(first_s) / len(first_s)


def test_gathering_rows_makes_twice_the_audio_of_one_at_a_time() -> None:
    one, eight = serve(Aim.MOST_AUDIO, 1, 40)[0], serve(Aim.MOST_AUDIO, 8, 80)[0]
    assert eight > 2 * one


def test_each_aim_is_better_at_what_it_aims_at() -> None:
    most, soon = (serve(aim, 8, 60, n_utterances=6) for aim in (Aim.MOST_AUDIO, Aim.FIRST_AUDIO))
    assert most[0] > 1.15 * soon[0]
    assert soon[1] < 0.5 * most[1]


@pytest.mark.parametrize("aim", list(Aim))
def test_nobody_waits_for_ever(aim: Aim) -> None:
    server = Server(aim)
    long = Text(0, 0.0, [10.0] * 4)
    for length_s in long.lengths:
        server.enter("semantic", Part(long, length_s))
    for number in range(1, 400):
        server.enter("semantic", Part(Text(number, server.now_s, [2.0]), 2.0))
        for _ in range(150):
            server.step()
        if long.n_done == len(long.lengths):
            return
    pytest.fail("short texts that kept coming held up a long one")
