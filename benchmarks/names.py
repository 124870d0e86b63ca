"""What transformers calls the tensors of the three GPTs. Written apart from what bark_core reads its checkpoints by, which is tested against it."""

from __future__ import annotations

import re

_NAMES = (
    (r"^wtes\.", "input_embeds_layers."),
    (r"^wte\.", "input_embeds_layer."),
    (r"^wpe\.", "position_embeds_layer."),
    (r"^ln_f\.", "layernorm_final."),
    (r"^h\.", "layers."),
    (r"\.ln_(\d)\.", r".layernorm_\1."),
    (r"\.c_attn\.", ".att_proj."),
    (r"\.attn\.c_proj\.", ".attn.out_proj."),
    (r"\.c_fc\.", ".in_proj."),
    (r"\.mlp\.c_proj\.", ".mlp.out_proj."),
)


def rename_for_transformers(name: str) -> str:
    """Return what transformers calls a tensor of ours."""
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return name
