"""Bark as callers hold it: seeds, stages, batches, voices, progress, cancellation, and what is refused."""

from __future__ import annotations

import dataclasses
import gc
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bark_core import SAMPLE_RATE, Bark, GenerationError, InvalidInput, Voice
from bark_core.config import PARTS, BarkConfig
from bark_core.engine.placement import plan_placement
from bark_core.engine.runtime import Runtime
from bark_core.text.wordpiece import TextEncoder
from bark_core.voices.files import read_info
from tests.checkpoints import letter_tokenizer, random_states, random_voice, tiny_config, write_own
from tests.near_ties import count_passed, lead_draws, record_draws

CONFIG = tiny_config(width=64)
STATES = random_states(CONFIG)
TEXTS = ["one", "two words", "three, of them", "a fourth", "five"]


def make_bark(
    precision: str = "fp32", plain: bool = False, states: dict[str, dict[str, torch.Tensor]] = STATES, config: BarkConfig = CONFIG
) -> Bark:
    runtime = Runtime(config, lambda part: {key: value.clone() for key, value in states[part].items()}, plan_placement("cpu", precision), plain)
    presets = {"v2/en_speaker_6": random_voice(6), "announcer": random_voice(7)}
    return Bark(config, runtime, TextEncoder(letter_tokenizer(), CONFIG.max_text_tokens), "tiny", "d1", tuple(presets), presets.__getitem__)


@pytest.fixture(scope="module")
def bark() -> Bark:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        return make_bark()


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("semantic", "coarse", "fine", "audio"))


def test_shapes_types_and_timings(bark: Bark) -> None:
    made = bark.generate("Hello there.", seed=1, max_seconds=1.0)
    n, frames = len(made.semantic), made.coarse.shape[1]
    assert n <= 50 and made.coarse.shape == (2, frames) and made.fine.shape == (8, frames) and made.audio.shape == (320 * frames,)
    assert {made.semantic.dtype, made.coarse.dtype, made.fine.dtype} == {np.dtype(np.int64)} and made.audio.dtype == np.float32
    assert np.array_equal(made.fine[:2], made.coarse)
    assert bark.sample_rate == SAMPLE_RATE == 24_000
    timings = made.timings
    assert set(timings.seconds) == set(PARTS) and timings.tokens == {"semantic": n, "coarse": 2 * frames, "fine": 8 * frames}
    assert timings.audio_s == pytest.approx(len(made.audio) / 24_000) and timings.rtf == pytest.approx(timings.wall_s / timings.audio_s)
    assert timings.wall_s == pytest.approx(sum(timings.seconds.values()))


def test_a_seed_makes_it_again_and_none_is_chosen_and_reported(bark: Bark) -> None:
    one = bark.generate("Hello.", max_seconds=0.5)
    assert 0 <= one.seed < 2**32
    assert same(bark.generate("Hello.", seed=one.seed, max_seconds=0.5), one)
    others = [bark.generate("Hello.", max_seconds=0.5) for _ in range(2)]
    assert len({one.seed, *(each.seed for each in others)}) == 3
    assert not same(others[0], one)


def test_the_global_generator_is_neither_read_nor_moved(bark: Bark) -> None:
    torch.manual_seed(1)
    one = bark.generate("Hello.", seed=5, max_seconds=0.5)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert same(bark.generate("Hello.", seed=5, max_seconds=0.5), one)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("voice", [None, "announcer"])
def test_stages_one_by_one_with_one_generator_are_generate(bark: Bark, voice: str | None) -> None:
    whole = bark.generate("By stages.", voice=voice, seed=11, max_seconds=1.0)
    generator = torch.Generator().manual_seed(11)
    semantic = bark.generate_semantic("By stages.", voice=voice, seed=generator, max_seconds=1.0)
    coarse = bark.generate_coarse(semantic, voice=voice, seed=generator)
    fine = bark.generate_fine(coarse, voice=voice, seed=generator)
    audio = bark.decode(fine)
    for found, wanted in ((semantic, whole.semantic), (coarse, whole.coarse), (fine, whole.fine), (audio, whole.audio)):
        assert np.array_equal(found, wanted)


