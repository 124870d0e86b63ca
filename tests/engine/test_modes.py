"""No default of the process and no mode of the caller changes a result: dtype, device, autocast, grad and inference mode, numpy's errors."""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bark_core import Bark
from bark_core.engine.modes import computing, loading, resumed_computing
from bark_core.speech.generation import Generation
from tests.checkpoints import random_states, tiny_config, write_own

MAKERS = {
    *("arange", "as_tensor", "asarray", "empty", "empty_strided", "eye", "frombuffer", "full", "linspace", "logspace", "ones"),
    *("rand", "randint", "randn", "randperm", "range", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
}
"""Functions of torch whose tensors are of the process's default type or on its default device, unless they are told."""

ON_MODEL_DEVICE = {("model/codec.py", "zeros"), ("model/transformer.py", "empty")}
"""Parameters, which are made where `with torch.device(…)` around the whole model says."""


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float16": partial(default_dtype, torch.float16),
    "bfloat16": partial(default_dtype, torch.bfloat16),
    "float64": partial(default_dtype, torch.float64),
    "meta by default": partial(default_device, "meta"),
    "meta around": lambda: torch.device("meta"),
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "inference": torch.inference_mode,
    "grad": torch.enable_grad,
    "no grad": torch.no_grad,
    "numpy's errors": lambda: np.errstate(all="raise"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(width=64)
    states = random_states(config)
    for part in ("semantic", "coarse", "fine"):
        # Logits that are far apart, so that what is unlikely is beyond float32.
        head = "wtes.7.weight" if part == "fine" else "lm_head.weight"
        states[part][head] *= 20
    return write_own(tmp_path_factory.mktemp("modes") / "tiny", config, states)


def load(folder: Path, precision: str = "fp32", offload: bool = False) -> Bark:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        return Bark.load(folder, device="cpu", precision=precision, offload=offload)


def speak(bark: Bark) -> Generation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bark.generate("Good day.", voice="demo_speaker_0", seed=3, max_seconds=0.3, top_k=200, top_p=0.9)


def same(one: Generation, other: Generation) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("semantic", "coarse", "fine", "audio"))


@pytest.fixture(scope="module", params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def bark(folder: Path, precision: str) -> Bark:
    return load(folder, precision)


@pytest.fixture(scope="module")
def wanted(bark: Bark) -> Generation:
    return speak(bark)


@pytest.mark.parametrize("mode", MODES)
def test_generating_in_any_mode_gives_the_same(bark: Bark, wanted: Generation, mode: str) -> None:
    with MODES[mode]():
        found = speak(bark)
    assert same(found, wanted)


@pytest.mark.parametrize("mode", MODES)
def test_loading_in_any_mode_gives_the_same(folder: Path, precision: str, wanted: Generation, mode: str) -> None:
    with MODES[mode]():
        loaded = load(folder, precision)
    assert same(speak(loaded), wanted)
    with MODES[mode]():
        assert same(speak(loaded), wanted)


@pytest.mark.parametrize("mode", ["inference", "autocast bfloat16", "meta by default", "float16"])
def test_parts_that_come_and_go_mind_no_mode(folder: Path, mode: str) -> None:
    wanted = speak(load(folder))
    with MODES[mode]():
        bark = load(folder, offload=True)
        assert same(speak(bark), wanted)
    assert same(speak(bark), wanted)


@pytest.mark.parametrize("mode", ["autocast bfloat16", "inference", "float64", "meta around"])
def test_modes_that_change_between_steps_change_nothing(bark: Bark, wanted: Generation, mode: str) -> None:
    """Each stage is resumed by someone, whose modes may be other ones each time."""
    stack, seen = ExitStack(), [0]

    def flip(*_: object) -> None:
        seen[0] += 1
        stack.close()
        if seen[0] % 2:
            stack.enter_context(MODES[mode]())

    with stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bark.generate("Good day.", voice="demo_speaker_0", seed=3, max_seconds=0.3, top_k=200, top_p=0.9, on_progress=flip)
    assert same(found, wanted) and seen[0] > 50


def test_another_thread_may_change_the_default_type_all_the_while(bark: Bark, wanted: Generation) -> None:
    stopping, n_flips = threading.Event(), [0]

    def flip() -> None:
        while not stopping.is_set():
            for dtype in (torch.float16, torch.bfloat16, torch.float64):
                torch.set_default_dtype(dtype)
                n_flips[0] += 1

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        assert all(same(speak(bark), wanted) for _ in range(3))
    finally:
        stopping.set()
        thread.join()
        torch.set_default_dtype(torch.float32)
    assert n_flips[0] > 10


def look() -> tuple[bool, bool, bool]:
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")


@resumed_computing
def watch(seen: list[tuple[bool, bool, bool]]) -> Generator[int, None, str]:
    try:
        for k in range(2):
            seen.append(look())
            yield k
        seen.append(look())
        return "done"
    finally:
        seen.append(look())


def test_a_generator_has_its_own_modes_and_whoever_resumes_it_keeps_theirs() -> None:
    seen: list[tuple[bool, bool, bool]] = []
    steps, made = watch(seen), list[object]()
    for context in (nullcontext(), torch.autocast("cpu"), torch.inference_mode()):
        with context:
            before = look()
            made.append(next(steps, "end"))
            assert look() == before
    assert seen == [(True, False, False)] * 4 and made == [0, 1, "end"]
    assert look() == (False, True, False)


def test_a_generator_that_is_closed_or_fails_is_done_with() -> None:
    seen: list[tuple[bool, bool, bool]] = []
    steps = watch(seen)
    next(steps)
    steps.close()
    assert len(seen) == 2 and list(steps) == []

    @resumed_computing
    def fail() -> Generator[int]:
        yield 1
        raise KeyError("wrong")

    failing = fail()
    next(failing)
    with pytest.raises(KeyError, match="wrong"):
        next(failing)
    assert look() == (False, True, False)


def test_what_is_made_while_loading_is_ordinary_and_what_is_computed_is_typed() -> None:
    with torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
        with loading():
            made = torch.nn.Linear(3, 3)
            assert not made.weight.is_inference() and made.weight.device.type == "cpu" and look() == (False, False, False)
        with computing():
            assert torch.mm(torch.ones(2, 2, device="cpu"), torch.ones(2, 2, device="cpu")).dtype == torch.float32
        assert look() == (True, False, True)


def find_untold(source: str, place: str) -> list[str]:
    """Return the calls that leave type or device to the process's defaults."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
            continue
        if node.func.value.id == "torch" and node.func.attr in MAKERS:
            needed = {"dtype"} if (place, node.func.attr) in ON_MODEL_DEVICE else {"dtype", "device"}
            missing = needed - {keyword.arg for keyword in node.keywords}
            found += [f"{place}:{node.lineno}: torch.{node.func.attr} without {' and '.join(sorted(missing))}"] if missing else []
    return found


def test_every_tensor_that_is_made_says_what_it_is(root: Path) -> None:
    core = root / "bark_core"
    paths = sorted(core.rglob("*.py"))
    assert len(paths) > 40
    assert [line for path in paths for line in find_untold(path.read_text(encoding="utf-8"), path.relative_to(core).as_posix())] == []


def test_a_tensor_that_does_not_say_would_be_seen() -> None:
    source = "import torch\na = torch.zeros(3)\nb = torch.full((2,), 1, dtype=torch.int64)\nc = torch.tensor([1], dtype=torch.int64, device='cpu')\n"
    assert find_untold(source, "a.py") == ["a.py:2: torch.zeros without device and dtype", "a.py:3: torch.full without device"]
