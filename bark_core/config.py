"""What a checkpoint is: sizes, vocabulary ids, rates and window sizes.

The defaults are the values the released weights were made with. A checkpoint's `config.json` may override any of
them. Knows nothing of tensors, files or devices.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bark_core.errors import CheckpointError

SAMPLE_RATE = 24_000
"""Samples a second of everything Bark speaks, in Hz."""

STAGES = ("semantic", "coarse", "fine")
"""The three GPT stages, in the order in which they run."""

PARTS = (*STAGES, "codec")
"""Everything a checkpoint holds weights for."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Sizes of one GPT stage. `input_vocab_size` and `output_vocab_size` are per codebook in the fine stage."""

    n_layer: int
    n_head: int
    n_embd: int
    input_vocab_size: int
    output_vocab_size: int
    block_size: int = 1024
    bias: bool = False

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "input_vocab_size", "output_vocab_size", "block_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise CheckpointError(f"The checkpoint's config gives {name} = {value!r}; it must be a whole number above 0.")
        if self.n_embd % self.n_head:
            raise CheckpointError(f"The checkpoint's config gives n_embd = {self.n_embd}, which n_head = {self.n_head} does not divide.")


@dataclass(frozen=True, kw_only=True)
class FineConfig(GPTConfig):
    """Sizes of the fine stage: one embedding a codebook, one head for each codebook after the first `n_codes_given`."""

    n_codes_total: int = 8
    n_codes_given: int = 1


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Sizes of the EnCodec decoder (24 kHz, mono, causal)."""

    n_filters: int = 32
    dimension: int = 128
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    n_residual_layers: int = 1
    n_lstm_layers: int = 2
    n_codebooks: int = 8
    codebook_size: int = 1024

    @property
    def frame_samples(self) -> int:
        """Samples that one frame decodes to."""
        product = 1
        for ratio in self.ratios:
            product *= ratio
        return product


def _stage(input_vocab_size: int, output_vocab_size: int) -> GPTConfig:
    return GPTConfig(n_layer=24, n_head=16, n_embd=1024, input_vocab_size=input_vocab_size, output_vocab_size=output_vocab_size)


@dataclass(frozen=True, kw_only=True)
class BarkConfig:
    """One checkpoint, whole. Rates in Hz, windows in positions or tokens, ids as the stages' vocabularies have them.

    `utterance_s`: a long text is split into utterances of at most so many seconds, by estimate: the longest that the checkpoint speaks well.
    """

    name: str = "large"
    sample_rate_hz: int = SAMPLE_RATE

    semantic_rate_hz: float = 49.9
    semantic_vocab_size: int = 10_000
    coarse_rate_hz: float = 75.0
    codebook_size: int = 1024
    n_coarse_codebooks: int = 2
    n_fine_codebooks: int = 8

    text_encoding_offset: int = 10_048
    text_pad_token: int = 129_595
    semantic_pad_token: int = 10_000
    semantic_infer_token: int = 129_599
    coarse_semantic_pad_token: int = 12_048
    coarse_infer_token: int = 12_050

    max_text_tokens: int = 256
    max_semantic_steps: int = 768
    coarse_semantic_window: int = 256
    max_coarse_history: int = 630
    sliding_window: int = 60
    fine_window: int = 1024
    fine_history: int = 512

    utterance_s: float = 10.0

    semantic: GPTConfig = field(default_factory=lambda: _stage(input_vocab_size=129_600, output_vocab_size=10_048))
    coarse: GPTConfig = field(default_factory=lambda: _stage(input_vocab_size=12_096, output_vocab_size=12_096))
    fine: FineConfig = field(
        default_factory=lambda: FineConfig(n_layer=24, n_head=16, n_embd=1024, input_vocab_size=1056, output_vocab_size=1056)
    )
    codec: CodecConfig = field(default_factory=CodecConfig)

    @property
    def coarse_per_semantic(self) -> float:
        """Flat coarse tokens for one semantic token: about 3.006 with the released rates."""
        return self.coarse_rate_hz / self.semantic_rate_hz * self.n_coarse_codebooks

    @property
    def max_semantic_history(self) -> int:
        """Semantic tokens of a voice that the coarse stage looks back on."""
        return math.floor(self.max_coarse_history / self.coarse_per_semantic)

    def __post_init__(self) -> None:
        semantic_end = self.text_encoding_offset + 1
        needs = (
            ("semantic_pad_token", self.semantic_pad_token, self.semantic_vocab_size, self.semantic_vocab_size),
            ("semantic.output_vocab_size", self.semantic.output_vocab_size, self.semantic_vocab_size + 1, None),
            ("semantic.input_vocab_size", self.semantic.input_vocab_size, max(self.text_pad_token, self.semantic_infer_token, semantic_end) + 1, None),
            ("semantic.block_size", self.semantic.block_size, self.max_text_tokens + self.max_semantic_steps, None),
            ("coarse.input_vocab_size", self.coarse.input_vocab_size, max(self.coarse_semantic_pad_token, self.coarse_infer_token, self._coarse_end - 1) + 1, None),
            ("coarse.output_vocab_size", self.coarse.output_vocab_size, self._coarse_end, None),
            ("coarse.block_size", self.coarse.block_size, self.coarse_semantic_window + self.max_coarse_history + self.sliding_window, None),
            ("fine.input_vocab_size", self.fine.input_vocab_size, self.codebook_size + 1, None),
            ("fine.output_vocab_size", self.fine.output_vocab_size, self.codebook_size, None),
            ("fine.block_size", self.fine.block_size, self.fine_window, None),
            ("fine.n_codes_total", self.fine.n_codes_total, self.n_fine_codebooks, self.n_fine_codebooks),
            ("fine.n_codes_given", self.fine.n_codes_given, 1, self.n_coarse_codebooks),
            ("n_coarse_codebooks", self.n_coarse_codebooks, 2, 2),
            ("sliding_window", self.sliding_window, 2, None),
            ("max_coarse_history", self.max_coarse_history, self.sliding_window, None),
            ("codec.n_codebooks", self.codec.n_codebooks, self.n_fine_codebooks, None),
            ("codec.codebook_size", self.codec.codebook_size, self.codebook_size, None),
        )
        for name, value, least, most in needs:
            if value < least or (most is not None and value > most):
                wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
                raise CheckpointError(f"The checkpoint's config gives {name} = {value}; the rest of it needs {wanted}.")
        if isinstance(self.utterance_s, bool) or not isinstance(self.utterance_s, (int, float)) or not 1 <= self.utterance_s <= 10:
            raise CheckpointError(f"The checkpoint's config gives utterance_s = {self.utterance_s!r}; it must be a number of seconds from 1 to 10.")
        if self.sliding_window % 2:
            raise CheckpointError(f"The checkpoint's config gives sliding_window = {self.sliding_window}; it must be even.")

    @property
    def _coarse_end(self) -> int:
        return self.semantic_vocab_size + self.n_coarse_codebooks * self.codebook_size

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BarkConfig:
        """Build from what `to_dict` gives; missing entries take the defaults. Raises: CheckpointError for unknown or mistyped ones."""
        parts: dict[str, Any] = {"semantic": GPTConfig, "coarse": GPTConfig, "fine": FineConfig, "codec": CodecConfig}
        built = {name: _build(kind, values[name], f"{name}.") for name, kind in parts.items() if name in values}
        return _build(cls, {**values, **built}, "")


T = TypeVar("T")


def _build(kind: type[T], values: Any, prefix: str) -> T:
    if not isinstance(values, dict):
        raise CheckpointError(f"The checkpoint's config has {values!r} for {prefix.rstrip('.') or 'its whole'}; it must be an object of names and values.")
    known = {entry.name for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise CheckpointError(f"The checkpoint's config has an entry {prefix}{unknown[0]} that this version does not know.")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise CheckpointError(f"The checkpoint's config cannot be read at {prefix or 'its top level'}: {error}.") from error
