"""What one card does and what many need: arithmetic from the model of a T4 (benchmarks/t4_model.py), not from measurements.

    python -m benchmarks.scale --users 1000

Nothing here was measured on a card. A card's audio a second, for `--rows` texts of five seconds at a time, is what bytes and products allow
at best, and what is expected of it: with the shares of its rates that kernels reach, and the time that each takes to start, as t4_model has
them. Who has measured a card gives the `--share` of the bound that it reached. How many cards a load needs is the offered work in cards
(Erlangs) and Erlang's formula for those who find all rows taken and wait.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass

from benchmarks.shapes import SIZES, make_config
from benchmarks.t4_model import T4, predict

SPEECH_S = 5.0
"""The length of the texts of the model."""


@dataclass(frozen=True)
class Load:
    """What is asked for: listeners at a time, how many requests each makes an hour, and the seconds of speech in one."""

    users: int
    requests_per_hour: float
    seconds: float

    @property
    def requests_per_s(self) -> float:
        """Requests a second in all."""
        return self.users * self.requests_per_hour / 3600

    @property
    def audio_per_s(self) -> float:
        """Seconds of speech a second in all."""
        return self.requests_per_s * self.seconds


@dataclass(frozen=True)
class Card:
    """One card: rows at a time, seconds that a batch of five-second texts takes, and seconds of speech a second."""

    model: str
    rows: int
    batch_s: float

    @property
    def audio_per_s(self) -> float:
        """Seconds of speech that it makes in a second, with all rows taken."""
        return self.rows * SPEECH_S / self.batch_s

    def speak_s(self, seconds: float) -> float:
        """Return how long a text of so many seconds takes with all rows taken."""
        return self.batch_s * seconds / SPEECH_S


def make_card(model: str, rows: int, share: float | None = None) -> Card:
    """Return what a T4 is by the model: as expected, or, given a share, where that much of its bound is reached."""
    stages = predict(make_config(model), T4, "fp16", rows).values()
    return Card(model, rows, sum(cost.expected for cost in stages) if share is None else sum(cost.seconds for cost in stages) / share)


def wait_probability(n_servers: int, offered: float) -> float:
    """Return Erlang's C: how likely all of `n_servers` are taken where `offered` are on average. 1 where the load is more than they take."""
    if offered >= n_servers:
        return 1.0
    blocked = 1.0
    for n in range(1, n_servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - offered / n_servers * (1 - blocked))


def wait_quantile_s(n_servers: int, offered: float, service_s: float, quantile: float) -> float:
    """Return the wait that a share `quantile` of all stays below, in seconds; infinite where the line grows without end."""
    if offered >= n_servers:
        return math.inf
    waiting = wait_probability(n_servers, offered)
    return 0.0 if waiting <= 1 - quantile else service_s / (n_servers - offered) * math.log(waiting / (1 - quantile))


def count_cards(card: Card, load: Load, most_wait_s: float, quantile: float = 0.95) -> tuple[int, float]:
    """Return how many cards keep the wait of a share `quantile` below a bound, and that wait. Their rows are the servers, in one line."""
    service_s = card.speak_s(load.seconds)
    offered = load.requests_per_s * service_s
    n_cards = max(1, math.ceil(offered / card.rows))
    while (wait_s := wait_quantile_s(n_cards * card.rows, offered, service_s, quantile)) > most_wait_s:
        n_cards += 1
    return n_cards, wait_s


def main() -> None:
    """Print what a card does, and what a load needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1000, help="people who listen at the same time (default: %(default)s)")
    parser.add_argument("--requests-per-hour", type=float, default=30, help="of each of them (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of speech in a request (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=1000, help="of speech to be made offline (default: %(default)s)")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds that 95 of 100 requests wait at most (default: %(default)s)")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="texts at a time on a card (default: 1 8)")
    parser.add_argument("--share", type=float, nargs="+", default=[], help="of the bound that was reached on a card; for lines beside the bound's and the expected")
    options = parser.parse_args()
    load = Load(options.users, options.requests_per_hour, options.seconds)
    print("A model, not a measurement: what a T4 does in fp16 at best, and as expected.\n")
    print(f"{load.users} users, {load.requests_per_hour:g} requests an hour each, {load.seconds:g} s of speech: {load.audio_per_s:.1f} s of speech a second")
    print(f"offline: {options.hours:g} h of speech\n")
    print("model rows  reached   speech/s   one request   cards   wait (95 %)   T4 hours offline")
    rows = []
    for model in SIZES:
        for n in options.rows:
            for reached, share in {"at best": 1.0, "expected": None, **{f"{share:.2f}": share for share in options.share}}.items():
                card = make_card(model, n, share)
                cards, wait_s = count_cards(card, load, options.wait)
                offline_h = options.hours / card.audio_per_s
                row = {**asdict(card), "reached": reached, "audio_per_s": card.audio_per_s, "request_s": card.speak_s(load.seconds)}
                rows.append({**row, "cards": cards, "wait_s": wait_s, "offline_h": offline_h})
                shown = f"{card.audio_per_s:9.1f}{card.speak_s(load.seconds):12.1f} s{cards:8}{wait_s:12.2f} s{offline_h:17.0f} h"
                print(f"{model:6}{n:4}  {reached:8} {shown}")
    print(json.dumps({"load": asdict(load), "hours": options.hours, "rows": rows}))


if __name__ == "__main__":
    main()
