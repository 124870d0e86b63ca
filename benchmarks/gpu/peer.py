"""transformers' BarkModel in fp16 on the same card, with the same weights in its three GPTs, in the same run."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from bark_core.config import STAGES
from benchmarks.gpu.common import Found, Setting, load, make_states, time_stages
from benchmarks.names import rename_for_transformers
from benchmarks.shapes import N_SEMANTIC

PARTS = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}


def time_peer(setting: Setting) -> Found:
    """Return seconds a stage of ours and of transformers, one text of five seconds and eight, and how far the semantic logits are apart."""
    if importlib.util.find_spec("transformers") is None:
        return {"skipped": "transformers is not installed (pip install transformers)"}
    from benchmarks import peers

    precision = setting.precision
    runtime, warned, _ = load(setting)
    time_stages(setting, runtime, 1, None)
    ours = {n_rows: time_stages(setting, runtime, n_rows, None) for n_rows in ((1, 8) if setting.has_card else (1,))}
    ids = torch.arange(64, device=setting.device)[None] * 37 % 10_000
    model = runtime.causal("semantic")
    with torch.inference_mode():
        logits = model.lm_head(model(model.embed(ids[0])[None])[0]).float()
    with torch.device(setting.device):
        theirs = peers.build(setting.model, peers.DTYPES[precision])
    missing = share_weights(setting, theirs)
    with torch.inference_mode():
        their_logits = theirs.semantic(ids).logits[0].float()
    error = float((logits - their_logits).norm() / their_logits.norm())
    peers.run(theirs, 1, n_semantic=10)
    rows = list[Found]()
    for n_rows, seconds in ours.items():
        other = peers.run(theirs, n_rows, n_semantic=setting.scaled(N_SEMANTIC, 12))
        for system, each in (("bark_core", seconds), (f"transformers {precision}", other)):
            rows.append({"system": system, "rows": n_rows, **{stage: round(took, 3) for stage, took in each.items()}, "sum": round(sum(each.values()), 3)})
        rows[-2]["times"] = round(rows[-1]["sum"] / rows[-2]["sum"], 2)
    return {"rows": rows, "logits_apart": float(f"{error:.2e}"), "left_out": missing, "warned": warned}


def share_weights(setting: Setting, theirs: Any) -> list[str]:
    """Give a BarkModel our weights; return the names of its tensors that got none."""
    load_state, left = make_states(setting), list[str]()
    for part in STAGES:
        state = {rename_for_transformers(name): tensor for name, tensor in load_state(part).items()}
        found = getattr(theirs, PARTS[part]).load_state_dict(state, strict=False)
        if found.unexpected_keys:
            raise RuntimeError(f"{part}: transformers has no {found.unexpected_keys[0]}")
        left += [f"{part}.{name}" for name in found.missing_keys if not name.endswith((".bias", ".attn.bias")) and "lm_heads" not in name]
    return left
