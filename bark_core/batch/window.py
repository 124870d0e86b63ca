"""Which lines are spoken together: neighbours in length, with the same options, out of some hundred that are held at a time. Knows no models."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from bark_core.batch.requests import Request

WINDOW = 512
"""How many lines are held to choose from."""

ROUNDS = 4
"""How many times its rows a batch has lines: a row that ends early gets the next one, and a kill loses no more than a batch."""

MAX_BATCH_S = 600.0
"""About how many seconds of speech a batch has at most, but for one line that has more alone."""


def gather_batches(requests: Iterable[Request], n_rows: int, window: int = WINDOW) -> Iterator[list[Request]]:
    """Yield batches of up to ROUNDS times `n_rows` requests of one group each, but no more than a `window`, which is all that is held besides.

    The one that has waited longest is always in the next batch, with those that are nearest to it in length: none waits for ever.
    """
    source = iter(requests)
    held: list[Request] = []
    while True:
        held.extend(itertools.islice(source, window - len(held)))
        if not held:
            return
        batch = _choose(held, min(window, ROUNDS * n_rows))
        chosen = {id(request) for request in batch}
        held = [request for request in held if id(request) not in chosen]
        yield batch


def _choose(held: list[Request], size: int) -> list[Request]:
    oldest = held[0]
    alike = sorted((request for request in held if request.group == oldest.group), key=lambda request: abs(request.seconds - oldest.seconds))
    chosen, seconds = [oldest], oldest.seconds
    for request in alike:
        if len(chosen) == size:
            break
        if request is not oldest and seconds + request.seconds <= MAX_BATCH_S:
            chosen.append(request)
            seconds += request.seconds
    # The longest first: rows that are still busy when no more lines are left have the least to go.
    return sorted(chosen, key=lambda request: -request.seconds)
