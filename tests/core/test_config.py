"""What a checkpoint may say of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bark_core.config import BarkConfig
from bark_core.errors import CheckpointError


def test_defaults_are_the_released_numbers() -> None:
    config = BarkConfig()
    assert config.coarse_per_semantic == pytest.approx(75 / 49.9 * 2) and config.max_semantic_history == 209
    assert (config.text_encoding_offset, config.text_pad_token, config.semantic_infer_token) == (10_048, 129_595, 129_599)
    assert (config.coarse_semantic_pad_token, config.coarse_infer_token, config.semantic_pad_token) == (12_048, 12_050, 10_000)
    assert config.codec.frame_samples == 320 and config.sample_rate_hz == 24_000


def test_survives_json() -> None:
    config = BarkConfig(name="mine", max_text_tokens=128)
    assert BarkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert BarkConfig.from_dict({}) == BarkConfig()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"colour": 1}, "an entry colour that this version does not know"),
        ({"semantic": {"n_layers": 1}}, "an entry semantic.n_layers"),
        ({"semantic": 5}, "has 5 for semantic"),
        ({"semantic": {"n_layer": 1}}, "cannot be read at semantic"),
        ({"fine": {**BarkConfig().to_dict()["fine"], "n_head": 3}}, "which n_head = 3 does not divide"),
        ({"coarse": {**BarkConfig().to_dict()["coarse"], "block_size": 0}}, "block_size = 0"),
        ({"sliding_window": 61}, "must be even"),
        ({"utterance_s": 11}, "utterance_s = 11; it must be a number of seconds from 1 to 10"),
        ({"utterance_s": "4"}, "utterance_s = '4'"),
        ({"max_semantic_steps": 900}, "semantic.block_size = 1024; the rest of it needs at least 1156"),
        ({"max_coarse_history": 900}, "coarse.block_size = 1024"),
        ({"semantic_pad_token": 9999}, "semantic_pad_token = 9999"),
        ({"text_pad_token": 200_000}, "semantic.input_vocab_size = 129600"),
    ],
)
def test_what_cannot_be_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        BarkConfig.from_dict(values)
