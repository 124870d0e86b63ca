"""What other projects' checkpoints say of their sizes, said as a BarkConfig. Knows no files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bark_core.config import BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.errors import CheckpointError

_STAGE_NAMES = {
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "hidden_size": "n_embd",
    "input_vocab_size": "input_vocab_size",
    "output_vocab_size": "output_vocab_size",
    "block_size": "block_size",
    "bias": "bias",
    "n_codes_total": "n_codes_total",
    "n_codes_given": "n_codes_given",
}
"""transformers' names of a stage's sizes → ours."""

_STAGE_DEFAULTS = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "input_vocab_size": 10_048,
    "output_vocab_size": 10_048,
    "block_size": 1024,
    "bias": True,
}
"""What transformers means by a size that its config.json leaves out."""

_CODEC_NAMES = {
    "num_filters": "n_filters",
    "hidden_size": "dimension",
    "upsampling_ratios": "ratios",
    "num_residual_layers": "n_residual_layers",
    "num_lstm_layers": "n_lstm_layers",
    "codebook_size": "codebook_size",
}

_GENERATION_NAMES = {
    "semantic_config": {
        "text_encoding_offset": "text_encoding_offset",
        "text_pad_token": "text_pad_token",
        "semantic_pad_token": "semantic_pad_token",
        "semantic_infer_token": "semantic_infer_token",
        "semantic_vocab_size": "semantic_vocab_size",
        "max_input_semantic_length": "max_text_tokens",
        "semantic_rate_hz": "semantic_rate_hz",
        "max_new_tokens": "max_semantic_steps",
    },
    "coarse_acoustics_config": {
        "coarse_rate_hz": "coarse_rate_hz",
        "coarse_semantic_pad_token": "coarse_semantic_pad_token",
        "coarse_infer_token": "coarse_infer_token",
        "max_coarse_input_length": "coarse_semantic_window",
        "max_coarse_history": "max_coarse_history",
        "sliding_window_len": "sliding_window",
        "n_coarse_codebooks": "n_coarse_codebooks",
    },
    "fine_acoustics_config": {
        "max_fine_history_length": "fine_history",
        "max_fine_input_length": "fine_window",
        "n_fine_codebooks": "n_fine_codebooks",
    },
}
"""What transformers' generation_config.json says of each stage → ours. What it lacks is as the released weights have it."""


def config_from_transformers(values: Mapping[str, Any], generation: Mapping[str, Any], name: str) -> BarkConfig:
    """Return the config that transformers' config.json and generation_config.json (or {}) describe. Raises: CheckpointError."""
    found: dict[str, Any] = {"name": name}
    for stage, key in (("semantic", "semantic_config"), ("coarse", "coarse_acoustics_config"), ("fine", "fine_acoustics_config")):
        sizes = _pick(_object(values, key), _STAGE_NAMES)
        if stage != "fine":
            sizes = {size: value for size, value in sizes.items() if size in _STAGE_DEFAULTS}
        found[stage] = {**_STAGE_DEFAULTS, **sizes}
        found.update(_pick(_object(generation, key), _GENERATION_NAMES[key]))
    found["codec"] = _pick(_object(values, "codec_config"), _CODEC_NAMES)
    if isinstance(generation.get("codebook_size"), int):
        found["codebook_size"] = generation["codebook_size"]
    return BarkConfig.from_dict(found)


def stage_from_model_args(given: Any, is_fine: bool, source: str) -> GPTConfig:
    """Return the sizes in the `model_args` of one of the original's files, called `source` in messages. Raises: CheckpointError."""
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{source} has model_args that are no names and values. Use an undamaged copy.")
    kind = FineConfig if is_fine else GPTConfig
    values: dict[str, Any] = {"bias": True}
    if "vocab_size" in given:  # files of before the two vocabularies parted have one size for both
        values.update(input_vocab_size=given["vocab_size"], output_vocab_size=given["vocab_size"])
    known = {entry.name for entry in dataclasses.fields(kind)}
    values.update({name: value for name, value in given.items() if name in known})
    try:
        return kind(**values)
    except TypeError as error:
        raise CheckpointError(f"{source} does not say its sizes in full: {error}. Use an undamaged copy.") from error


def infer_codec_config(raw: Mapping[str, Tensor]) -> CodecConfig:
    """Return the sizes of a codec in the `encodec` package's names, from its tensors' shapes."""
    try:
        codebook = raw["quantizer.vq.layers.0._codebook.embed"]
        bias = raw["decoder.model.0.conv.conv.bias"]
    except KeyError as error:
        raise CheckpointError(f"The codec's file has no tensor {error.args[0]}; give EnCodec's 24 kHz model, encodec_24khz-d7cc33bc.th.") from error
    upsampling = sorted(
        (int(match[1]), tensor)
        for name, tensor in raw.items()
        if (match := re.fullmatch(r"decoder\.model\.(\d+)\.convtr\.convtr\.(?:weight_v|weight|parametrizations\.weight\.original1)", name))
    )
    lstm = {name for name in raw if re.fullmatch(r"decoder\.model\.1\.lstm\.weight_ih_l\d+", name)}
    residual = {name.split(".")[2] for name in raw if re.match(r"decoder\.model\.\d+\.block\.1\.", name)}
    ratios = tuple(tensor.shape[-1] // 2 for _, tensor in upsampling)  # kernels are twice as long as their stride
    return CodecConfig(
        n_filters=bias.shape[0] >> len(ratios),
        dimension=codebook.shape[1],
        ratios=ratios,
        n_residual_layers=len(residual) // max(1, len(ratios)),
        n_lstm_layers=len(lstm),
        codebook_size=codebook.shape[0],
    )


def _object(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    entry = values.get(key) or {}
    if not isinstance(entry, dict):
        raise CheckpointError(f"The checkpoint's config has {entry!r} for {key}; it must be an object of names and values.")
    return entry


def _pick(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: values[theirs] for theirs, ours in names.items() if values.get(theirs) is not None}
