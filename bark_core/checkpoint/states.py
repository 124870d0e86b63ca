"""State dicts of every origin brought to one form, and held against what the config says: nothing missing, extra or misshapen.

Canonical names are those of `bark_core.model.transformer` and `bark_core.model.codec`: the released names without `transformer.`,
fine heads only as the embeddings they are tied to, the codec's weight norm folded. Knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from bark_core.config import BarkConfig, CodecConfig, GPTConfig
from bark_core.errors import CheckpointError
from bark_core.model.blank import blank
from bark_core.model.codec import Codec, fold_weight_norm
from bark_core.model.transformer import CausalGPT, FineGPT

State = dict[str, Tensor]

MAX_SIZE = 10_000_000
"""No width, depth or vocabulary is larger, so that sizes stay sizes and not an attack."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What weights may be stored in."""

_TRANSFORMERS_GPT = (
    (r"^input_embeds_layers\.", "wtes."),
    (r"^input_embeds_layer\.", "wte."),
    (r"^position_embeds_layer\.", "wpe."),
    (r"^layernorm_final\.", "ln_f."),
    (r"^layers\.(\d+)\.", r"h.\1."),
    (r"\.layernorm_([12])\.", r".ln_\1."),
    (r"\.attn\.att_proj\.", ".attn.c_attn."),
    (r"\.attn\.out_proj\.", ".attn.c_proj."),
    (r"\.mlp\.in_proj\.", ".mlp.c_fc."),
    (r"\.mlp\.out_proj\.", ".mlp.c_proj."),
)
"""transformers' names of a GPT's tensors → canonical ones; all that match apply."""

_WEIGHT_NORM_PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""(magnitude, direction) as weight norm stores them: as of 2023, and newer."""


def from_original(raw: Mapping[str, Tensor], config: GPTConfig) -> State:
    """Return a stage's canonical state from one of the original's `model` dicts."""
    return _tidy_gpt({name.removeprefix("_orig_mod.").removeprefix("transformer."): tensor for name, tensor in raw.items()}, config)


def from_transformers(raw: Mapping[str, Tensor], config: GPTConfig) -> State:
    """Return a stage's canonical state from transformers' tensors, their stage's prefix already cut off."""
    state: State = {}
    for name, tensor in raw.items():
        for pattern, replacement in _TRANSFORMERS_GPT:
            name = re.sub(pattern, replacement, name)
        state[name] = tensor
    return _tidy_gpt(state, config)


def _tidy_gpt(state: State, config: GPTConfig) -> State:
    """Drop causal-mask buffers, and fine heads into the embeddings that they are tied to."""
    mask_shape = (1, 1, config.block_size, config.block_size)
    tidy = {name: tensor for name, tensor in state.items() if not (name.endswith(".attn.bias") and tensor.shape == mask_shape)}
    for name in [name for name in tidy if re.fullmatch(r"lm_heads\.\d+\.weight", name)]:
        embedding = f"wtes.{int(name.split('.')[1]) + 1}.weight"
        head = tidy.pop(name)
        tied = tidy.setdefault(embedding, head)
        if tied is not head and not torch.equal(tied, head):
            raise CheckpointError(f"The fine stage's {name} differs from {embedding}, to which it is tied; use an undamaged checkpoint.")
    return tidy


def codec_from_encodec(raw: Mapping[str, Tensor], n_codebooks: int) -> State:
    """Return the codec's canonical state from the `encodec` package's names: its decoder and its first `n_codebooks` codebooks."""
    parts = {name: tensor for name, tensor in raw.items() if name.startswith("decoder.")}
    state = _fold(parts)
    names = [f"quantizer.vq.layers.{k}._codebook.embed" for k in range(n_codebooks)]
    missing = [name for name in names if name not in raw]
    if missing:
        raise CheckpointError(f"The checkpoint's codec has no tensor {missing[0]}; {n_codebooks} codebooks are needed. Use a complete copy.")
    state["codebooks"] = _stack([raw[name] for name in names], "the codec's codebooks")
    return state


