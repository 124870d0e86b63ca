"""Whether drafts are made: where it was asked for, pays, finds memory and is exact; how far pace.py lets them go; and whole generations with them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bark_core import Bark
from bark_core.cli.main import main
from bark_core.engine import drafting
from bark_core.engine.drafting import Speculation
from bark_core.engine.memory import available_bytes
from bark_core.engine.native import NativeEngine
from bark_core.engine.pace import MAX_ROWS, MAX_TOKENS, Pace
from bark_core.engine.runtime import CAUSAL, Runtime
from bark_core.engine.speculate import SpeculativeEngine
from bark_core.engine.speeds import measure_drafts
from bark_core.errors import InvalidInput
from bark_core.speech.service import Service, read_switch
from tests.engine.paces import FixedPace
from tests.engine.test_native import make_causal
from tests.stages.test_reference_tokens import SAMPLING, TEXT_IDS, VOICES, generators, in_step, make_bark, make_voice


def drafting_bark(bark: Bark, n_tokens: int) -> Bark:
    """Let a Bark draft that far, whatever it gains."""
    runtime = bark.runtime
    if runtime._library is None:
        pytest.skip("no compiled step on this machine")
    runtime._speculation = {stage: Speculation(runtime.causal(stage), runtime._library, pace=FixedPace(n_tokens)) for stage in CAUSAL}
    return bark


def counts(runtime: Runtime) -> tuple[int, int]:
    """Return how many drafts were right, and how many were made."""
    paces = [runtime._speculation[stage].pace for stage in CAUSAL]
    return sum(pace.n_kept for pace in paces), sum(pace.n_drafted for pace in paces)


@pytest.mark.parametrize("sampling", SAMPLING)
def test_the_reference_grid_is_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch, sampling: str) -> None:
    plain, drafted = make_bark(plain=False), drafting_bark(make_bark(plain=False), 5)
    for bark in (plain, drafted):
        monkeypatch.setattr(bark.encoder, "encode", lambda text: TEXT_IDS)
    for voice in VOICES:
        one, other = generators(3)
        options: dict[str, Any] = {"voice": make_voice(voice), **SAMPLING[sampling]}
        semantic = plain.generate_semantic("text", seed=one, max_seconds=0.5, **options)
        assert drafted.generate_semantic("text", seed=other, max_seconds=0.5, **options).tolist() == semantic.tolist() and in_step(one, other)
        coarse = plain.generate_coarse(semantic, seed=one, **options)
        assert drafted.generate_coarse(semantic, seed=other, **options).tolist() == coarse.tolist() and in_step(one, other)
    n_kept, n_drafted = counts(drafted.runtime)
    assert 0 < n_kept < n_drafted


@pytest.mark.slow
def test_the_demo_says_the_same_alone_and_in_a_batch(demo_folder: Path) -> None:
    texts = ["Good morning.", "The river was high."]
    found = []
    for n_tokens in (None, 2, 8):
        bark = Bark.load(demo_folder, device="cpu", precision="fp32", speculate=n_tokens is not None)
        if n_tokens:
            drafting_bark(bark, n_tokens)
        made = [*bark.generate_batch(texts, seed=[4, 5]), bark.generate(texts[0], seed=4)]
        found.append([(each.semantic.tolist(), each.fine.tolist(), each.timings.logprobs) for each in made])
        assert found[-1][0] == found[-1][2] == found[0][0] and found[-1] == found[0]
        if n_tokens:
            n_kept, n_drafted = counts(bark.runtime)
            assert 0.9 * n_drafted < n_kept < n_drafted


def test_drafts_are_refused_with_a_reason(native_library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_causal("fp32")
    assert "switched off" in Speculation(model, native_library, is_asked=False).describe()
    assert "too small" in Speculation(model, native_library).describe()
    short = Speculation(model, native_library, pace=FixedPace(3))
    monkeypatch.setattr(drafting, "available_bytes", lambda: 10_000)
    assert type(short.make_engine(1)) is NativeEngine and "MB are free" in short.describe()
    for free in (None, 10**9):
        monkeypatch.setattr(drafting, "available_bytes", lambda free=free: free)
        enough = Speculation(model, native_library, pace=FixedPace(3))
        assert "the first steps will tell" in enough.describe()
        assert isinstance(enough.make_engine(1), SpeculativeEngine)


def test_a_large_model_drafts_and_one_that_is_switched_off_does_not(native_library: Any) -> None:
    model = make_causal("fp32", 1024, 16)
    speculation = Speculation(model, native_library)
    engines = [speculation.make_engine(n) for n in (1, 2)]
    assert all(isinstance(engine, SpeculativeEngine) for engine in engines)
    assert len({id(engine._draft) for engine in engines if isinstance(engine, SpeculativeEngine)}) == 1, "the weights in 8 bits are made once"
    assert type(Speculation(model, native_library, is_asked=False).make_engine(1)) is NativeEngine


def test_steps_that_are_not_exact_are_not_trusted(native_library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = NativeEngine.step_many

    def nearly(engine: NativeEngine, tokens: list[int], positions: list[int], slots: list[int]) -> Tensor:
        return right(engine, tokens, positions, slots) * (1 + 1e-7 * (len(tokens) > 1))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(Speculation(make_causal("fp32"), native_library, pace=FixedPace(3)).make_engine(1), SpeculativeEngine)
    monkeypatch.setattr(NativeEngine, "step_many", nearly)
    with pytest.warns(UserWarning, match="not, bit for bit"):
        assert type(Speculation(make_causal("fp32"), native_library, pace=FixedPace(3)).make_engine(1)) is NativeEngine


def test_other_precisions_and_torch_alone_draft_nothing() -> None:
    assert make_bark(plain=True).runtime.describe_drafts() == {}
    assert set(make_bark(plain=False).runtime.describe_drafts()) <= set(CAUSAL)


def paced(plain_s: float, draft_s: float, row_s: float, share: float, n: int = 1) -> tuple[Pace, list[int]]:
    """Run a pace on a machine of which all is known; return it and what it chose."""
    pace, chosen = Pace(), []
    for _ in range(400):
        k = pace.choose(n)
        chosen.append(k)
        if k == 1:
            pace.note_plain(n, plain_s)
        else:
            pace.note_round(n, k - 1, (k - 1) * draft_s, k * n, plain_s + (k - 1) * n * row_s)
            pace.note_drafts(round(share * 10 * (k - 1)), 10 * (k - 1))
    return pace, chosen


def test_the_pace_follows_what_pays() -> None:
    pace, chosen = paced(1.0, 0.3, 0.05, 0.99)
    assert chosen[:3] == [1, 1, 1] and chosen.count(MAX_TOKENS) > 380
    assert pace.best_gain()[0] == MAX_TOKENS and 2.0 < pace.best_gain()[1] < 2.5
    often_wrong = paced(1.0, 0.3, 0.05, 0.6)[1]
    assert 2 <= max(set(often_wrong), key=often_wrong.count) < 5
    for slow in (paced(1.0, 1.2, 0.05, 0.99), paced(1.0, 0.3, 1.0, 0.99), paced(1.0, 0.3, 0.05, 0.0)):
        assert slow[1].count(1) > 380 and slow[0].best_gain() == (1, 1.0)


def test_a_pace_that_changed_its_mind_looks_again() -> None:
    pace, _ = paced(1.0, 1.2, 0.05, 0.99)
    for _ in range(64 * 8):
        k = pace.choose(1)
        if k > 1:
            pace.note_round(1, k - 1, (k - 1) * 0.2, k, 1.1)
        else:
            pace.note_plain(1, 1.0)
    assert pace.best_gain()[1] > 1.5 and pace.choose(1) > 1


def test_many_sequences_draft_less() -> None:
    assert max(paced(1.0, 0.3, 0.01, 0.99, n=8)[1]) == MAX_ROWS // 8
    assert set(paced(1.0, 0.3, 0.01, 0.99, n=MAX_ROWS)[1]) == {1}


def test_free_memory_is_the_machines_or_the_containers(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert available_bytes(tmp_path) is None
    write("proc/meminfo", "MemTotal:  900 kB\nMemAvailable:  800 kB\n")
    write("sys/fs/cgroup/memory.max", "max\n")
    write("sys/fs/cgroup/memory.current", "5000\n")
    assert available_bytes(tmp_path) == 800 * 1024
    write("sys/fs/cgroup/memory.max", "9000\n")
    assert available_bytes(tmp_path) == 4000
    write("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 1500\n")
    assert available_bytes(tmp_path) == 5500


def test_a_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, wanted in (("", True), ("1", True), ("0", False)):
        monkeypatch.setenv("BARK_SPECULATE", value)
        assert read_switch("BARK_SPECULATE") is wanted
    monkeypatch.setenv("BARK_SPECULATE", "maybe")
    with pytest.raises(InvalidInput, match="BARK_SPECULATE is 'maybe'; it must be 0"):
        read_switch("BARK_SPECULATE")


@pytest.mark.slow
def test_every_way_in_can_switch_drafts_off(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Bark] = []
    load = Bark.load

    def loading(*given: Any, **options: Any) -> Bark:
        made.append(load(*given, **options))
        return made[-1]

    monkeypatch.setattr(Bark, "load", loading)
    arguments = ["speak", "Yes.", "--model", str(demo_folder), "--device", "cpu", "--seed", "1", "--max-seconds", "0.1", "-o", str(tmp_path / "a.wav")]
    for switches in ([], ["--no-speculate"]):
        assert main([*arguments, *switches]) == 0
    monkeypatch.setenv("BARK_MODEL", str(demo_folder))
    for value in ("1", "0"):
        monkeypatch.setenv("BARK_SPECULATE", value)
        Service.load()
    if made[0].runtime._library is None or torch.cuda.is_available():
        pytest.skip("nothing drafts on this machine")
    assert ["switched off" in bark.runtime.describe_drafts()["coarse"] for bark in made] == [False, True, False, True]


def test_what_drafts_gain_here_can_be_measured(native_library: Any) -> None:
    with torch.inference_mode():
        found = measure_drafts(native_library)
    assert found.gain >= 1.0 and 1 <= found.n_tokens <= MAX_TOKENS
