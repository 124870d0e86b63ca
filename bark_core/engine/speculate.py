"""Exact tokens at nearly the speed of 8 bits: a copy of the weights in 8 bits drafts some tokens, and one exact step checks them all.

Decoding is bound by reading weights. A draft reads a quarter of the bytes and draws from the very noise that the exact step
will draw from, so that it is mostly right; and an exact step takes hardly longer for eight positions of a sequence than for
one. Of a round those draws are kept that follow right drafts, so what comes out is, bit for bit, what step after step would
give; the generator is put back to where the last of them left it. Drafts attend to a copy of the exact keys and values in 16 bits:
in fp32 these would be a third of what a draft reads. What a draft writes there is overwritten when the next round begins; what the exact step
writes for drafts that were wrong lies beyond the row's position, where nobody looks before it is written anew.

Knows rows and engines. Where it is worth while pace.py says, and whether it may be runtime.py.
"""

from __future__ import annotations

import copy
import ctypes
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bark_core.engine.loop import STOPPED, Drawing, Drawn, Row, stop_or_choose
from bark_core.engine.native import NativeEngine, NativeModel
from bark_core.engine.pace import Pace
from bark_core.engine.sampling import draw, draw_noise, probs_of
from bark_core.engine.threads import run_with_threads
from bark_core.model.cache import KVCache
from bark_core.model.quantize import Int8Linear, quantize_linears
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions

Head = tuple[int, int]
"""The first logit and the number of logits that a draw is from."""

Product = Callable[[Tensor, int, int], Tensor]
"""(hidden states (B, C), first logit, number of logits) → logits (B, count)."""


class Draft:
    """A causal model with its linears in 8 bits; norms, biases and embeddings are the model's own. Heads are made as they are asked for."""

    def __init__(self, model: CausalGPT) -> None:
        shared: dict[int, object] = {id(each): each for each in (*model.parameters(), *model.buffers(), model.wte)}
        self.model = copy.deepcopy(model, shared)
        quantize_linears(self.model)
        self._heads: dict[Head, Int8Linear] = {}

    def head(self, first: int, count: int) -> Int8Linear:
        """Return the rows of a head in 8 bits."""
        if (first, count) not in self._heads:
            self._heads[first, count] = Int8Linear(self.model.lm_head.weight[first : first + count], None)
        return self._heads[first, count]


@dataclass(eq=False)
class _Branch:
    """A row's way through a round: what is fed at its positions, and for each of these what is drawn there.

    Of position i: the head, the noise and the generator's state after it (neither where greedy), the index that was
    drafted (of all but the last position) and what the exact step drew.
    """

    row: Row
    slot: int
    drawing: Drawing
    n_positions: int
    tokens: list[int] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    noise: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    drafted: list[int] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    n_kept: int = 0

    def enter(self, token: int) -> None:
        """Take a token to feed at the next position, and the noise of what is drawn after it."""
        self.heads.append(self.row.head(len(self.tokens)))
        self.tokens.append(token)
        if self.drawing[0].temperature:
            self.noise.append(draw_noise(torch.empty(self.heads[-1][1], dtype=torch.float32, device="cpu"), self.row.generator))
            self.states.append(self.row.generator.get_state())

    @property
    def wants_draft(self) -> bool:
        """Whether a further token is to be drafted after those that there are."""
        return len(self.tokens) < self.n_positions and len(self.drafted) < len(self.tokens)

    def judge(self) -> int:
        """Find how many of the exact draws follow right drafts; return how many drafts it took to know."""
        self.n_kept = 1
        for drafted, (index, _) in zip(self.drafted[: len(self.tokens) - 1], self.drawn, strict=False):
            if drafted != index:
                return self.n_kept
            self.n_kept += 1
        return self.n_kept - 1

    def rewind(self, i: int) -> None:
        """Put the generator where the i-th draw leaves it."""
        if self.states:
            self.row.generator.set_state(self.states[i])


Place = tuple[_Branch, int]
"""A position of a branch, counted from its first."""