@pytest.mark.slow
def test_the_compiled_step_draws_what_torch_draws(bark: Bark) -> None:
    with count_passed() as passed:
        for seed in range(3):
            with record_draws() as draws:
                found = bark.generate("The same.", seed=seed, max_seconds=1.0)
            with lead_draws(draws, passed):
                assert same(make_bark(plain=True).generate("The same.", seed=seed, max_seconds=1.0), found)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_row_of_a_batch_is_that_text_alone(bark: Bark, batch_size: int) -> None:
    voices, seeds = [None, "announcer", "v2/en_speaker_6", None, "announcer"], [4, 3, 2, 1, 0]
    made = bark.generate_batch(TEXTS, voice=voices, seed=seeds, max_seconds=1.2, top_k=50, batch_size=batch_size)
    for text, voice, seed, each in zip(TEXTS, voices, seeds, made, strict=True):
        assert same(each, bark.generate(text, voice=voice, seed=seed, max_seconds=1.2, top_k=50))
        assert (each.seed, each.settings["text"], each.settings["voice"], each.settings["seed"]) == (seed, text, voice, seed)


@pytest.mark.slow
def test_rows_that_end_early_leave_their_places_to_those_that_wait() -> None:
    states = {**STATES, "semantic": {key: value.clone() for key, value in STATES["semantic"].items()}}
    states["semantic"]["lm_head.weight"][-1] += 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    bark, texts = make_bark(states=states), [f"text {'more ' * i}" for i in range(9)]
    together = bark.generate_batch(texts, seed=list(range(9)), min_eos_p=None, batch_size=4)
    assert len({len(each.semantic) for each in together}) > 4
    for i, (text, each) in enumerate(zip(texts, together, strict=True)):
        assert same(each, bark.generate(text, seed=i, min_eos_p=None))


