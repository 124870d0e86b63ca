"""Bark whole: text → semantic tokens → coarse codes → fine codes → audio, and the stages one by one.

Checks what callers give and hands it to the rooms below. No tensor arithmetic, no tokenizing, no file formats.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NoReturn, TypeVar, Unpack, cast

import numpy as np
import torch

from bark_core import __version__
from bark_core.checkpoint.open import open_checkpoint
from bark_core.config import BarkConfig
from bark_core.engine.placement import plan_placement
from bark_core.engine.runtime import Runtime
from bark_core.errors import InvalidInput
from bark_core.speech.assemble import Assembly
from bark_core.speech.generation import Generation
from bark_core.speech.lines import Event
from bark_core.speech.notes import drain_noting
from bark_core.speech.options import SpeechKeywords, SpeechOptions
from bark_core.speech.record import make_generation
from bark_core.speech.session import Session
from bark_core.speech.stream import SpeechStream
from bark_core.speech.verify import make_listener
from bark_core.stages.jobs import Job, Randomness
from bark_core.stages.run import OnProgress, decode_audio, drain, speak_coarse, speak_fine, speak_semantic
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, SamplingOptions, check_seed, choose_seed, is_whole
from bark_core.voices.voice import Voice, VoiceLike, check_tokens, resolve_voice

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
        speculate: bool = True,
    ) -> Bark:
        """Load "large", "small", "demo" or a checkpoint's folder; the first two are fetched where they are not yet there.

        `device` and `precision` are strings, or dicts by part (semantic, coarse, fine, codec). "fp32" on a CPU is the
        exact setting, "fast" the fastest here that loses no words. `on_message` hears of what takes long. `offload`: only the running stage is in the GPU's memory.
        `speculate`: in fp32 on a CPU tokens may be drafted by 8-bit weights where that is faster, which changes none and takes a quarter more memory for weights.
        Raises: CheckpointError where it cannot be fetched or read, InvalidInput for a device or precision not to be had.
        """
        placement = plan_placement(device, precision)
        for chosen in {place.precision: place for place in placement.values() if place.reason}.values():
            (on_message or _ignore)(f"The fastest precision here is {chosen.precision}: {chosen.reason}.")
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
        runtime = Runtime(config, checkpoint.load_state, placement, offload=offload, speculate=speculate)
        return cls(config, runtime, encoder, checkpoint.name, checkpoint.digest, checkpoint.voices, checkpoint.load_voice_arrays)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse what pickle and copy ask for."""
        raise InvalidInput(
            "A Bark cannot be pickled or copied: it is memory and threads of this process. Load one in each process that speaks; "
            "within a process, threads may share one."
        )

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
        batch_size: int = 8,
        **more: Unpack[SpeechKeywords],
    ) -> Generation:
        """Speak a text: one utterance, or up to 50,000 characters in several, joined.

        `voice`: a preset of this checkpoint, a path to an .npz or to a WAV of ours, a Voice or a dict of its arrays, or
        None for any. `seed`: 0 to 2**32 - 1, chosen and reported where None; in fp32 on a CPU a text that is one utterance
        draws the original's tokens. Temperatures from 0 (greedy) up. `top_k` and `top_p` filter the semantic and coarse
        stages. `max_seconds` bounds each utterance. `batch_size`: utterances that are drawn together. `more`: how the text is split, who speaks, and how often each
        utterance is drawn, as SpeechOptions (speech/options.py) lists it.
        Warns: BarkWarning for whatever the generation's `notes` hold.
        Raises: InvalidInput for anything out of range, GenerationError where the model would not begin to speak.
        """
        sampling = (text_temp, waveform_temp, fine_temp, min_eos_p, top_k, top_p, max_seconds)
        return self.generate_batch([text], [voice], seed, *sampling, batch_size, on_progress, **more)[0]

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
        **more: Unpack[SpeechKeywords],
    ) -> list[Generation]:
        """Speak several texts, `batch_size` of them at a time: one that ends leaves its place to the next.

        `voice` and `seed`: one for all, or a list with one for each. Each text comes out as it would alone with its voice
        and seed, in fp32 token for token. The seconds in the timings are those of the whole batch. One of several that the model
        would not speak has no audio and a note: what was spoken of the others is not thrown away. Otherwise as `generate`.
        """
        voices = _for_each(texts, voice, "voice")
        seeds = [choose_seed() if each is None else check_seed(each) for each in _for_each(texts, seed, "seed")]
        options = _gather(seeds[0], text_temp, waveform_temp, fine_temp, min_eos_p, top_k, top_p, max_seconds)
        session = self._open_session(list(zip(texts, voices, seeds, strict=True)), options, SpeechOptions(**more), batch_size)
        with closing(session.run()) as events:
            for event in events:
                if on_progress is not None and isinstance(event[0], str):
                    on_progress(*cast(Event, event))
        return [self.present(each, session) for each in session.assemblies]

    def stream(
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
        batch_size: int = 8,
        on_progress: OnProgress | None = None,
        **more: Unpack[SpeechKeywords],
    ) -> SpeechStream:
        """Speak a text piece by piece: iterate over AudioChunks, which join to what `generate` gives. Arguments as there.

        A long text's first utterance is short and spoken alone; then come batches of `batch_size`. A text of one utterance comes
        as one chunk; `split=True` cuts it for an earlier first sound. Closing the stream stops the work.
        Warns and raises: as `generate`, at once for what is wrong with the arguments.
        """
        sampling = (text_temp, waveform_temp, fine_temp, min_eos_p, top_k, top_p, max_seconds)
        return SpeechStream(self.open_session(text, voice, seed, *sampling, batch_size, **more), self.present, on_progress)

    def open_session(
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
        batch_size: int = 8,
        **more: Unpack[SpeechKeywords],
    ) -> Session:
        """Plan a text, which a Session speaks, alone or on a Scheduler beside others. Arguments, warnings and errors as `generate`."""
        seed = choose_seed() if seed is None else check_seed(seed)
        options = _gather(seed, text_temp, waveform_temp, fine_temp, min_eos_p, top_k, top_p, max_seconds)
        return self._open_session([(text, voice, seed)], options, SpeechOptions(**more), batch_size)

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

    def _open_session(
        self, texts: Sequence[tuple[str, VoiceLike, int]], options: GenerateOptions, speech: SpeechOptions, batch_size: int
    ) -> Session:
        if not is_whole(batch_size) or batch_size < 1:
            raise InvalidInput(f"batch_size was {batch_size!r}; it must be a whole number from 1 up.")
        listener = make_listener(self.sample_rate, speech.language) if speech.verify else None
        return Session(self.runtime, self.encoder, self.voices, self._resolve, texts, options, speech, int(batch_size), listener)

    def present(self, assembly: Assembly, session: Session) -> Generation:
        """Make a generation of what was assembled, with all that makes it again."""
        made_with = {
            "model": self.name,
            "model_digest": self.digest,
            "precision": {part: place.precision for part, place in self.runtime.placement.items()},
            "device": {part: place.device.type for part, place in self.runtime.placement.items()},
            "version": __version__,
        }
        return make_generation(assembly, session, made_with, self.voices, self.config)


def _ignore(_: str) -> None: ...


def _gather(
    seed: int,
    text_temp: float,
    waveform_temp: float,
    fine_temp: float,
    min_eos_p: float | None,
    top_k: int | None,
    top_p: float | None,
    max_seconds: float | None,
) -> GenerateOptions:
    return GenerateOptions(
        seed=seed,
        semantic=SamplingOptions(text_temp, top_k, top_p),
        coarse=SamplingOptions(waveform_temp, top_k, top_p),
        fine=SamplingOptions(fine_temp),
        min_eos_p=min_eos_p,
        max_seconds=max_seconds,
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
