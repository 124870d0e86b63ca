"""The fast core against the slow transcription: equal tokens, and generators left in the same state, over a grid of everything that branches.

The transcription follows the core's draws and judges each (near_ties.py): an index may differ only where rounding could
have drawn it, and the whole grid may have a handful of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bark_core import Bark, GenerationError, Voice
from bark_core.config import BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.engine.placement import plan_placement
from bark_core.engine.runtime import Runtime, make_model
from bark_core.text.wordpiece import TextEncoder
from tests import reference
from tests.checkpoints import letter_tokenizer
from tests.near_ties import Guide, count_passed, record_draws

SIZES: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 64}
# The released vocabularies and windows, so that real presets fit; only the layers are small.
CONFIG = BarkConfig(
    semantic=GPTConfig(**SIZES, input_vocab_size=129_600, output_vocab_size=10_048),
    coarse=GPTConfig(**SIZES, input_vocab_size=12_096, output_vocab_size=12_096),
    fine=FineConfig(n_layer=1, n_head=2, n_embd=64, input_vocab_size=1056, output_vocab_size=1056),
    codec=CodecConfig(n_filters=2),
)
TEXT_IDS = [7, 31, 500, 9000, 12]
VOICES = ["none", "short", "odd", "full"]
SAMPLING: dict[str, dict[str, Any]] = {
    "sampled": {},
    "greedy": {"temperature": 0},
    "cool": {"temperature": 0.3},
    "top-k": {"top_k": 40},
    "top-p": {"top_p": 0.7},
    "both": {"top_p": 0.9, "top_k": 100, "temperature": 1.1},
}


def make_states() -> dict[str, dict[str, Tensor]]:
    """Return weights whose logits differ enough to filter."""
    torch.manual_seed(20)
    states = {part: {key: value.detach() * 3 for key, value in make_model(CONFIG, part).state_dict().items()} for part in ("semantic", "coarse", "fine")}
    return {**states, "codec": {key: value.detach() for key, value in make_model(CONFIG, "codec").state_dict().items()}}


STATES = make_states()


def make_bark(plain: bool, states: dict[str, dict[str, Tensor]] = STATES) -> Bark:
    runtime = Runtime(CONFIG, states.__getitem__, plan_placement("cpu", "fp32"), plain)
    return Bark(CONFIG, runtime, TextEncoder(letter_tokenizer(), CONFIG.max_text_tokens))


@pytest.fixture(scope="module", params=["torch", "compiled"])
def bark(request: pytest.FixtureRequest) -> Bark:
    made = make_bark(plain=request.param == "torch")
    if request.param == "compiled" and made.runtime._library is None:
        pytest.skip("no compiled step on this machine")
    return made


@pytest.fixture(scope="module")
def passed() -> Iterator[list[str]]:
    """The draws of this file that were within rounding of others."""
    with count_passed() as those:
        yield those


def make_voice(kind: str) -> Voice | None:
    """Return a voice: of 20 tokens; of 190, of which coarse keeps an odd 571 codes; or longer than every window."""
    if kind == "none":
        return None
    n, frames = {"short": (20, 30), "odd": (190, 286), "full": (700, 1052)}[kind]
    rng = np.random.default_rng(n)
    fine = rng.integers(0, 1024, (8, frames))
    return Voice(rng.integers(0, 10_000, n), fine[:2], fine)


def generators(seed: int) -> tuple[torch.Generator, torch.Generator]:
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def in_step(one: torch.Generator, other: torch.Generator) -> bool:
    return torch.equal(one.get_state(), other.get_state())


def encoded(bark: Bark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bark.encoder, "encode", lambda text: TEXT_IDS)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("sampling", SAMPLING)
def test_semantic(bark: Bark, monkeypatch: pytest.MonkeyPatch, passed: list[str], voice: str, sampling: str) -> None:
    encoded(bark, monkeypatch)
    assert check_semantic(bark, passed, 3, STATES, make_voice(voice), **SAMPLING[sampling], max_seconds=0.5) == 25


def check_semantic(bark: Bark, passed: list[str], seed: int, states: dict[str, dict[str, Tensor]], voice: Voice | None = None, **options: Any) -> int:
    """Compare one run, or one that never begins; return how many tokens it has."""
    ours, theirs = generators(seed)
    found: list[int] = []
    # Speech that ends before its first token, each time it is drawn, is an error of the core and nothing to the transcription.
    with record_draws() as draws, suppress(GenerationError):
        found = bark.generate_semantic("text", voice=voice, seed=ours, **options).tolist()
    guide = Guide(draws, passed)
    assert found == reference.semantic(CONFIG, states["semantic"], TEXT_IDS, voice, theirs, guide, **options)
    guide.finish()
    assert in_step(ours, theirs)
    return len(found)


def ending_states(bias: float) -> dict[str, dict[str, Tensor]]:
    """Return weights whose speech ends here and there."""
    semantic = {**STATES["semantic"], "lm_head.weight": STATES["semantic"]["lm_head.weight"].clone()}
    semantic["lm_head.weight"][10_000] += bias * torch.randn(64, generator=torch.Generator().manual_seed(6))
    return {**STATES, "semantic": semantic}


@pytest.mark.parametrize("min_eos_p", [0.2, 0.05, None])
@pytest.mark.parametrize("temperature", [0.7, 0])
def test_semantic_ends_where_the_original_does(
    monkeypatch: pytest.MonkeyPatch, passed: list[str], min_eos_p: float | None, temperature: float
) -> None:
    states = ending_states(1.0)
    bark = make_bark(plain=False, states=states)
    encoded(bark, monkeypatch)
    options = {"min_eos_p": min_eos_p, "temperature": temperature, "max_seconds": 1.5}
    lengths = {check_semantic(bark, passed, seed, states, **options) for seed in range(4)}
    assert temperature == 0 or len(lengths) > 1


def test_a_first_step_that_ends_is_drawn_again_from_the_same_generator(monkeypatch: pytest.MonkeyPatch, passed: list[str]) -> None:
    # An end about as likely as not, whatever came before: some seeds begin at the first draw, some later, some never.
    monkeypatch.setattr(reference, "causal_logits", with_likely_end(reference.causal_logits))
    bark = make_bark(plain=True)
    head = type(bark.runtime.causal("semantic").lm_head).forward
    monkeypatch.setattr(type(bark.runtime.causal("semantic").lm_head), "forward", with_likely_end(head))
    encoded(bark, monkeypatch)
    for seed in range(12):
        check_semantic(bark, passed, seed, STATES, min_eos_p=None, max_seconds=0.1)
    assert {1, 2, 4} <= {count_draws(seed) for seed in range(12)}


def with_likely_end(compute: Any) -> Any:
    """Give the end of speech the logit at which it is drawn about as often as not."""

    def changed(*args: Any) -> Tensor:
        logits = compute(*args).clone()
        ends = logits[..., :10_001].div(0.7).logsumexp(-1) * 0.7
        logits[..., 10_000] = ends + 0.3
        return logits

    return changed


def count_draws(seed: int) -> int:
    generator = torch.Generator().manual_seed(seed)
    for n in range(1, 5):
        if reference.semantic_once(CONFIG, STATES["semantic"], TEXT_IDS, None, generator, {"min_eos_p": None, "max_seconds": 0.1}):
            return n
    return 5


@pytest.mark.slow
def test_semantic_stops_at_768_tokens(bark: Bark, monkeypatch: pytest.MonkeyPatch, passed: list[str]) -> None:
    encoded(bark, monkeypatch)
    assert check_semantic(bark, passed, 8, STATES, min_eos_p=None, temperature=0.5) == 768


@pytest.mark.parametrize("seconds", [0.02, 1.0, 1.002, 10.0])
def test_the_sum_of_seconds_stops_as_the_original_adds(seconds: float) -> None:
    """At 10.0 s the running sum stops one token before a division would: 499, not 500."""
    bark, total, wanted = make_bark(plain=False), 0.0, 0
    while not total > seconds:
        total += 1 / 49.9
        wanted += 1
    assert len(bark.generate_semantic("hello", seed=1, min_eos_p=None, temperature=0, max_seconds=seconds)) == wanted
    assert seconds != 10.0 or wanted == 499


def check_coarse(bark: Bark, passed: list[str], n: int, voice: str, options: dict[str, Any]) -> None:
    semantic = np.random.default_rng(n).integers(0, 10_000, n)
    ours, theirs = generators(n)
    with record_draws() as draws:
        found = bark.generate_coarse(semantic, voice=make_voice(voice), seed=ours, **options)
    guide = Guide(draws, passed)
    wanted = reference.coarse(CONFIG, STATES["coarse"], semantic.tolist(), make_voice(voice), theirs, guide, **options)
    guide.finish()
    assert found.tolist() == wanted.tolist() and in_step(ours, theirs)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("sampling", SAMPLING)
def test_coarse_sampling(bark: Bark, passed: list[str], voice: str, sampling: str) -> None:
    check_coarse(bark, passed, 13, voice, SAMPLING[sampling])


@pytest.mark.parametrize("n", [1, 2, 3, 19, 20, 21, 40])
def test_coarse_lengths_around_its_windows(bark: Bark, passed: list[str], n: int) -> None:
    check_coarse(bark, passed, n, "none", {})


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["none", "short", "odd", "full"])
@pytest.mark.parametrize("n", [209, 230, 300])
def test_coarse_slides(bark: Bark, passed: list[str], n: int, voice: str) -> None:
    check_coarse(bark, passed, n, voice, {})


def check_fine(bark: Bark, passed: list[str], frames: int, voice: Voice | None, temperature: float) -> None:
    coarse = np.random.default_rng(frames).integers(0, 1024, (2, frames))
    ours, theirs = generators(frames)
    with record_draws() as draws:
        found = bark.generate_fine(coarse, voice=voice, seed=ours, temperature=temperature)
    guide = Guide(draws, passed)
    wanted = reference.fine(CONFIG, STATES["fine"], coarse, voice, theirs, temperature, guide)
    guide.finish()
    assert found.tolist() == wanted.tolist() and in_step(ours, theirs)


@pytest.mark.parametrize("voice", ["none", "short", "full"])
@pytest.mark.parametrize("frames", [1, 511, 512, 513, 1023, 1024, 1025])
def test_fine_windows(bark: Bark, passed: list[str], frames: int, voice: str) -> None:
    check_fine(bark, passed, frames, make_voice(voice), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["none", "short", "full"])
@pytest.mark.parametrize("frames", [1535, 1536, 1537, 2049])
@pytest.mark.parametrize("temperature", [0.5, 0])
def test_fine_in_three_windows_and_more(bark: Bark, passed: list[str], frames: int, voice: str, temperature: float) -> None:
    check_fine(bark, passed, frames, make_voice(voice), temperature)


def test_fine_is_greedy_at_zero(bark: Bark, passed: list[str]) -> None:
    check_fine(bark, passed, 100, make_voice("short"), 0)


REAL = ["announcer", "speaker_0", "en_speaker_6", "v2/en_speaker_6", "v2/de_speaker_3", "v2/zh_speaker_6", "v2/ja_speaker_2", "v2/zh_speaker_4"]


@pytest.mark.parametrize("voice", ["none", "full"])
def test_a_transcription_that_is_led_is_the_one_that_goes_step_by_step(bark: Bark, monkeypatch: pytest.MonkeyPatch, voice: str) -> None:
    encoded(bark, monkeypatch)
    with record_draws() as draws:
        semantic = bark.generate_semantic("text", voice=make_voice(voice), seed=5, max_seconds=0.2)
    alone = reference.semantic(CONFIG, STATES["semantic"], TEXT_IDS, make_voice(voice), generators(5)[0], max_seconds=0.2)
    led = reference.semantic(CONFIG, STATES["semantic"], TEXT_IDS, make_voice(voice), generators(5)[0], Guide(draws, []), max_seconds=0.2)
    draws.check_margins()
    assert alone == led == semantic.tolist()
    with record_draws() as draws:
        codes = bark.generate_coarse(semantic[:7], voice=make_voice(voice), seed=5)
    alone = reference.coarse(CONFIG, STATES["coarse"], semantic[:7].tolist(), make_voice(voice), generators(5)[0])
    led = reference.coarse(CONFIG, STATES["coarse"], semantic[:7].tolist(), make_voice(voice), generators(5)[0], Guide(draws, []))
    draws.check_margins()
    assert alone.tolist() == led.tolist() == codes.tolist()


@pytest.mark.parametrize("name", REAL)
def test_real_presets_through_all_stages(bark: Bark, monkeypatch: pytest.MonkeyPatch, passed: list[str], real_voices: Path, name: str) -> None:
    encoded(bark, monkeypatch)
    voice = Voice.preset(name, real_voices)
    with record_draws() as draws:
        made = bark.generate("text", voice=voice, seed=17, min_eos_p=0.1, max_seconds=0.2)
    generator, guide = torch.Generator().manual_seed(17), Guide(draws, passed)
    semantic = reference.semantic(CONFIG, STATES["semantic"], TEXT_IDS, voice, generator, guide, min_eos_p=0.1, max_seconds=0.2)
    coarse = reference.coarse(CONFIG, STATES["coarse"], semantic, voice, generator, guide)
    fine = reference.fine(CONFIG, STATES["fine"], coarse, voice, generator, guide=guide)
    guide.finish()
    assert made.semantic.tolist() == semantic and made.coarse.tolist() == coarse.tolist() and made.fine.tolist() == fine.tolist()


def test_kept_prefixes_spare_prefill() -> None:
    """Without a voice, windows share their beginnings: 250 semantic tokens feed 2,031 positions in prompts, not 7,901."""
    from bark_core.stages.coarse import CoarseRow, run_coarse
    from bark_core.types import SamplingOptions

    runtime = Runtime(CONFIG, STATES.__getitem__, plan_placement("cpu", "fp32"))
    model = runtime.causal("coarse")
    voice = make_voice("full")
    for n, history, wanted in ((200, None, 257), (250, None, 2031), (400, None, 9127), (250, voice, 883 + 12 * 887)):
        row = CoarseRow(model, CONFIG, np.arange(n), history, torch.Generator().manual_seed(1))
        with runtime.lend_engine("coarse", 1) as engine:
            for _ in run_coarse(engine, [row], SamplingOptions(0.7)):
                pass
        assert row.prefilled == wanted
