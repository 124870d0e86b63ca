"""The arithmetic of docs/scale.md: Erlang's formula against a line of people who wait, and the page against the script."""

from __future__ import annotations

import heapq
import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import SPEECH_S, Card, Load, count_cards, main, make_card, wait_probability, wait_quantile_s


def test_erlangs_formula_on_what_is_known() -> None:
    assert wait_probability(1, 0.5) == pytest.approx(0.5), "one server is taken as often as there is work"
    assert wait_probability(2, 1.0) == pytest.approx(1 / 3)
    assert wait_probability(3, 3.0) == wait_probability(3, 4.0) == 1.0 and wait_quantile_s(3, 3.0, 1.0, 0.95) == math.inf
    assert wait_quantile_s(100, 1.0, 1.0, 0.95) == 0.0


def test_erlangs_formula_on_a_line_that_is_played_through() -> None:
    rng = np.random.default_rng(3)
    n_servers, offered, service_s, n = 6, 4.8, 2.0, 100_000
    arrivals = np.cumsum(rng.exponential(service_s / offered, n))
    free = [0.0] * n_servers
    waits = np.empty(n)
    for i, (arrival, service) in enumerate(zip(arrivals, rng.exponential(service_s, n), strict=True)):
        begin = max(arrival, heapq.heappop(free))
        waits[i] = begin - arrival
        heapq.heappush(free, begin + service)
    assert (waits > 0).mean() == pytest.approx(wait_probability(n_servers, offered), rel=0.05)
    assert np.quantile(waits, 0.95) == pytest.approx(wait_quantile_s(n_servers, offered, service_s, 0.95), rel=0.05)


def test_as_few_cards_as_keep_the_wait_below_the_bound() -> None:
    card, load = Card("any", 8, 4.0), Load(1000, 30, 10.0)
    assert card.audio_per_s == 8 * SPEECH_S / 4.0 and card.speak_s(10.0) == 8.0
    n_cards, wait_s = count_cards(card, load, 1.0)
    offered = load.requests_per_s * 8.0
    assert wait_s <= 1.0 < wait_quantile_s((n_cards - 1) * 8, offered, 8.0, 0.95)
    assert n_cards * card.audio_per_s > load.audio_per_s == pytest.approx(1000 * 30 * 10 / 3600)
    assert count_cards(card, load, 0.01)[0] >= n_cards


def test_rows_and_smaller_models_make_more_of_a_card() -> None:
    one, eight = make_card("large", 1, 1.0), make_card("large", 8, 1.0)
    assert one.audio_per_s < eight.audio_per_s < 8 * one.audio_per_s, "weights that are read are shared, products are not"
    assert make_card("small", 8, 1.0).audio_per_s > eight.audio_per_s
    assert make_card("large", 8, 0.5).batch_s == pytest.approx(2 * eight.batch_s)
    assert make_card("large", 8).batch_s > eight.batch_s, "what is expected is less than the bound"


def test_the_page_shows_what_the_script_prints(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = (root / "docs" / "scale.md").read_text(encoding="utf-8")
    command, shown = page.split("```console\n$ ", 1)[1].split("```", 1)[0].split("\n", 1)
    program, *words = command.split()[2:]
    assert program == "benchmarks.scale"
    monkeypatch.setattr("sys.argv", [program, *words])
    main()
    *printed, document = capsys.readouterr().out.splitlines()
    assert shown.splitlines() == printed
    rows = json.loads(document)["rows"]
    assert [row["rows"] for row in rows] == [1, 1, 8, 8] * 2
