"""Small checkpoints with random weights, in every layout that Bark's come in.

`python -m tests.checkpoints weights/demo` writes one in this project's layout, to stand where a trained one will.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from bark_core.checkpoint.convert import save_checkpoint
from bark_core.config import PARTS, BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.engine.runtime import make_model
from benchmarks.names import rename_for_transformers

States = dict[str, dict[str, Tensor]]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

DEMO_README = """# A demo checkpoint, untrained

Bark's architecture at a fraction of its size, with random weights: it shows that everything runs, and **it makes noise, not speech**.
It is written by `python -m tests.checkpoints weights/demo` and gives way to a trained one of the same layout.
Its voices, `demo_speaker_0` and `demo_speaker_1`, are random tokens.
"""


def tiny_config(name: str = "demo", width: int = 32, n_layer: int = 2, n_filters: int = 4, bias: bool = False) -> BarkConfig:
    """Return a configuration with small vocabularies and the released models' windows."""
    n_semantic, coarse_end = 500, 500 + 2 * 1024

    def stage(n_input: int, n_output: int) -> GPTConfig:
        return GPTConfig(n_layer=n_layer, n_head=width // 32, n_embd=width, input_vocab_size=n_input, output_vocab_size=n_output, bias=bias)

    return BarkConfig(
        name=name,
        semantic_vocab_size=n_semantic,
        text_encoding_offset=n_semantic + 8,
        text_pad_token=n_semantic + 136,
        semantic_pad_token=n_semantic,
        semantic_infer_token=n_semantic + 137,
        coarse_semantic_pad_token=coarse_end,
        coarse_infer_token=coarse_end + 2,
        semantic=stage(n_semantic + 138, n_semantic + 1),
        coarse=stage(coarse_end + 3, coarse_end),
        fine=FineConfig(n_layer=n_layer, n_head=width // 32, n_embd=width, input_vocab_size=1025, output_vocab_size=1025, bias=bias),
        codec=CodecConfig(n_filters=n_filters),
    )


def random_states(config: BarkConfig, seed: int = 0) -> States:
    """Return canonical states drawn from a seed."""
    torch.manual_seed(seed)
    states = {part: {name: tensor.detach().clone() for name, tensor in make_model(config, part).state_dict().items()} for part in PARTS}
    # The model starts with empty codebooks, which would decode to silence.
    states["codec"]["codebooks"].normal_()
    return states


def random_voice(seed: int = 0, n_vocabulary: int = 500, n_semantic: int = 100) -> dict[str, np.ndarray]:
    """Return the three arrays of a voice of `n_semantic` random tokens."""
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 1024, (8, n_semantic * 3 // 2))
    return {"semantic_prompt": rng.integers(0, n_vocabulary, n_semantic), "coarse_prompt": fine[:2], "fine_prompt": fine}


def letter_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer whose pieces are single letters."""
    punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *punctuation]
    tokenizer = Tokenizer(models.WordPiece(vocab={piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def write_own(folder: Path, config: BarkConfig, states: States, half: bool = False, replace: bool = False, readme: str | None = None) -> Path:
    """Write a checkpoint in this project's layout, with two voices."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = folder.parent / f".{folder.name}-tokenizer.json"
    letter_tokenizer().save(str(tokenizer))
    voices = [(f"demo_speaker_{n}", random_voice(n, config.semantic_vocab_size)) for n in range(2)]
    try:
        save_checkpoint(folder, config, states.__getitem__, tokenizer, voices, half, replace=replace)
    finally:
        tokenizer.unlink()
    if readme is not None:
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return folder


def write_transformers(
    folder: Path, config: BarkConfig, states: States, kind: str = "bin", parametrized: bool = False, voices: Sequence[str] = ("v2/en_speaker_6",)
) -> Path:
    """Write a checkpoint as transformers' repositories have it. `kind`: bin, safetensors, or shards (safetensors with an index)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = transformers_tensors(config, states, parametrized)
    if kind == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        # As the package saves them: of two tied tensors one.
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if ".lm_heads." not in name}
        if kind == "safetensors":
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        else:
            names = sorted(tensors)
            halves = {"model-00001-of-00002.safetensors": names[: len(names) // 2], "model-00002-of-00002.safetensors": names[len(names) // 2 :]}
            for file, held in halves.items():
                save_file({name: tensors[name] for name in held}, folder / file, metadata={"format": "pt"})
            index = {"metadata": {}, "weight_map": {name: file for file, held in halves.items() for name in held}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(transformers_config(config)))
    (folder / "generation_config.json").write_text(json.dumps(transformers_generation_config(config)))
    letter_tokenizer().save(str(folder / "tokenizer.json"))
    index: dict[str, Any] = {"repo_or_path": "somewhere/else"}
    (folder / "speaker_embeddings").mkdir(exist_ok=True)
    for n, name in enumerate(voices):
        index[name] = {}
        for key, array in random_voice(n, config.semantic_vocab_size).items():
            relative = f"speaker_embeddings/{name.replace('/', '_')}_{key}.npy"
            np.save(folder / relative, array)
            index[name][key] = relative
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(index))
    return folder


def transformers_tensors(config: BarkConfig, states: States, parametrized: bool = False) -> dict[str, Tensor]:
    """Return canonical states under transformers' names, with all that its files hold besides: masks, tied heads, encoder, spare codebooks."""
    tensors: dict[str, Tensor] = {}
    for stage, prefix in (("semantic", "semantic"), ("coarse", "coarse_acoustics"), ("fine", "fine_acoustics")):
        for name, tensor in states[stage].items():
            tensors[f"{prefix}.{rename_for_transformers(name)}"] = tensor
        if stage != "fine":
            size = getattr(config, stage).block_size
            mask = torch.ones(size, size, dtype=torch.bool).tril()[None, None]
            tensors.update({f"{prefix}.layers.{layer}.attn.bias": mask for layer in range(getattr(config, stage).n_layer)})
    for head in range(1, config.fine.n_codes_total):
        tensors[f"fine_acoustics.lm_heads.{head - 1}.weight"] = tensors[f"fine_acoustics.input_embeds_layers.{head}.weight"]
    for name, tensor in encodec_tensors(states["codec"], parametrized).items():
        name = re.sub(r"^decoder\.model\.", "decoder.layers.", name)
        name = re.sub(r"\.convtr\.convtr\.|\.conv\.conv\.", ".conv.", name)
        tensors["codec_model." + name.replace("quantizer.vq.layers", "quantizer.layers").replace("_codebook", "codebook")] = tensor
    return tensors


def encodec_tensors(codec: dict[str, Tensor], parametrized: bool = False) -> dict[str, Tensor]:
    """Return a canonical codec under the `encodec` package's names, weight norm unfolded, with an encoder and spare codebooks."""
    first, second = ("parametrizations.weight.original0", "parametrizations.weight.original1") if parametrized else ("weight_g", "weight_v")
    tensors: dict[str, Tensor] = {"encoder.model.0.conv.conv.bias": torch.zeros(4)}
    for name, tensor in codec.items():
        if re.search(r"\.(conv\.conv|convtr\.convtr)\.weight$", name):
            stem = name.removesuffix("weight")
            tensors[stem + first] = tensor.flatten(1).norm(dim=1).view(-1, *[1] * (tensor.ndim - 1))
            tensors[stem + second] = tensor * 1.7
        elif name != "codebooks":
            tensors[name] = tensor
    for k in range(len(codec["codebooks"]) + 2):
        prefix = f"quantizer.vq.layers.{k}._codebook."
        book = codec["codebooks"][k % len(codec["codebooks"])]
        beside = {"embed_avg": book.clone(), "cluster_size": torch.ones(len(book)), "inited": torch.ones(1)}
        tensors.update({prefix + name: tensor for name, tensor in {"embed": book.clone(), **beside}.items()})
    return tensors


def transformers_config(config: BarkConfig) -> dict[str, Any]:
    """Return what transformers' config.json says of these sizes."""

    def stage(sizes: GPTConfig) -> dict[str, Any]:
        alike = {name: getattr(sizes, name) for name in ("block_size", "input_vocab_size", "output_vocab_size", "bias")}
        return {"hidden_size": sizes.n_embd, "num_layers": sizes.n_layer, "num_heads": sizes.n_head, "dropout": 0.0, **alike}

    codec = config.codec
    return {
        "model_type": "bark",
        "semantic_config": stage(config.semantic),
        "coarse_acoustics_config": stage(config.coarse),
        "fine_acoustics_config": {**stage(config.fine), "n_codes_total": 8, "n_codes_given": 1},
        "codec_config": {"num_filters": codec.n_filters, "hidden_size": codec.dimension, "upsampling_ratios": list(codec.ratios), "sampling_rate": 24_000},
    }


def transformers_generation_config(config: BarkConfig) -> dict[str, Any]:
    """Return what transformers' generation_config.json says of these ids."""
    semantic = ("text_encoding_offset", "text_pad_token", "semantic_pad_token", "semantic_infer_token", "semantic_vocab_size", "semantic_rate_hz")
    coarse = ("coarse_rate_hz", "coarse_semantic_pad_token", "coarse_infer_token", "max_coarse_history", "n_coarse_codebooks")
    return {
        "codebook_size": config.codebook_size,
        "semantic_config": {name: getattr(config, name) for name in semantic} | {"max_new_tokens": 768, "temperature": 0.7},
        "coarse_acoustics_config": {name: getattr(config, name) for name in coarse} | {"sliding_window_len": config.sliding_window},
        "fine_acoustics_config": {"max_fine_history_length": config.fine_history, "n_fine_codebooks": config.n_fine_codebooks},
    }


def write_original(folder: Path, config: BarkConfig, states: States, large: bool = False, old_sizes: bool = False) -> Path:
    """Write a checkpoint as the original's three .pt files, with EnCodec's and a vocab.txt beside them.

    `old_sizes`: one vocab_size for in and out, where they are alike, as early files have it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "_2" if large else ""
    for stage, stem in (("semantic", "text"), ("coarse", "coarse"), ("fine", "fine")):
        sizes: dict[str, Any] = dataclasses.asdict(getattr(config, stage)) | {"dropout": 0.0}
        if old_sizes and sizes["input_vocab_size"] == sizes["output_vocab_size"]:
            sizes["vocab_size"] = sizes.pop("input_vocab_size")
            del sizes["output_vocab_size"]
        torch.save(
            {
                "model": original_tensors(states[stage], config, stage),
                "model_args": sizes,
                "best_val_loss": torch.tensor(2.5),
                "iter_num": np.float64(1000.0),
                "optimizer": {"state": {0: {"exp_avg": torch.zeros(1000)}}, "param_groups": [{"lr": 1e-4}]},
            },
            folder / f"{stem}{suffix}.pt",
        )
    torch.save(encodec_tensors(states["codec"]), folder / "encodec_24khz-d7cc33bc.th")
    vocabulary = letter_tokenizer().get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    return folder


def with_config(folder: Path, config: BarkConfig) -> Path:
    """Put the vocabulary ids of a small config beside the original's files, which say nothing of them."""
    values = {name: value for name, value in config.to_dict().items() if name not in PARTS}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def original_tensors(state: dict[str, Tensor], config: BarkConfig, stage: str) -> dict[str, Tensor]:
    """Return a canonical state under the original's names, as torch.compile left them, with masks and tied heads."""
    tensors = {f"_orig_mod.{name if name.startswith('lm_head') else f'transformer.{name}'}": tensor for name, tensor in state.items()}
    if stage == "fine":
        tensors.update({f"_orig_mod.lm_heads.{k - 1}.weight": state[f"wtes.{k}.weight"] for k in range(1, config.fine.n_codes_total)})
    else:
        size = getattr(config, stage).block_size
        tensors.update({f"_orig_mod.transformer.h.{n}.attn.bias": torch.ones(1, 1, size, size) for n in range(getattr(config, stage).n_layer)})
    return tensors


if __name__ == "__main__":
    demo = tiny_config()
    print(write_own(Path(sys.argv[1]), demo, random_states(demo), half=True, replace=True, readme=DEMO_README))
