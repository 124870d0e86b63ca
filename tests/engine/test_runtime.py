"""Where things run: what "auto" means here, what can be asked for, and what is refused with a sentence."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from bark_core.config import PARTS
from bark_core.engine import placement, runtime
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.placement import DTYPES, Placement, plan_placement
from bark_core.engine.runtime import Runtime
from bark_core.engine.speeds import Speeds, measure_speeds
from bark_core.errors import InvalidInput
from bark_core.stages.jobs import Job, Randomness
from bark_core.stages.run import drain, speak
from bark_core.types import GenerateOptions
from tests.checkpoints import random_states, tiny_config

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def precisions(**given: Any) -> list[str]:
    return [plan_placement(**given)[part].precision for part in PARTS]


@NO_GPU
def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert {place.device.type for place in plan_placement().values()} == {"cpu"}


def test_one_precision_is_the_stages_and_a_mapping_is_each_parts_own() -> None:
    assert precisions(device="cpu", precision="fp32") == ["fp32"] * 4
    assert precisions(device="cpu", precision="bf16") == ["bf16", "bf16", "bf16", "fp32"]
    assert precisions(device="cpu", precision="int8") == ["int8", "int8", "int8", "fp32"]
    assert precisions(device="cpu", precision={"semantic": "fp32", "coarse": "int8", "fine": "bf16", "codec": "bf16"}) == ["fp32", "int8", "bf16", "bf16"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"device": "tpu"}, "device of 'tpu' was given; it must be auto, cpu, cuda or cuda:N"),
        ({"device": "meta"}, "device of 'meta'"),
        ({"device": "cpu", "precision": "fp8"}, "precision of 'fp8' was given; it must be one of auto, fast, fp32"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 was asked for on a CPU"),
        ({"device": "cpu", "precision": {"codec": "int8"}}, "int8 was asked for in codec"),
        ({"device": {"text": "cpu"}}, "device was given for 'text'; the parts that can be named are semantic"),
        ({"device": "cpu", "precision": {"voice": "fp32"}}, "precision was given for 'voice'"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        plan_placement(**given)


@NO_GPU
def test_a_gpu_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="finds no CUDA device here; use cpu"):
        plan_placement("cuda")


@pytest.mark.parametrize(("capability", "name"), [((7, 5), "Tesla T4"), ((7, 0), "Tesla V100"), ((8, 0), None), ((8, 9), None), ((9, 0), None)])
def test_bf16_is_refused_on_cards_that_would_emulate_it(capability: tuple[int, int], name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"is_available": lambda: True, "device_count": lambda: 1, "get_device_capability": lambda _: capability, "get_device_name": lambda _: name}
    for function, stand_in in given.items():
        monkeypatch.setattr(torch.cuda, function, stand_in)
    assert precisions(device="cuda", precision="auto") == ["fp16", "fp16", "fp16", "fp32"]
    for precision in ("bf16", {"codec": "bf16"}):
        if name is None:
            assert "bf16" in precisions(device="cuda", precision=precision)
        else:
            with pytest.raises(InvalidInput, match=f"bf16 was asked for in (semantic|codec) on cuda, a {name}, which has no units for it.*use fp16"):
                plan_placement("cuda", precision)


def test_recurrent_weights_are_gathered_after_they_have_come_to_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    config, seen = tiny_config(), list[list[int]]()
    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", lambda self: seen.append([weight.data_ptr() for weight in self._flat_weights]))
    made = Runtime(config, random_states(config).__getitem__, plan_placement("cpu", {"codec": "bf16"}), plain=True)
    (lstm,) = (module for module in made.codec.modules() if isinstance(module, torch.nn.LSTM))
    held = {weight.data_ptr() for weight in lstm.parameters()}
    assert set(seen[-1]) == held and lstm.weight_ih_l0.dtype is torch.bfloat16


@pytest.mark.parametrize("elsewhere", [("fine",), ("semantic", "coarse")])
def test_parts_may_be_on_unlike_devices_and_the_kernel_runs_those_on_the_cpu(elsewhere: tuple[str, ...]) -> None:
    config = tiny_config()
    states = random_states(config)
    # Without a GPU, the device that computes nothing stands for another one: loading must not try to run there what is not there.
    places = {part: Placement(torch.device("meta"), "fp16") if part in elsewhere else Placement(torch.device("cpu"), "fp32") for part in PARTS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = Runtime(config, states.__getitem__, places)
    assert {part: next(made._models[part].parameters()).device.type for part in PARTS} == {part: place.device.type for part, place in places.items()}
    assert (made._library is not None) == (Runtime(config, states.__getitem__, plan_placement("cpu", "fp32"))._library is not None)


def test_weights_are_taken_as_they_are_and_cast_once() -> None:
    config = tiny_config()
    states = random_states(config)
    exact = Runtime(config, states.__getitem__, plan_placement("cpu", "fp32"), plain=True)
    assert exact.causal("coarse").wpe.weight.data_ptr() == states["coarse"]["wpe.weight"].data_ptr()
    for precision in ("bf16", "int8"):
        made = Runtime(config, states.__getitem__, plan_placement("cpu", precision), plain=True)
        assert made.causal("semantic").wpe.weight.dtype == made.fine.wpe.weight.dtype == DTYPES[precision]
        assert made.codec.codebooks.dtype == torch.float32
    assert states["coarse"]["wte.weight"].dtype == torch.float32


def test_token_tables_are_cast_row_by_row() -> None:
    config = tiny_config()
    states = random_states(config)
    model = Runtime(config, states.__getitem__, plan_placement("cpu", "bf16"), plain=True).causal("semantic")
    assert "wte.weight" not in model.state_dict()
    ids = torch.tensor([[0, 3], [5, 1]])
    assert torch.equal(model.embed(ids), states["semantic"]["wte.weight"].bfloat16()[ids])


def test_an_engine_is_lent_to_one_run_at_a_time_and_kept_for_the_next() -> None:
    config = tiny_config()
    runtime = Runtime(config, random_states(config).__getitem__, plan_placement("cpu", "fp32"), plain=True)
    with runtime.lend_engine("coarse", 2) as first, runtime.lend_engine("coarse", 2) as second:
        assert first is not second
    with runtime.lend_engine("coarse", 2) as again:
        assert again in (first, second)
    with runtime.lend_engine("coarse", 1) as other:
        assert other.n_rows == 1


def test_offloaded_parts_come_and_go_and_speak_the_same() -> None:
    config = tiny_config()
    states, placement = random_states(config), plan_placement("cpu", "fp32")
    always, offloaded = (Runtime(config, states.__getitem__, placement, plain=True, offload=offload) for offload in (False, True))
    job = Job("…", [3, 4, 5], None, Randomness(1))
    options = GenerateOptions(seed=1, max_seconds=0.3)
    one = drain(speak(always, [job], options))[0]
    for _ in range(2):
        other = drain(speak(offloaded, [Job("…", [3, 4, 5], None, Randomness(1))], options))[0]
        assert np.array_equal(one.fine, other.fine) and np.array_equal(one.audio, other.audio)
    for part in PARTS:
        held = offloaded._models[part].state_dict()
        assert {name: tensor.data_ptr() for name, tensor in held.items()} == {name: tensor.data_ptr() for name, tensor in offloaded._waiting[part].items()}
    assert not any(engines._idle for engines in offloaded._engines.values()) and not any(offloaded._users.values())


def speeds(**seconds: float) -> Speeds:
    return Speeds(seconds, "the test")


@NO_GPU
def test_fast_is_the_fastest_that_was_measured_and_the_codec_stays_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "measure_here", lambda: speeds(fp32=6, bf16=3, int8=2))
    assert precisions(precision="fast") == ["int8", "int8", "int8", "fp32"]
    assert "fp32 1.0 ×, bf16 2.0 ×, int8 3.0 × the speed of fp32 by the test" in plan_placement(precision="fast")["coarse"].reason
    monkeypatch.setattr(placement, "measure_here", lambda: speeds(fp32=6, bf16=60, int8=12))
    assert precisions(precision="fast") == ["fp32"] * 4
    assert precisions(precision={"coarse": "fast", "semantic": "int8"}) == ["int8", "fp32", "fp32", "fp32"]
    assert precisions(precision="fast", device={"codec": "cpu"}) == ["fp32"] * 4


@NO_GPU
def test_fast_is_measured_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[None]()
    monkeypatch.setattr(placement, "measure_here", lambda: (calls.append(None), speeds(fp32=2, bf16=2, int8=1))[1])
    plan_placement(precision="int8")
    assert len(calls) == 0
    plan_placement(precision="fast")
    assert len(calls) == 1


@pytest.mark.slow
def test_every_precision_is_measured_by_what_would_run_it() -> None:
    found = measure_speeds(None)
    assert found.code == "torch" and all(found.seconds[name] > 0 for name in ("fp32", "bf16", "int8"))


def load_without_the_kernel(monkeypatch: pytest.MonkeyPatch, precision: str, **seconds: float) -> list[str]:
    """Load a small model where there is no kernel and the precisions take so long; return the warnings."""

    def unavailable() -> NoReturn:
        raise NativeUnavailable("there is no C++ compiler here")

    monkeypatch.setattr(runtime, "load_library", unavailable)
    monkeypatch.setattr(runtime, "measure_speeds", lambda _: speeds(**seconds))
    config = tiny_config()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        Runtime(config, random_states(config).__getitem__, plan_placement("cpu", precision))
    return [str(warning.message) for warning in told if "no C++ compiler" not in str(warning.message)]


def test_a_precision_by_name_that_is_slower_than_fp32_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = load_without_the_kernel(monkeypatch, "bf16", fp32=10, bf16=45, int8=20)
    assert told == "bf16 takes 4.5 times as long as fp32 on this machine, by the test; use fp32, or fast, which chooses by a measurement."
    assert load_without_the_kernel(monkeypatch, "bf16", fp32=10, bf16=9, int8=20) == []
    assert load_without_the_kernel(monkeypatch, "fp32", fp32=10, bf16=45, int8=20) == []