class SpeculativeEngine(NativeEngine):
    """An engine that drafts several steps and takes them at once. It yields them in turn, and in rows that want a prompt one."""

    def __init__(self, model: CausalGPT, n_rows: int, library: ctypes.CDLL, draft: Draft, pace: Pace, n_positions: int | None = None) -> None:
        """As `NativeEngine`; `draft` is the model's, and `pace` says how far to draft."""
        super().__init__(model, n_rows, library, n_positions)
        self._draft, self._pace = draft, pace
        n_layer, _, room, width = self.cache.keys.shape
        self._copy = KVCache(n_layer, n_rows, room, width, torch.bfloat16, "cpu")
        self._copied: dict[int, tuple[Row, int]] = {}
        self._drafter = NativeModel(draft.model, self._copy.keys, self._copy.values, library, beside=self._native)
        self._draft_heads: dict[Head, tuple[object, int, int]] = {}

    def run(self, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> Generator[Sequence[Drawn | None]]:
        return self._run(rows, [(options, min_end_prob)] * len(rows))

    def run_mixed(self, rows: Sequence[Row]) -> Generator[Sequence[Drawn | None]]:
        return self._run(rows, [row.drawing for row in rows])

    def _run(self, rows: Sequence[Row], drawings: list[Drawing]) -> Generator[Sequence[Drawn | None]]:
        prompts = [row.prompt() for row in rows]
        self._n_threads = torch.get_num_threads()
        started = {slot: prompt for slot, prompt in enumerate(prompts) if prompt}
        if started:
            drawn = run_with_threads(1, self._start, [_Branch(rows[slot], slot, drawings[slot], 1) for slot in started], list(started.values()))
            yield [drawn.get(slot) for slot in range(len(rows))]
        going = [slot for slot, prompt in enumerate(prompts) if not prompt]
        if going:
            n_tokens, room = self._pace.choose(len(going)), self.cache.keys.shape[2]
            n_tokens = n_tokens if self.longest_run is None else min(n_tokens, self.longest_run)
            lengths = [min(n_tokens, 1 + rows[slot].steps_ahead(), room - rows[slot].position) for slot in going]
            branches = [_Branch(rows[slot], slot, drawings[slot], length) for slot, length in zip(going, lengths, strict=True)]
            run_with_threads(1, self._take_round, branches)
            yield from _hand_out(branches, len(rows))

    def forget(self, slots: range) -> None:
        super().forget(slots)
        for slot in slots:
            self._copied.pop(slot, None)
        self.forget_rows(self._copy, slots)

    def step_draft(self, tokens: list[int], positions: list[int], slots: list[int]) -> Tensor:
        """Feed one token to each of some slots, in 8 bits; return hidden states (B, C)."""
        return self._drafter.decode_step(self.place(tokens, positions), positions, slots)

    def catch_up(self, slot: int, row: Row) -> None:
        """Copy what exact steps and prompts have written for a row since it last drafted: drafts attend to that."""
        first = self._count_copied(slot, row)
        for copied, exact in ((self._copy.keys, self.cache.keys), (self._copy.values, self.cache.values)):
            copied[:, slot, first : row.position] = exact[:, slot, first : row.position]
        self._copied[slot] = row, row.position

    def _start(self, branches: list[_Branch], prompts: list[tuple[Tensor, int]]) -> dict[int, Drawn]:
        """Feed rows their prompts, and draw for each; return what was drawn by slot."""
        for branch, (_, start) in zip(branches, prompts, strict=True):
            self._copied[branch.slot] = branch.row, min(start, self._count_copied(branch.slot, branch.row))
        hidden = torch.cat([self.prefill(x, branch.slot, start) for branch, (x, start) in zip(branches, prompts, strict=True)])
        for branch in branches:
            branch.enter(0)
        return dict(zip((branch.slot for branch in branches), _draw_each(hidden, [(branch, 0) for branch in branches], self.head), strict=True))

    def _take_round(self, branches: list[_Branch]) -> None:
        """Draft, take the exact step and judge: of each branch at least one draw is kept."""
        for branch in branches:
            branch.enter(branch.row.token)
        begin = time.perf_counter()
        for branch in branches:
            if branch.wants_draft:
                self.catch_up(branch.slot, branch.row)
        n_drafts = 0
        while drafting := [branch for branch in branches if branch.wants_draft]:
            self._draft_step(drafting)
            n_drafts += 1
        drafted = time.perf_counter()
        self._exact_step(branches)
        done = time.perf_counter()
        judged = [branch.judge() for branch in branches]
        n_rows = sum(len(branch.tokens) for branch in branches)
        if n_rows == len(branches):
            self._pace.note_plain(len(branches), done - begin)
        else:
            self._pace.note_round(len(branches), n_drafts, drafted - begin, n_rows, done - drafted)
            self._pace.note_drafts(sum(branch.n_kept - 1 for branch in branches), sum(judged))

    def _count_copied(self, slot: int, row: Row) -> int:
        """Return how many of a row's first positions the copy has in its slot."""
        known, n_positions = self._copied.get(slot, (None, 0))
        return n_positions if known is row else 0

    def _draft_step(self, branches: list[_Branch]) -> None:
        """Draft each branch's next token."""
        places = [(branch, len(branch.tokens) - 1) for branch in branches]
        hidden = self.step_draft(*_list_fed(places))
        for (branch, i), (index, _) in zip(places, _draw_each(hidden, places, self._draft_head), strict=True):
            branch.drafted.append(index)
            if index != STOPPED:
                branch.enter(branch.heads[i][0] + index)

    def _exact_step(self, branches: list[_Branch]) -> None:
        """Feed all tokens of all branches at once, and draw after each."""
        places = [(branch, i) for branch in branches for i in range(len(branch.tokens))]
        hidden = self.step_many(*_list_fed(places))
        for (branch, _), drawn in zip(places, _draw_each(hidden, places, self.head), strict=True):
            branch.drawn.append(drawn)

    def _draft_head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        if (first, count) not in self._draft_heads:
            head = self._draft.head(first, count)
            self._draft_heads[first, count] = self._drafter.describe_rows(head.weight, head.scale)
        return self._drafter.multiply_rows(self._draft_heads[first, count], hidden)


def _list_fed(places: Sequence[Place]) -> tuple[list[int], list[int], list[int]]:
    """Return the tokens, positions and slots of places."""
    return [branch.tokens[i] for branch, i in places], [branch.row.position + i for branch, i in places], [branch.slot for branch, _ in places]


def _draw_each(hidden: Tensor, places: Sequence[Place], product: Product) -> list[Drawn]:
    """Draw from hidden states (B, C), each from the head, in the way and with the noise of its place; return what was drawn, in order.

    Rows that stand at different places may draw from different heads, and each may in its own way: those of one kind go together.
    """
    drawn: dict[int, Drawn] = {}
    kinds = [(branch.heads[i], branch.drawing) for branch, i in places]
    for kind in dict.fromkeys(kinds):
        chosen = [n for n, each in enumerate(kinds) if each == kind]
        head, (options, min_end_prob) = kind
        logits = product(hidden if len(chosen) == len(kinds) else hidden[chosen], *head)
        noise = torch.stack([branch.noise[i] for branch, i in (places[n] for n in chosen)]) if options.temperature else None
        choice, probs = draw(logits, options, noise)
        found = zip(stop_or_choose(choice, probs, min_end_prob).tolist(), probs_of(probs, choice).tolist(), strict=True)
        drawn.update(zip(chosen, found, strict=True))
    return [drawn[n] for n in range(len(kinds))]


def _hand_out(branches: Sequence[_Branch], n_rows: int) -> Generator[Sequence[Drawn | None]]:
    """Yield the draws that are kept, a step at a time, each with the generators as it leaves them; a row that halts takes no further part."""
    for i in range(max(branch.n_kept for branch in branches)):
        going = [branch for branch in branches if i < branch.n_kept]
        if not going:
            return
        step: list[Drawn | None] = [None] * n_rows
        for branch in going:
            if i:  # a row counts on being asked before each step
                prompt = branch.row.prompt()
                assert prompt is None, "a row wants a prompt where it had promised that a step would do"
            branch.rewind(i)
            step[branch.slot] = branch.drawn[i]
        yield step
        for branch in going:
            if branch.row.is_halted():
                branch.n_kept = 0