def codec_from_transformers(raw: Mapping[str, Tensor], config: CodecConfig) -> State:
    """Return the codec's canonical state from transformers' EncodecModel names, `codec_model.` already cut off."""
    stride = 2 + config.n_residual_layers
    upsampling = {3 + stride * i for i in range(len(config.ratios))}
    renamed: State = {}
    for name, tensor in raw.items():
        name = re.sub(r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", name)
        match = re.match(r"^decoder\.layers\.(\d+)\.(.*)$", name)
        if match:
            layer, rest = int(match[1]), match[2]
            rest = re.sub(r"(^|\.)conv\.", r"\1convtr.convtr." if layer in upsampling else r"\1conv.conv.", rest)
            name = f"decoder.model.{layer}.{rest}"
        renamed[name] = tensor
    return codec_from_encodec(renamed, config.n_codebooks)


def _fold(raw: Mapping[str, Tensor]) -> State:
    """Fold each pair of weight norm's tensors into the weight that they stand for."""
    state = dict(raw)
    for magnitude, direction in _WEIGHT_NORM_PAIRS:
        for name in [name for name in state if name.endswith(f".{magnitude}")]:
            stem = name.removesuffix(magnitude)
            if stem + direction not in state:
                raise CheckpointError(f"The checkpoint's codec has {name} but no {stem}{direction}. Use a complete copy.")
            g, v = state.pop(name), state.pop(stem + direction)
            if g.shape != (v.shape[0], *[1] * (v.ndim - 1)):
                raise CheckpointError(f"The checkpoint's codec has {name} of shape {list(g.shape)} for weights {list(v.shape)}. Use an undamaged copy.")
            state[f"{stem}weight"] = fold_weight_norm(g.float(), v.float()).to(v.dtype)
    return state


def _stack(tensors: list[Tensor], what: str) -> Tensor:
    try:
        return torch.stack(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{what[0].upper()}{what[1:]} differ in shape. Use an undamaged copy.") from error


@cache
def expected_shapes(config: BarkConfig, part: str) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each tensor of a part, from the models themselves. Raises: CheckpointError for sizes that none can have."""
    try:
        with blank():
            if part == "codec":
                model: torch.nn.Module = Codec(config.codec)
            else:
                model = FineGPT(config.fine) if part == "fine" else CausalGPT(getattr(config, part))
    except Exception as error:  # whatever torch makes of sizes that are no numbers, or overflow
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise CheckpointError(f"The checkpoint's config gives the {part} part sizes that no model can have: {reason}.") from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _count_layers(config: BarkConfig, part: str) -> int:
    """Return the largest number of modules side by side or on end that a part's config asks for."""
    if part == "codec":
        counts: tuple[object, ...] = (config.codec.n_lstm_layers, config.codec.n_residual_layers)
        n_ratios = len(config.codec.ratios) if isinstance(config.codec.ratios, tuple) else 0
        return max(n_ratios, *(count for count in counts if isinstance(count, int)), 0)
    return max(getattr(config, part).n_layer, config.fine.n_codes_total if part == "fine" else 0)


def check_state(state: Mapping[str, Tensor], config: BarkConfig, part: str, owner: str) -> None:
    """Raise CheckpointError, naming the tensor, where a canonical state is not exactly what the config describes."""
    # A model as deep as a hostile config claims would take for ever to describe; each layer has a tensor at least.
    claimed = max((value for value in vars(getattr(config, part)).values() if isinstance(value, int)), default=0)
    if claimed > MAX_SIZE:
        raise CheckpointError(f"The checkpoint's config gives a size of {claimed} in its {part} part; none may be above {MAX_SIZE}.")
    deepest = _count_layers(config, part)
    if deepest > len(state):
        raise CheckpointError(f"{owner} claims {deepest} layers or codebooks in its {part} part, which has {len(state)} tensors. Use a complete copy.")
    expected = expected_shapes(config, part)
    advice = "Use an undamaged copy, or the config.json that belongs to these weights."
    for name, shape in expected.items():
        if name not in state:
            raise CheckpointError(f"{owner} has no tensor {name} in its {part} part. {advice}")
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"{owner} has {name} in its {part} part with the shape {list(tensor.shape)}; it must be {list(shape)}. {advice}")
        if tensor.dtype not in DTYPES:
            raise CheckpointError(f"{owner} has {name} in its {part} part as {tensor.dtype}; it must be float32, float16 or bfloat16. {advice}")
    extra = sorted(set(state) - set(expected))
    if extra:
        raise CheckpointError(f"{owner} has a tensor {extra[0]} in its {part} part that belongs nowhere. {advice}")
