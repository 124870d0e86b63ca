"""Bark whole: text → semantic tokens → coarse codes → fine codes → audio, and the stages one by one.

Checks what callers give and hands it to the rooms below. No tensor arithmetic, no tokenizing, no file formats.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
import torch

from bark_core import __version__
from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import BarkConfig
from bark_core.engine.runtime import Runtime, plan_placement
from bark_core.errors import InvalidInput
from bark_core.speech.generation import Generation
from bark_core.speech.notes import drain_noting
from bark_core.stages.run import Job, OnProgress, Randomness, Result, decode_audio, drain, speak, speak_coarse, speak_fine, speak_semantic
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, History, SamplingOptions, check_seed, choose_seed, is_whole
from bark_core.voices.voice import Voice, check_tokens, describe_voice, resolve_voice

VoiceLike = str | os.PathLike[str] | History | Mapping[str, Any] | None
SeedLike = int | torch.Generator | None
T = TypeVar("T")


class Bark:
    """A loaded checkpoint: `config`, `name`, `digest`, and `voices`, the names of its presets. Any number may live side by side."""

    def __init__(
        self,
        config: BarkConfig,
        runtime: Runtime,
        encoder: TextEncoder,
        name: str = "unnamed",
        digest: str = "",
        voices: Sequence[str] = (),
        load_preset: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> None:
        """Put a Bark together from its parts; `Bark.load` is the usual way. `load_preset` returns a preset's three arrays."""
        self.config, self.runtime, self.encoder = config, runtime, encoder
        self.name, self.digest, self.voices = name, digest, tuple(voices)
        self.sample_rate = config.sample_rate_hz
        self._load_preset = load_preset or (lambda preset: {})

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str] = "large",
        device: str | Mapping[str, str] = "auto",
        precision: str | Mapping[str, str] = "auto",
        on_message: Callable[[str], None] | None = None,
        offload: bool = False,
    ) -> Bark:
        """Load "large", "small", "demo" or a checkpoint's folder; the first two are fetched where they are not yet there.

        `device` and `precision` are strings, or dicts by part (semantic, coarse, fine, codec). "fp32" on a CPU is the
        exact setting. `on_message` hears of what takes long. `offload`: only the running stage is in the GPU's memory.
        Raises: CheckpointError where it cannot be fetched or read, InvalidInput for a device or precision not to be had.
        """
        placement = plan_placement(device, precision)
        checkpoint = open_checkpoint(name_or_path, on_message)
        # The demo was made in 16 bits: there is no other original of it.
        if checkpoint.is_half and checkpoint.name != "demo" and "fp32" in (precision.values() if isinstance(precision, Mapping) else (precision,)):
            warnings.warn(
                f"{checkpoint.name} was converted to 16 bits, so that even in fp32 its tokens are not the original's; "
                "fetch it without --half for those.",
                stacklevel=2,
            )
        config = checkpoint.config
        encoder = TextEncoder.load(checkpoint.load_tokenizer_file(), config.max_text_tokens)
        runtime = Runtime(config, checkpoint.load_state, placement, offload=offload)
        return cls(config, runtime, encoder, checkpoint.name, checkpoint.digest, checkpoint.voices, checkpoint.load_voice_arrays)

    def generate(
        self,
        text: str,
        voice: VoiceLike = None,
        seed: int | None = None,
        text_temp: float = 0.7,
        waveform_temp: float = 0.7,
        fine_temp: float = 0.5,
        min_eos_p: float | None = 0.2,
        top_k: int | None = None,
        top_p: float | None = None,
        max_seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Generation:
        """Speak a text of at most 256 tokens, some 13 seconds of speech.

        `voice`: a preset of this checkpoint, a path to an .npz or to a WAV of ours, a Voice or a dict of its arrays, or
        None for any. `seed`: 0 to 2**32 - 1, chosen and reported where None; in fp32 on a CPU it draws the original's
        tokens. Temperatures from 0 (greedy) up. `top_k` and `top_p` filter the semantic and coarse stages. `max_seconds` bounds the speech.
        Warns: BarkWarning for whatever the generation's `notes` hold.
        Raises: InvalidInput for anything out of range, GenerationError where the model would not begin to speak.
        """
        return self.generate_batch(
            [text], [voice], seed, text_temp, waveform_temp, fine_temp, min_eos_p, top_k, top_p, max_seconds, on_progress=on_progress
        )[0]

    def generate_batch(
        self,
        texts: Sequence[str],
        voice: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int | None] | None = None,
        text_temp: float = 0.7,
        waveform_temp: float = 0.7,
        fine_temp: float = 0.5,
        min_eos_p: float | None = 0.2,
        top_k: int | None = None,
        top_p: float | None = None,
        max_seconds: float | None = None,
        batch_size: int = 8,
        on_progress: OnProgress | None = None,
    ) -> list[Generation]:
        """Speak several texts, `batch_size` of them at a time: one that ends leaves its place to the next.

        `voice` and `seed`: one for all, or a list with one for each. Each text comes out as it would alone with its voice
        and seed, in fp32 token for token. The seconds in the timings are those of the whole batch. Otherwise as `generate`.
        """
        voices = _for_each(texts, voice, "voice")
        seeds = [choose_seed() if each is None else check_seed(each) for each in _for_each(texts, seed, "seed")]
        if not is_whole(batch_size) or batch_size < 1:
            raise InvalidInput(f"batch_size was {batch_size!r}; it must be a whole number from 1 up.")
        options = GenerateOptions(
            seed=seeds[0],
            semantic=SamplingOptions(text_temp, top_k, top_p),
            coarse=SamplingOptions(waveform_temp, top_k, top_p),
            fine=SamplingOptions(fine_temp),
            min_eos_p=min_eos_p,
            max_seconds=max_seconds,
        )
        jobs = [self._job(*each) for each in zip(texts, voices, seeds, strict=True)]
        results = drain_noting(speak(self.runtime, jobs, options, int(batch_size)), jobs, on_progress)
        return [
            self._present(result, job, asked, replace(options, seed=own_seed))
            for result, job, asked, own_seed in zip(results, jobs, voices, seeds, strict=True)
        ]

    def generate_semantic(
        self,
        text: str,
        voice: VoiceLike = None,
        seed: SeedLike = None,
        temperature: float = 0.7,
        min_eos_p: float | None = 0.2,
        top_k: int | None = None,
        top_p: float | None = None,
        max_seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> np.ndarray:
        """Return the semantic tokens of a text, (S,) int64, 49.9 a second.

        A torch.Generator as `seed` goes on where it stands: the same one handed to the three stages in turn draws what
        `generate` draws with its seed. Warns and raises: as `generate`.
        """
        sampling = SamplingOptions(temperature, top_k, top_p)
        options = GenerateOptions(seed=0, semantic=sampling, min_eos_p=min_eos_p, max_seconds=max_seconds)
        jobs = [self._job(text, voice, seed)]
        return drain_noting(speak_semantic(self.runtime, jobs, options), jobs, on_progress)[0]

    def generate_coarse(
        self,
        semantic: np.ndarray,
        voice: VoiceLike = None,
        seed: SeedLike = None,
        temperature: float = 0.7,
        top_k: int | None = None,
        top_p: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> np.ndarray:
        """Return the codes of codebooks 0 and 1 for semantic tokens (S,): (2, T) int64, 75 frames a second."""
        semantic = check_tokens(semantic, "semantic", None, self.config.semantic_vocab_size)
        options = SamplingOptions(temperature, top_k, top_p)
        return drain(speak_coarse(self.runtime, [semantic], [self._resolve(voice)], [Randomness(seed)], options), on_progress)[0]

    def generate_fine(
        self,
        coarse: np.ndarray,
        voice: VoiceLike = None,
        seed: SeedLike = None,
        temperature: float = 0.5,
        on_progress: OnProgress | None = None,
    ) -> np.ndarray:
        """Return the codes of all codebooks for those of the first two (2, T): (8, T) int64."""
        coarse = check_tokens(coarse, "coarse", self.config.n_coarse_codebooks, self.config.codebook_size)
        return drain(speak_fine(self.runtime, [coarse], [self._resolve(voice)], [Randomness(seed)], SamplingOptions(temperature)), on_progress)[0]

    def decode(self, fine: np.ndarray) -> np.ndarray:
        """Return the audio of codes (8, T): (320 T,) float32 at 24 kHz, not clipped."""
        return drain(decode_audio(self.runtime, [check_tokens(fine, "fine", self.config.n_fine_codebooks, self.config.codebook_size)]))[0]

    def _job(self, text: str, voice: VoiceLike, seed: SeedLike) -> Job:
        return Job(text, self.encoder.encode(text), self._resolve(voice), Randomness(seed), self.encoder.note_unknown(text))

    def _resolve(self, voice: VoiceLike) -> Voice | None:
        return resolve_voice(voice, self.config, self.voices, self._load_preset, f"the model {self.name}")

    def _present(self, result: Result, job: Job, voice: VoiceLike, options: GenerateOptions) -> Generation:
        """Add to a result what makes it again."""
        settings = {
            "text": job.text,
            "voice": describe_voice(voice, job.voice, self.voices),
            "seed": options.seed,
            "text_temp": options.semantic.temperature,
            "waveform_temp": options.coarse.temperature,
            "fine_temp": options.fine.temperature,
            "min_eos_p": options.min_eos_p,
            "top_k": options.semantic.top_k,
            "top_p": options.semantic.top_p,
            "max_seconds": options.max_seconds,
            "model": self.name,
            "model_digest": self.digest,
            "precision": {part: place.precision for part, place in self.runtime.placement.items()},
            "device": {part: place.device.type for part, place in self.runtime.placement.items()},
            "version": __version__,
            "notes": list(job.notes),
        }
        return Generation(
            *(result.audio, result.semantic, result.coarse, result.fine, options.seed, result.timings, settings, self.sample_rate, self.config),
            notes=tuple(job.notes),
            reached_ceiling=job.reached_ceiling,
        )


def _for_each(texts: Sequence[str], given: T | Sequence[T], what: str) -> list[T]:
    """Return one value for each text. Raises: InvalidInput where the texts are not a list of some, or a list of values is not as long."""
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not texts:
        raise InvalidInput(f"texts was {texts!r:.80}; it must be a list of at least one text.")
    if not isinstance(given, (list, tuple)):
        return [cast(T, given)] * len(texts)
    if len(given) != len(texts):
        raise InvalidInput(f"{len(given)} values of {what} were given for {len(texts)} texts; give one for all, or a list with one for each.")
    return list(given)
