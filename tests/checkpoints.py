"""Small checkpoints with random weights, in every layout that Bark's come in.

`python -m tests.checkpoints weights/demo` writes one in this project's layout, to stand where a trained one will.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from bark_core.config import PARTS, BarkConfig, CodecConfig, FineConfig, GPTConfig
from bark_core.convert import save_checkpoint
from bark_core.runtime import make_model

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


if __name__ == "__main__":
    demo = tiny_config()
    print(write_own(Path(sys.argv[1]), demo, random_states(demo), half=True, replace=True, readme=DEMO_README))
