"""Utterances spoken in order: which can be spoken now, which take of each is kept, and what is drawn again.

Whoever runs this takes jobs through the stages and hands each back when it is through one; nothing is computed here. Knows no
voice names, no files, and nothing of how pieces are joined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from bark_core.config import PARTS, BarkConfig
from bark_core.errors import GenerationError, InvalidInput
from bark_core.speech.lines import Event, Line, Listener, Spoken, Take, explain_left_out
from bark_core.speech.meter import Meter
from bark_core.speech.takes import TakeOptions, find_fault, is_silent, score_take
from bark_core.stages.jobs import Job, Randomness, Result, explain_ceiling, explain_failure
from bark_core.stages.lanes import Passage
from bark_core.text.duration import estimate_seconds
from bark_core.text.script import Limits, parse_script
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, History, Pauses, derive_seed
from bark_core.voices.voice import check_history

MAX_SPLITS = 3
"""How often an utterance that found no end is halved."""


class Narrator:
    """Lines on their way to speech. `events`: progress and lines that are done, as they come; `error`: what ended all of it.

    The lines of one script come in order.
    """

    def __init__(
        self,
        config: BarkConfig,
        encoder: TextEncoder,
        options: GenerateOptions,
        takes: TakeOptions,
        lines: Sequence[Line],
        listener: Listener | None = None,
    ) -> None:
        self._config, self._encoder = config, encoder
        self._options, self._takes, self._listener = options, takes, listener
        self._waiting, self._n_given = list(lines), len(lines)
        self._leads: dict[int, History | None] = {}  # by script: the voice that its first utterance gave
        self._begun: dict[Line, None] = {}  # those that are spoken, or were and wait for others before them
        self._lines: dict[Passage, Line] = {}
        self._window, self._size, self._is_streamed = 1, 1, False
        self._meter = Meter(len(lines))
        self.events: deque[Event | Spoken] = deque()
        self.error: Exception | None = None
        self.seconds: dict[str, float] = {}
        self._has_sounded = False

    @property
    def is_done(self) -> bool:
        """Tell whether there is nothing more to come."""
        return self.error is not None or not self._waiting

    def begin(self, window: int, is_streamed: bool = False) -> list[Passage]:
        """Return what can be drawn at once, for at most `window` lines at a time.

        `is_streamed`: the first of all waits for no other, and then come small groups, so that each is there before what came before
        it was heard.
        """
        self._window, self._is_streamed = window, is_streamed
        self._size = 1 if is_streamed else window
        return self._admit()

    def resume(self, passage: Passage) -> list[Passage]:
        """Take back what is through a stage; return what is to go on from there, or anew, now.

        Raises: what ended the passage; GenerationError where the only line of all cannot be spoken; of several it is left out, with a note.
        """
        if passage.error is not None:
            raise passage.error
        line = self._lines[passage]
        take = line.pending[passage]
        if passage.stage == PARTS[0]:
            self._assess(line, take)
        elif passage.stage != PARTS[-1]:
            passage.go_on()
            return [passage]
        else:
            take.result = passage.result()
        del self._lines[passage], line.pending[passage]
        if line.pending:
            return []
        return [*(self._judge(line) if passage.stage == PARTS[0] else self._hear(line)), *self._admit()]

    def note_progress(self, stage: str) -> None:
        """Tell how far a stage is in which something moved."""
        self.events.append(self._meter.read(stage, self._begun))

    def _admit(self) -> list[Passage]:
        """Begin with as many further lines as there is room for."""
        # Those that only wait for a line before them do not count: that line may be one that is still to be spoken, in parts.
        if self._is_streamed and any(not line.is_done for line in self._begun):
            return []
        chosen = self._choose(self._size - len(self._begun))
        if self._is_streamed and chosen:
            self._size = min(2 * self._size, self._window)
        return [passage for line in chosen for passage in self._draw(line)]

    def _choose(self, size: int) -> list[Line]:
        """Return the first lines that can be spoken now: of each script those before one whose voice is still to come."""
        chosen: list[Line] = []
        leading, blocked = set[int](), set[int]()
        for line in self._waiting:
            if len(chosen) >= size:
                break
            if line.is_done or line.script in blocked:
                continue
            if line.follows and line.script not in self._leads:
                if line.script in leading:
                    blocked.add(line.script)
                    continue
                leading.add(line.script)
            if line not in self._begun:
                chosen.append(line)
        return chosen

    def _draw(self, line: Line) -> list[Passage]:
        """Draw semantic tokens for a line: as often as was asked for, and then once at a time."""
        self._begun[line] = None
        passages = list[Passage]()
        for _ in range(1 if line.n_drawn else self._takes.n_takes):
            seed = line.seed if not line.n_drawn else derive_seed(line.seed, "take", line.n_drawn)
            voice = self._leads.get(line.script) if line.follows else line.voice
            text = line.utterance.text
            # Of what has not sounded yet somebody waits for the first line, and for the others only after that.
            is_urgent = line is self._waiting[0] and not self._has_sounded
            passage = Passage(Job(text, self._encoder.encode(text), voice, Randomness(seed)), self._options, is_urgent=is_urgent)
            self._lines[passage], line.pending[passage] = line, Take(line.n_drawn, seed, passage)
            line.n_drawn += 1
            passages.append(passage)
        return passages

    def _assess(self, line: Line, take: Take) -> None:
        """Say how good what was drawn is, and put it among the line's takes."""
        rate_hz, text, semantic = self._config.semantic_rate_hz, line.utterance.text, take.semantic
        if semantic.failed:
            fault = "ended before it began"
        elif semantic.reached_ceiling:
            fault = "came to no end"
        else:
            fault = find_fault(text, semantic.tokens, rate_hz, self._options.max_seconds)
        if not semantic.failed:
            take.score = score_take(text, semantic.tokens, rate_hz, semantic.logprob)
        take.fault = fault if self._takes.retry or semantic.failed else None
        line.takes.append(take)
        line.takes.sort(key=lambda take: (take.fault is not None, -take.score, take.n))

    def _judge(self, line: Line) -> list[Passage]:
        """Draw a line again if its best take is bad, speak it in parts if it came to no end, else go on with what is kept of it."""
        best, retry = line.takes[0], self._takes.retry
        if retry and best.semantic.reached_ceiling and (parts := self._halve(line)):
            place = self._waiting.index(line)
            self._waiting[place : place + 1] = parts
            del self._begun[line]
            self._meter.n_lines += len(parts) - 1
            return []
        if retry and best.fault is not None and line.n_retries < self._takes.max_retries:
            line.n_retries += 1
            return self._draw(line)
        kept = [take for take in (line.takes if self._takes.keep_all else line.takes[:1]) if not take.semantic.failed]
        for take in kept:
            self._lines[take.passage], line.pending[take.passage] = line, take
            take.passage.go_on()
        if not kept:
            self._complete(line)
        return [take.passage for take in kept]

    def _hear(self, line: Line) -> list[Passage]:
        """Complete a line, or draw it again if nothing, or something else, is heard in it."""
        best = line.takes[0]
        assert best.result is not None
        if self._takes.retry and (fault := self._listen_to(line, best.result)) is not None:
            best.fault = fault
            if line.n_retries < self._takes.max_retries:
                line.n_retries += 1
                line.notes.append(f"The speech of {_quote(line.utterance.text)} {fault}, so it was drawn again.")
                line.takes = []
                return self._draw(line)
        self._complete(line)
        return []

    def _complete(self, line: Line) -> None:
        """Note what came of a line, and give out what is done of its script, in order."""
        line.is_done = True
        self._note(line)
        result = line.takes[0].result
        if line.follows and line.script not in self._leads and result is not None:
            self._leads[line.script] = self._as_voice(result)
        held = set[int]()
        for each in list(self._waiting):
            if each.script in held or not each.is_done:
                held.add(each.script)
                continue
            self._waiting.remove(each)
            del self._begun[each]
            self._meter.n_done += 1
            self.events.append(Spoken(each, not any(other.script == each.script for other in self._waiting)))
            self._has_sounded = True
        if not self._waiting:
            self.events.extendleft(self._meter.finish())

    def _halve(self, line: Line) -> list[Line]:
        """Return the lines that speak a line in parts, or none where its text cannot be cut."""
        whole = line.utterance
        if line.n_splits == MAX_SPLITS:
            return []
        half_s = 0.6 * estimate_seconds(whole.text)
        limits = Limits(whole_s=half_s, whole_tokens=self._encoder.max_tokens, utterance_s=half_s)
        try:
            cut = parse_script(whole.text, count_tokens=lambda text: len(self._encoder.tokenize(text)), limits=limits)
        except InvalidInput:
            return []
        if len(cut) < 2:
            return []
        parts, notes = list[Line](), list[str]()
        for n, each in enumerate(cut):
            try:
                self._encoder.encode(each.text)
            except InvalidInput as error:
                notes.append(explain_left_out(error))
                continue
            utterance = replace(whole, text=each.text, pause_before_s=0.0, pause_after_s=min(each.pause_after_s, Pauses().clause_s))
            parts.append(Line(line.script, utterance, line.voice, line.follows, derive_seed(line.seed, "part", n), n_splits=line.n_splits + 1))
        if not parts:
            return []
        parts[0].utterance = replace(parts[0].utterance, pause_before_s=whole.pause_before_s)
        parts[-1].utterance = replace(parts[-1].utterance, pause_after_s=whole.pause_after_s)
        parts[0].notes = [*line.notes, f"The speech of {_quote(whole.text)} came to no end, so it was spoken in {len(parts)} parts.", *notes]
        return parts

    def _listen_to(self, line: Line, result: Result) -> str | None:
        """Return what is wrong with the audio of a take, or None."""
        if is_silent(result.audio):
            return "was silent"
        return None if self._listener is None else self._listener(line.utterance.text, result)

    def _note(self, line: Line) -> None:
        """Say of a line what its caller should know."""
        best, text = line.takes[0], line.utterance.text
        if best.semantic.failed:
            if self._n_given == 1:
                raise GenerationError(explain_failure(text))
            line.notes.append(f"The speech of {_quote(text)} ended before it began, however often it was drawn, so it is left out.")
        elif best.semantic.reached_ceiling:
            line.notes.append(explain_ceiling(self._config))
        elif best.fault is not None:
            line.notes.append(f"The speech of {_quote(text)} {best.fault}; the best of {line.n_drawn} takes was kept.")
        elif line.n_drawn > self._takes.n_takes:
            worst = line.takes[-1].fault or "was bad"
            line.notes.append(f"The speech of {_quote(text)} {worst}, so it was drawn again: {line.n_drawn} takes in all.")

    def _as_voice(self, result: Result) -> History | None:
        """Return what was spoken as a voice for the rest; None where it is too short to be one."""
        voice = History(result.semantic, result.coarse, result.fine)
        try:
            check_history(voice, self._config, "The first utterance")
        except InvalidInput:
            return None
        return voice


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