def test_batches_take_one_voice_and_seed_for_all_or_one_for_each(bark: Bark) -> None:
    made = bark.generate_batch(TEXTS[:2], voice="announcer", seed=9, max_seconds=0.4)
    assert [each.seed for each in made] == [9, 9]
    assert len({each.seed for each in bark.generate_batch(TEXTS[:2], max_seconds=0.4)}) == 2
    for given, sentence in (
        ({"texts": []}, "at least one text"),
        ({"texts": "one"}, "must be a list"),
        ({"texts": TEXTS, "seed": [1]}, "1 values of seed were given for 5 texts"),
        ({"texts": TEXTS, "voice": [None] * 6}, "6 values of voice"),
        ({"texts": TEXTS, "batch_size": 0}, "batch_size was 0"),
        ({"texts": ["fine", " ", ""]}, r"^texts\[1\]: The text is empty"),
        ({"texts": ["fine", "well"], "voice": [None, "none.npz"]}, r"^texts\[1\]: There is no file none\.npz"),
        ({"texts": [" "]}, "^The text is empty"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            bark.generate_batch(**given)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_generation_is_a_voice_in_memory_as_npz_and_as_wav(bark: Bark, tmp_path: Path) -> None:
    first = bark.generate("Speak first.", seed=1, max_seconds=2.0)
    first.save(tmp_path / "first.wav")
    first.voice.save(tmp_path / "first.npz")
    ways: list[Any] = [first, first.voice, tmp_path / "first.wav", str(tmp_path / "first.npz"), Voice(first.semantic, first.coarse, first.fine)]
    ways.append(first.voice.arrays())
    made = [bark.generate("Then this.", voice=way, seed=2, max_seconds=0.5) for way in ways]
    assert all(same(each, made[0]) for each in made)
    assert not same(made[0], bark.generate("Then this.", seed=2, max_seconds=0.5))
    assert len({each.settings["voice"] for each in made}) == 1 and made[0].settings["voice"].startswith("custom:")


def test_a_wav_says_how_to_make_it_again(bark: Bark, tmp_path: Path) -> None:
    made = bark.generate("Grün ♪ la", voice="v2\\en_speaker_6", seed=8, text_temp=0.9, top_p=0.9, max_seconds=0.7)
    made.save(tmp_path / "one.wav")
    info = read_info(tmp_path / "one.wav")
    assert info["arrays"]["fine_prompt"] == list(made.fine.shape)
    assert (info["text"], info["voice"], info["model"], info["model_digest"]) == ("Grün ♪ la", "v2/en_speaker_6", "tiny", "d1")
    names = ("text", "voice", "seed", "text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "max_seconds")
    again = bark.generate(**{name: info[name] for name in names})
    assert same(again, made)
    assert again.to_wav() == made.to_wav()


def test_numbers_of_numpy_are_numbers(bark: Bark, tmp_path: Path) -> None:
    plain = bark.generate_batch(["Hello."], seed=5, top_k=50, text_temp=0.5, max_seconds=0.5, batch_size=2)[0]
    numbers: dict[str, Any] = {"seed": np.int64(5), "top_k": np.int64(50), "text_temp": np.float32(0.5), "max_seconds": np.float64(0.5)}
    made = bark.generate_batch(["Hello."], batch_size=np.int64(2), **numbers)[0]  # pyright: ignore[reportArgumentType]
    assert same(made, plain)
    assert made.save(tmp_path / "numpy.wav").read_bytes() == plain.to_wav()


def test_names_without_a_format_are_refused_and_too_short_speech_is_no_voice(bark: Bark, tmp_path: Path) -> None:
    made = bark.generate("Hi.", seed=1, max_seconds=0.05)
    with pytest.raises(InvalidInput, match=r"ends in \.wma, which stands for no format"):
        made.save(tmp_path / "speech.wma")
    assert len(made.semantic) == 3
    with pytest.raises(InvalidInput, match="too short"):
        _ = made.voice
    with pytest.raises(InvalidInput, match="This generation has .* too short"):
        bark.generate("And this.", voice=made)
    made.save(tmp_path / "short.wav")
    with pytest.raises(InvalidInput, match="too short"):
        Voice.load(tmp_path / "short.wav")


def test_progress_is_complete_and_in_order(bark: Bark) -> None:
    seen: list[tuple[str, int, int]] = []
    bark.generate("Progress.", seed=1, max_seconds=0.6, on_progress=lambda *event: seen.append(event))
    stages = [stage for stage, _, _ in seen]
    assert list(dict.fromkeys(stages)) == list(PARTS)
    for part in PARTS:
        events = [(done, total) for stage, done, total in seen if stage == part]
        assert [done for done, _ in events] == sorted(done for done, _ in events)
        assert events[-1][0] == events[-1][1] and len({total for _, total in events}) == 1


@pytest.mark.parametrize("stage", PARTS)
def test_what_progress_raises_stops_the_work_at_once_and_leaves_nothing_behind(bark: Bark, stage: str) -> None:
    class Cancelled(BaseException):
        pass

    wanted = bark.generate("Cancel me.", seed=3, max_seconds=0.6)

    def cancel(at: str, *_: int) -> None:
        seen.append(at)
        if at == stage:
            raise Cancelled

    seen: list[str] = []
    with pytest.raises(Cancelled):
        bark.generate("Cancel me.", seed=3, max_seconds=0.6, on_progress=cancel)
    assert seen.count(stage) == 1 and seen[-1] == stage
    assert same(bark.generate("Cancel me.", seed=3, max_seconds=0.6), wanted)


@pytest.mark.slow
def test_generations_side_by_side_do_not_meet(bark: Bark) -> None:
    wanted = {seed: bark.generate("Side by side.", seed=seed, max_seconds=0.8) for seed in range(3)}
    found: dict[int, Any] = {}

    def work(seed: int) -> None:
        found[seed] = bark.generate("Side by side.", seed=seed, max_seconds=0.8)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[seed], each) for seed, each in wanted.items())
    other = make_bark()
    assert same(other.generate("Side by side.", seed=0, max_seconds=0.8), wanted[0])


def test_speech_that_never_begins_is_an_error_not_silence(bark: Bark) -> None:
    with pytest.raises(GenerationError, match="ended the speech of 'Hello' before it began, four times over. Try another seed"):
        bark.generate("Hello", seed=1, min_eos_p=1e-9)


def test_what_is_not_spoken_of_several_takes_nothing_from_the_others(bark: Bark, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = bark.generate_batch(["Good day", "Hello"], seed=3, min_eos_p=1e-9, max_seconds=0.3)
        for each in made:
            assert each.audio.shape == (0,) and each.semantic.shape == (0,) and each.coarse.shape == (2, 0) and each.fine.shape == (8, 0)
            assert "ended before it began, however often it was drawn, so it is left out" in each.notes[0]
            with pytest.raises(InvalidInput, match="no audio"):
                each.save(tmp_path / "nothing.wav")
        assert not list(tmp_path.iterdir())
        with pytest.raises(GenerationError, match="before it began, four times over"):
            bark.generate("Good day. Hello there.", seed=3, min_eos_p=1e-9, max_seconds=0.3, split=True)
        with pytest.raises(GenerationError, match="before it began, four times over"):
            list(bark.stream("Good day. Hello there.", seed=3, min_eos_p=1e-9, max_seconds=0.3, split=True))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"text": ""}, "The text is empty"),
    ({"text": " \n\t"}, "The text is empty"),
    ({"text": 3}, "The text was a int"),
    ({"text": "x" * 90 + " y" * 300, "split": False}, "390 tokens long; at most 256"),
    ({"seed": -1}, "seed of -1"),
    ({"seed": 2**32}, "seed of 4294967296"),
    ({"seed": 1.5}, "seed of 1.5"),
    ({"text_temp": -0.1}, "temperature of -0.1"),
    ({"waveform_temp": float("nan")}, "temperature of nan"),
    ({"fine_temp": "warm"}, "temperature of 'warm'"),
    ({"min_eos_p": 0}, "min_eos_p was 0"),
    ({"min_eos_p": 1.1}, "min_eos_p was 1.1"),
    ({"top_k": 0}, "top_k was 0"),
    ({"top_p": 0.0}, "top_p was 0.0"),
    ({"max_seconds": 0}, "max_seconds was 0"),
    ({"voice": "v2/en_speaker_7"}, "one of Suno's presets, which the model tiny does not have.*v2/en_speaker_6"),
    ({"voice": "anouncer"}, "no voice 'anouncer'; the closest of its 2: announcer"),
    ({"voice": "missing.npz"}, "There is no file missing.npz"),
    ({"split": "always"}, 'split was .always.; it must be "auto", True or False'),
    ({"voices": ["ANNA"]}, "voices was a list; it must map names to voices"),
    ({"voices": {"ANNA": "nobody"}, "text": "ANNA: Hello."}, "no voice 'nobody'"),
    ({"text": "Hello.[pause -1s]Bye."}, "pause"),
    ({"text": "x " * 25_001}, "50002 characters"),
    ({"text": "…!?"}, "no letter"),
    ({"language": "xx"}, "language was 'xx'; it must be one of en, de"),
    ({"normalize": "all"}, "normalize was 'all'"),
    ({"n_takes": 0}, "n_takes was 0"),
    ({"n_takes": 9}, "n_takes was 9; it must be a whole number from 1 to 8"),
    ({"max_retries": 6}, "max_retries was 6"),
    ({"retry": 1}, "retry was 1"),
    ({"verify": "ears"}, "verify was 'ears'"),
    ({"pauses": 0.3}, "pauses was 0.3; it must be a Pauses"),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED)
