"""The line by itself: order, bounds, how many a backend is given, and what becomes of turns that nobody takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bark_core.gateway.faults import Fault
from bark_core.gateway.line import Line


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def make_line(*names: str, max_waiting: int = 10, timeout_s: float = 10.0) -> Line[str]:
    line = Line(names, max_waiting, timeout_s)
    for post in line.posts:
        post.probe_after = float("inf")  # no tries for a second place, where a test is not about them
    return line


def test_turns_are_given_in_the_order_of_numbers() -> None:
    async def test() -> None:
        line, had = make_line("a"), list[int]()

        async def take(number: int) -> None:
            async with line.turn(number):
                had.append(number)
                await asyncio.sleep(0.001)

        numbers = [line.take_number() for _ in range(6)]
        await asyncio.gather(*(take(number) for number in reversed(numbers)))
        assert had[1:] == sorted(had[1:])  # the first of all found nobody before it

    run(test)


def test_a_refused_turn_comes_back_to_who_had_it() -> None:
    async def test() -> None:
        line, had = make_line("a"), list[str]()

        async def take(name: str, refusals: int) -> None:
            number = line.take_number()
            while True:
                async with line.turn(number) as turn:
                    turn.was_refused = refusals > 0
                    refusals -= 1
                    if not turn.was_refused:
                        had.append(name)
                        return

        first = asyncio.create_task(take("first", 3))
        await settle()
        second = asyncio.create_task(take("second", 0))
        await asyncio.gather(first, second)
        assert had == ["first", "second"]

    run(test)


def test_beyond_the_bound_is_429() -> None:
    async def test() -> None:
        line = make_line("a", max_waiting=2)

        async def hold() -> None:
            async with line.turn(line.take_number()):
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await settle()
        with pytest.raises(Fault) as refused:
            line.take_number()
        assert refused.value.status == 429 and refused.value.retry_after_s
        tasks[2].cancel()
        await settle()
        line.take_number()
        for task in tasks:
            task.cancel()

    run(test)


def test_who_gives_up_in_the_moment_of_a_turn_hands_it_on() -> None:
    async def test() -> None:
        line, had = make_line("a"), list[str]()

        async def take(name: str) -> None:
            async with line.turn(line.take_number()):
                had.append(name)

        async with line.turn(line.take_number()):
            impatient = asyncio.create_task(take("impatient"))
            await settle()
            patient = asyncio.create_task(take("patient"))
            await settle()
        impatient.cancel()  # its turn has been chosen by now, and it has not run yet
        await patient
        assert had == ["patient"]
        assert line.posts[0].n_running == 0 and line.n_waiting == 0

    run(test)


def test_a_backend_that_takes_several_is_found_out_by_trying() -> None:
    async def test() -> None:
        line, running = Line(["a"], 20, 10.0), 0
        most = 0

        async def take() -> None:
            nonlocal running, most
            number = line.take_number()
            while True:
                async with line.turn(number) as turn:
                    if running >= 3:  # what the backend takes
                        turn.was_refused = True
                        continue
                    running += 1
                    most = max(most, running)
                    await asyncio.sleep(0.05)
                    running -= 1
                    return

        await asyncio.gather(*(take() for _ in range(20)))
        assert most == 3 and line.posts[0].limit == 3

    run(test)


def test_avoided_backends_are_avoided_and_lost_ones_learn_nothing() -> None:
    async def test() -> None:
        line = make_line("a", "b")
        for _ in range(3):
            async with line.turn(line.take_number(), frozenset({"a"})) as turn:
                assert turn.backend == "b"
                turn.was_lost = True
        assert line.posts[1].limit == 1
        with pytest.raises(Fault) as late:
            await take_late(Line(["a"], 5, 0.01))
        assert late.value.status == 503

    async def take_late(line: Line[str]) -> None:
        line.posts[0].probe_after = float("inf")
        async with line.turn(line.take_number()), line.turn(line.take_number()):
            pass

    run(test)
