"""Long texts: what is spoken in how many utterances, by whose voice, from which seeds, and that a stream is the whole."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bark_core import Bark, BarkWarning, Generation, InvalidInput
from bark_core.audio.joins import FADE_S
from bark_core.config import BarkConfig
from bark_core.speech.options import SpeechOptions
from bark_core.speech.plan import plan_text
from bark_core.text.duration import estimate_seconds
from bark_core.types import Pauses, derive_seed
from bark_core.voices.files import read_info
from tests.speech.test_bark import make_bark, same

STORY = (
    "The harbour was quiet in the morning. A few boats came back with fish. Nobody had seen the ship since the storm.\n\n"
    "In the afternoon the wind turned. Anna walked along the pier with her brother. They watched the clouds, and it was getting cold. "
    "A gull took the bread and flew away over the water."
)


@pytest.fixture(scope="module")
def bark() -> Iterator[Bark]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random weights never take as long as their text
        yield make_bark()


@pytest.fixture(scope="module")
def story(bark: Bark) -> Generation:
    return bark.generate(STORY, seed=5, max_seconds=0.6)


def texts_of(made: Generation) -> list[str]:
    return [each.text for each in made.utterances]


def test_every_word_is_spoken_once_and_in_order(story: Generation) -> None:
    assert len(story.utterances) > 3
    assert " ".join(texts_of(story)).split() == STORY.split()
    assert all((one.end_s or 0) <= (other.start_s or 0) for one, other in itertools.pairwise(story.utterances))
    assert story.utterances[-1].end_s == pytest.approx(len(story.audio) / 24_000)


def test_pauses_are_silence_of_their_length(bark: Bark, story: Generation) -> None:
    for one, other in itertools.pairwise(story.utterances):
        assert one.end_s is not None and other.start_s is not None
        expected = 0.8 if one.paragraph != other.paragraph else one.pause_after_s
        assert other.start_s - one.end_s == pytest.approx(expected, abs=1e-4)
        assert not story.audio[round(one.end_s * 24_000) : round(other.start_s * 24_000)].any()
    shorter = bark.generate(STORY, seed=5, max_seconds=0.6, pauses=Pauses(sentence_s=0.1, paragraph_s=0.3, clause_s=0))
    assert len(shorter.audio) < len(story.audio)
    assert np.array_equal(shorter.semantic, story.semantic), "pauses do not change what is spoken"


def test_no_join_has_a_step_that_speech_has_not(story: Generation) -> None:
    steps = np.abs(np.diff(story.audio))
    edge = round(2 * FADE_S * 24_000)
    joins = [round((at or 0) * 24_000) for each in story.utterances for at in (each.start_s, each.end_s)]
    near = np.zeros(len(steps), bool)
    for at in joins:
        near[max(0, at - edge) : at + edge] = True
    assert steps[near].max() <= steps[~near].max()


def test_the_first_utterance_is_the_voice_of_the_rest_and_each_can_be_made_again_alone(bark: Bark, story: Generation) -> None:
    place, voice = 0, None
    for n, each in enumerate(story.utterances[:4]):
        assert each.seed == (derive_seed(story.seed, "utterance", n) if n else story.seed)
        alone = bark.generate(each.text, voice=voice, seed=each.seed, max_seconds=0.6, split=False, retry=False)
        voice = voice or alone.voice
        assert np.array_equal(story.semantic[place : place + len(alone.semantic)], alone.semantic)
        place += len(alone.semantic)


def test_changing_one_sentence_leaves_the_others_as_they_were(bark: Bark, story: Generation) -> None:
    changed = bark.generate(STORY.replace("A gull took the bread and flew", "Six dogs ran behind us, and then all"), seed=5, max_seconds=0.6)
    assert len(changed.utterances) == len(story.utterances)
    for one, other in zip(story.utterances[:-1], changed.utterances[:-1], strict=True):
        assert one == other
    end = round((story.utterances[-2].end_s or 0) * 24_000)
    assert np.array_equal(changed.audio[:end], story.audio[:end])
    assert changed.utterances[-1].text != story.utterances[-1].text


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_stream_joins_to_the_whole(bark: Bark, story: Generation, batch_size: int) -> None:
    position, pieces = 0, []
    with bark.stream(STORY, seed=5, max_seconds=0.6, batch_size=batch_size) as stream:
        for chunk in stream:
            assert chunk.start == position
            position += len(chunk.audio)
            pieces.append(chunk)
    assert [chunk.is_last for chunk in pieces] == [False] * (len(pieces) - 1) + [True]
    assert np.array_equal(np.concatenate([chunk.audio for chunk in pieces]), story.audio)
    assert stream.generation is not None and same(stream.generation, story)
    assert 0 < stream.generation.timings.first_audio_s < stream.generation.timings.wall_s


def test_a_closed_stream_does_no_more_work(bark: Bark) -> None:
    seen: list[str] = []
    stream = bark.stream(STORY, seed=5, max_seconds=0.6, on_progress=lambda stage, *_: seen.append(stage))
    next(stream)
    stream.close()
    n_seen = len(seen)
    assert list(stream) == [] and len(seen) == n_seen and stream.generation is None


def test_a_short_text_streams_as_one_chunk_that_is_what_generate_gives(bark: Bark) -> None:
    (chunk,) = bark.stream("Hello.", seed=2, max_seconds=0.5)
    assert chunk.is_last and np.array_equal(chunk.audio, bark.generate("Hello.", seed=2, max_seconds=0.5).audio)


@pytest.mark.slow
def test_dialogue_takes_the_voices_it_names_and_leaves_the_other_names_in_the_text(bark: Bark) -> None:
    text = "ANNA: Good morning.\nBEN: Hello, Anna.\nMAN: I am nobody.\n[voice announcer] And now the news. [pause 1.5s] [laughs] Thank you."
    made = bark.generate(text, voices={"ANNA": "announcer", "BEN": "v2/en_speaker_6"}, seed=1, max_seconds=0.4)
    assert [(each.speaker, each.voice) for each in made.utterances][:2] == [("ANNA", "announcer"), ("BEN", "v2/en_speaker_6")]
    assert "MAN: I am nobody." in texts_of(made) and any("[laughs]" in text for text in texts_of(made))
    alone = bark.generate("Hello, Anna.", voice="v2/en_speaker_6", seed=made.utterances[1].seed, max_seconds=0.4, retry=False)
    n_first = len(bark.generate("Good morning.", voice="announcer", seed=1, max_seconds=0.4, retry=False).semantic)
    assert np.array_equal(made.semantic[n_first : n_first + len(alone.semantic)], alone.semantic)
    gaps = [round((b.start_s or 0) - (a.end_s or 0), 3) for a, b in itertools.pairwise(made.utterances)]
    assert gaps[0] == 0.5 and 1.5 in gaps


def test_a_voice_tells_the_language_of_numbers(bark: Bark) -> None:
    pytest.importorskip("unicode_rbnf", reason="the package unicode-rbnf (extra numbers) is not installed")
    (text,) = texts_of(bark.generate("Radio 21.", voice="v2/en_speaker_6", seed=3, max_seconds=0.4, normalize="numbers"))
    assert text == "Radio twenty-one."
    (text,) = texts_of(bark.generate("Radio 21.", voice="v2/en_speaker_6", seed=3, max_seconds=0.4, normalize="numbers", language="de"))
    assert text == "Radio einundzwanzig."


def test_settings_say_how_each_utterance_was_made(bark: Bark, story: Generation, tmp_path: Path) -> None:
    story.save(tmp_path / "story.wav")
    info = read_info(tmp_path / "story.wav")
    assert info["text"] == STORY and info["seed"] == 5 and info["voice"] is None
    assert [each["text"] for each in info["utterances"]] == texts_of(story)
    assert info["utterances"][0]["voice"] is None and info["utterances"][1]["voice"].startswith("custom:")
    assert [each["seed"] for each in info["utterances"]] == [each.seed for each in story.utterances]
    assert story.voice.semantic.shape == story.semantic.shape
    with pytest.raises(InvalidInput, match="too short"):
        _ = bark.generate("Hi.", seed=1, max_seconds=0.05).voice


@pytest.mark.slow
def test_a_batch_may_hold_long_texts_and_short_ones(bark: Bark, story: Generation) -> None:
    short = bark.generate("Hello.", voice="announcer", seed=9, max_seconds=0.6)
    made = bark.generate_batch(["Hello.", STORY, "Hello."], voice=["announcer", None, "announcer"], seed=[9, 5, 9], max_seconds=0.6, batch_size=3)
    assert same(made[0], short) and same(made[1], story) and same(made[2], short)


def test_progress_of_a_long_text_only_rises_and_ends_at_its_total(bark: Bark) -> None:
    seen: list[tuple[str, int, int]] = []
    bark.generate(STORY, seed=5, max_seconds=0.3, on_progress=lambda *event: seen.append(event), batch_size=2)
    for part in ("semantic", "coarse", "fine", "codec"):
        events = [(done, total) for stage, done, total in seen if stage == part]
        assert [done for done, _ in events] == sorted(done for done, _ in events)
        assert events[-1][0] == events[-1][1] and len({total for _, total in events}) == 1


def test_a_part_that_cannot_be_spoken_is_left_out_with_a_note(bark: Bark) -> None:
    with pytest.warns(BarkWarning, match="left out"):
        made = bark.generate("ANNA: Hello there.\nBEN: ♪♫\nANNA: And good night.", voices={"ANNA": "announcer", "BEN": "announcer"}, seed=1, max_seconds=0.3)
    assert [each.speaker for each in made.utterances] == ["ANNA", "ANNA"]


def test_numbers_are_spelled_out_where_that_is_asked_for(bark: Bark) -> None:
    made = bark.generate("There are 3 dogs.", seed=1, max_seconds=0.3, normalize="numbers", language="en")
    assert texts_of(made) == ["There are three dogs."] and made.settings["text"] == "There are 3 dogs."
    assert same(made, bark.generate("There are three dogs.", seed=1, max_seconds=0.3))
    assert texts_of(bark.generate("There are 3 dogs.", seed=1, max_seconds=0.3)) == ["There are 3 dogs."]
    assert texts_of(bark.generate("3 dogs.", seed=1, max_seconds=0.3, normalize="numbers", split=False)) == ["Three dogs."]


def test_a_checkpoint_says_how_long_its_utterances_may_be(bark: Bark) -> None:
    def lengths(config: BarkConfig) -> list[float]:
        plan = plan_text(STORY, None, 0, SpeechOptions(), bark.encoder, config, ())
        assert " ".join(each.text for each in plan.utterances).split() == STORY.split()
        return [estimate_seconds(each.text) for each in plan.utterances]

    # The tiny model's own longest speech is not what binds here.
    config = replace(bark.config, max_semantic_steps=700, semantic=replace(bark.config.semantic, block_size=1024))
    usual, short = lengths(config), lengths(replace(config, utterance_s=4.0))
    assert 5 < max(usual) <= 10 and max(short) <= 4 and len(short) > len(usual)
