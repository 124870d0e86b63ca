"""The values that flow: bounds, seeds, timings, and the package's lazy names."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import bark_core
from bark_core.errors import BarkError, CheckpointError, GenerationError, InvalidInput
from bark_core.types import MAX_SEED, GenerateOptions, SamplingOptions, Timings, check_seed, choose_seed, parse_json


def test_seeds() -> None:
    assert [check_seed(seed) for seed in (0, 7, MAX_SEED, np.int64(3))] == [0, 7, MAX_SEED, 3]
    assert len({choose_seed() for _ in range(50)}) == 50
    for seed in (-1, MAX_SEED + 1, 1.0, "1", None, True):
        with pytest.raises(InvalidInput, match="a whole number from 0 to 4294967295"):
            check_seed(seed)


@pytest.mark.parametrize("given", [{"min_eos_p": 0}, {"min_eos_p": 1.5}, {"min_eos_p": "x"}, {"max_seconds": -1}, {"max_seconds": float("inf")}, {"seed": -5}])
def test_options_out_of_range(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        GenerateOptions(**{"seed": 0, **given})


def test_options_are_plain_numbers_once_made() -> None:
    sampling = SamplingOptions(np.float32(0.5), np.int64(50), np.float16(0.75))  # pyright: ignore[reportArgumentType]
    options = GenerateOptions(np.uint32(7), sampling, min_eos_p=np.float64(0.25), max_seconds=np.int32(3))  # pyright: ignore[reportArgumentType]
    assert json.loads(json.dumps(dataclasses.asdict(options)))["semantic"] == {"temperature": 0.5, "top_k": 50, "top_p": 0.75}
    assert [type(value) for value in (options.seed, options.min_eos_p, options.max_seconds)] == [int, float, float]
    assert type(SamplingOptions(1).temperature) is float


@pytest.mark.parametrize("value", [10**400, np.longdouble("1e400"), np.float32("nan"), np.bool_(True), float("inf")])
def test_what_no_float_can_hold_is_no_temperature(value: Any) -> None:
    with pytest.raises(InvalidInput, match="it must be a number from 0"):
        SamplingOptions(temperature=value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[" * 100_000, "nested too deeply"), ('{"seed": ' + "1" * 10_000 + "}", "a number of 10000 digits"), ("{", "line 1"), (b"\xff", "decode")],
)
def test_json_that_is_none_has_a_reason_in_words(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_json_is_as_pythons() -> None:
    assert parse_json('{"a": [1, -2.5, "\\u00fc", null, NaN], "b": 18446744073709551616}', lambda name: name) == {
        "a": [1, -2.5, "ü", None, "NaN"],
        "b": 2**64,
    }


def test_real_time_factor() -> None:
    assert Timings(wall_s=2.0, audio_s=4.0).rtf == 0.5
    assert Timings(wall_s=2.0).rtf == float("inf")


def test_errors_are_what_they_say() -> None:
    assert issubclass(InvalidInput, ValueError) and issubclass(CheckpointError, RuntimeError) and issubclass(GenerationError, RuntimeError)
    assert all(issubclass(each, BarkError) for each in (InvalidInput, CheckpointError, GenerationError))


def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, bark_core; bark_core.SAMPLE_RATE; bark_core.InvalidInput\n"
        "print([name for name in ('torch', 'scipy', 'encodec', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_all_there() -> None:
    for name in bark_core.__all__:
        assert getattr(bark_core, name) is not None
    assert set(bark_core.__all__) <= set(dir(bark_core))
    with pytest.raises(AttributeError, match="no attribute 'Growl'"):
        _ = bark_core.Growl
