"""Notes: in the generation, as warnings at the caller's line, in the file; and never in the way of what is done."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest

from bark_core import Bark, BarkWarning, InvalidInput
from bark_core.voices.files import read_info
from tests.speech.test_bark import CONFIG, make_bark


@pytest.fixture(scope="module")
def bark() -> Bark:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, a warning says so
        return make_bark()


def test_unknown_words_are_noted_where_the_caller_is_and_in_the_file(bark: Bark, tmp_path: Path) -> None:
    with pytest.warns(BarkWarning, match="not spoken: 'it😀'") as heard:
        speech, clear = bark.generate_batch(["I love it😀", "I love it"], seed=1, max_seconds=0.3)
    assert [str(warning.message) for warning in heard] == list(speech.notes) and heard[0].filename == __file__
    assert (len(speech.notes), clear.notes, speech.reached_ceiling) == (1, (), False)
    speech.save(tmp_path / "noted.wav")
    assert read_info(tmp_path / "noted.wav")["notes"] == [*speech.notes]
    with pytest.warns(BarkWarning, match="not spoken: 'it😀'") as heard:
        assert np.array_equal(bark.generate_semantic("I love it😀", seed=1, max_seconds=0.3), speech.semantic)
    assert heard[0].filename == __file__
    with pytest.raises(InvalidInput, match="knows no word of the text"):
        bark.generate("Привет, мир!")


@pytest.mark.slow
def test_speech_cut_off_at_the_most_tokens_is_noted_and_never_lost() -> None:
    short = dataclasses.replace(CONFIG, max_semantic_steps=20)
    bark = make_bark(config=short)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarkWarning)  # what is done is not thrown away for a warning
        made = bark.generate("Cut off.", seed=1, min_eos_p=None, max_seconds=0.41, split=False, retry=False)
    assert len(made.semantic) == 20 and made.reached_ceiling
    assert [note.partition(",")[0] for note in made.notes] == ["The speech was cut off at 20 semantic tokens (0.4 seconds)"]
    with pytest.warns(BarkWarning, match="cut off at 20 semantic tokens"):
        bark.generate_semantic("Cut off.", seed=1, min_eos_p=None)
    # 20 tokens are what this many seconds allow: the caller's limit is no ceiling.
    asked = bark.generate("Cut off.", seed=1, min_eos_p=None, max_seconds=0.4, split=False, retry=False)
    assert (len(asked.semantic), asked.reached_ceiling, asked.notes) == (20, False, ())