def test_bad_input_is_refused_before_anything_runs(bark: Bark, given: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"text": "Hello.", **given}
    with pytest.raises(InvalidInput, match=sentence):
        bark.generate(**arguments, on_progress=lambda *_: pytest.fail("it began"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda bark: bark.generate_coarse(np.array([], dtype=np.int64)), r"shape \(0,\); they must be \(n,\)"),
        (lambda bark: bark.generate_coarse(np.zeros((2, 3), dtype=np.int64)), r"must be \(n,\)"),
        (lambda bark: bark.generate_coarse(np.array([500])), "run from 500 to 500; they must lie in 0 to 499"),
        (lambda bark: bark.generate_coarse(np.array([0.5])), "must hold whole numbers"),
        (lambda bark: bark.generate_fine(np.zeros((3, 5), dtype=np.int64)), r"must be \(2, n\)"),
        (lambda bark: bark.decode(np.full((8, 5), 1024)), "they must lie in 0 to 1023"),
        (lambda bark: bark.decode(np.zeros((8, 0), dtype=np.int64)), "n of at least 1"),
    ],
)
def test_stages_refuse_arrays_that_are_not_theirs(bark: Bark, call: Callable[[Bark], Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        call(bark)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_fast_precisions_speak_and_repeat_themselves(precision: str) -> None:
    bark = make_bark(precision)
    made = bark.generate("Fast.", seed=4, max_seconds=0.6)
    assert same(make_bark(precision).generate("Fast.", seed=4, max_seconds=0.6), made)
    assert made.settings["precision"]["semantic"] == precision and made.settings["precision"]["codec"] == "fp32"


@pytest.mark.slow
def test_memory_stays_flat(bark: Bark) -> None:
    def count() -> int:
        gc.collect()
        return sum(type(each) is torch.Tensor for each in gc.get_objects())

    bark.generate("Warm up.", seed=0, max_seconds=0.2)
    before = count()
    for seed in range(5):
        bark.generate("Again.", seed=seed, max_seconds=0.2)
    assert count() <= before + 2


def test_fp32_of_a_halved_checkpoint_warns_and_of_the_demo_does_not(tmp_path: Path, demo_folder: Path) -> None:
    halved = write_own(tmp_path / "small", dataclasses.replace(CONFIG, name="small"), STATES, half=True)
    with pytest.warns(UserWarning, match="small was converted to 16 bits, so that even in fp32 its tokens are not the original's"):
        Bark.load(halved, device="cpu", precision="fp32")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*converted to 16 bits")
        Bark.load(halved, device="cpu", precision="bf16")
        bark = Bark.load(demo_folder, device="cpu", precision="fp32")
    assert bark.name == "demo" and set(bark.voices) == {"demo_speaker_0", "demo_speaker_1"}
