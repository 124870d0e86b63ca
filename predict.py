"""Bark as Cog serves it: inputs → options → Bark → the path of a WAV. No model code, and nothing but plain literals in the inputs.

Cog reads this file without running it, and so does scripts/schema.py, which refuses what Cog would misread.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path as LocalPath
from typing import Any

import numpy as np
from cog import BasePredictor, Input, Path

from bark_core import Bark, BarkError, BarkWarning, Generation, GenerationError, InvalidInput
from bark_core.speech.progress import ProgressBar
from bark_core.types import choose_seed

# fmt: off
HISTORY_PROMPTS = [
    "announcer", "speaker_0", "speaker_1", "speaker_2", "speaker_3", "speaker_4", "speaker_5", "speaker_6", "speaker_7", "speaker_8",
    "speaker_9", "v2/en_speaker_0", "v2/en_speaker_1", "v2/en_speaker_2", "v2/en_speaker_3", "v2/en_speaker_4", "v2/en_speaker_5",
    "v2/en_speaker_6", "v2/en_speaker_7", "v2/en_speaker_8", "v2/en_speaker_9", "v2/de_speaker_0", "v2/de_speaker_1", "v2/de_speaker_2",
    "v2/de_speaker_3", "v2/de_speaker_4", "v2/de_speaker_5", "v2/de_speaker_6", "v2/de_speaker_7", "v2/de_speaker_8", "v2/de_speaker_9",
    "v2/es_speaker_0", "v2/es_speaker_1", "v2/es_speaker_2", "v2/es_speaker_3", "v2/es_speaker_4", "v2/es_speaker_5", "v2/es_speaker_6",
    "v2/es_speaker_7", "v2/es_speaker_8", "v2/es_speaker_9", "v2/fr_speaker_0", "v2/fr_speaker_1", "v2/fr_speaker_2", "v2/fr_speaker_3",
    "v2/fr_speaker_4", "v2/fr_speaker_5", "v2/fr_speaker_6", "v2/fr_speaker_7", "v2/fr_speaker_8", "v2/fr_speaker_9", "v2/hi_speaker_0",
    "v2/hi_speaker_1", "v2/hi_speaker_2", "v2/hi_speaker_3", "v2/hi_speaker_4", "v2/hi_speaker_5", "v2/hi_speaker_6", "v2/hi_speaker_7",
    "v2/hi_speaker_8", "v2/hi_speaker_9", "v2/it_speaker_0", "v2/it_speaker_1", "v2/it_speaker_2", "v2/it_speaker_3", "v2/it_speaker_4",
    "v2/it_speaker_5", "v2/it_speaker_6", "v2/it_speaker_7", "v2/it_speaker_8", "v2/it_speaker_9", "v2/ja_speaker_0", "v2/ja_speaker_1",
    "v2/ja_speaker_2", "v2/ja_speaker_3", "v2/ja_speaker_4", "v2/ja_speaker_5", "v2/ja_speaker_6", "v2/ja_speaker_7", "v2/ja_speaker_8",
    "v2/ja_speaker_9", "v2/ko_speaker_0", "v2/ko_speaker_1", "v2/ko_speaker_2", "v2/ko_speaker_3", "v2/ko_speaker_4", "v2/ko_speaker_5",
    "v2/ko_speaker_6", "v2/ko_speaker_7", "v2/ko_speaker_8", "v2/ko_speaker_9", "v2/pl_speaker_0", "v2/pl_speaker_1", "v2/pl_speaker_2",
    "v2/pl_speaker_3", "v2/pl_speaker_4", "v2/pl_speaker_5", "v2/pl_speaker_6", "v2/pl_speaker_7", "v2/pl_speaker_8", "v2/pl_speaker_9",
    "v2/pt_speaker_0", "v2/pt_speaker_1", "v2/pt_speaker_2", "v2/pt_speaker_3", "v2/pt_speaker_4", "v2/pt_speaker_5", "v2/pt_speaker_6",
    "v2/pt_speaker_7", "v2/pt_speaker_8", "v2/pt_speaker_9", "v2/ru_speaker_0", "v2/ru_speaker_1", "v2/ru_speaker_2", "v2/ru_speaker_3",
    "v2/ru_speaker_4", "v2/ru_speaker_5", "v2/ru_speaker_6", "v2/ru_speaker_7", "v2/ru_speaker_8", "v2/ru_speaker_9", "v2/tr_speaker_0",
    "v2/tr_speaker_1", "v2/tr_speaker_2", "v2/tr_speaker_3", "v2/tr_speaker_4", "v2/tr_speaker_5", "v2/tr_speaker_6", "v2/tr_speaker_7",
    "v2/tr_speaker_8", "v2/tr_speaker_9", "v2/zh_speaker_0", "v2/zh_speaker_1", "v2/zh_speaker_2", "v2/zh_speaker_3", "v2/zh_speaker_4",
    "v2/zh_speaker_5", "v2/zh_speaker_6", "v2/zh_speaker_7", "v2/zh_speaker_8", "v2/zh_speaker_9", "en_speaker_0", "en_speaker_1",
    "en_speaker_2", "en_speaker_3", "en_speaker_4", "en_speaker_5", "en_speaker_6", "en_speaker_7", "en_speaker_8", "en_speaker_9",
    "de_speaker_0", "de_speaker_1", "de_speaker_2", "de_speaker_3", "de_speaker_4", "de_speaker_5", "de_speaker_6", "de_speaker_7",
    "de_speaker_8", "de_speaker_9", "es_speaker_0", "es_speaker_1", "es_speaker_2", "es_speaker_3", "es_speaker_4", "es_speaker_5",
    "es_speaker_6", "es_speaker_7", "es_speaker_8", "es_speaker_9", "fr_speaker_0", "fr_speaker_1", "fr_speaker_2", "fr_speaker_3",
    "fr_speaker_4", "fr_speaker_5", "fr_speaker_6", "fr_speaker_7", "fr_speaker_8", "fr_speaker_9", "hi_speaker_0", "hi_speaker_1",
    "hi_speaker_2", "hi_speaker_3", "hi_speaker_4", "hi_speaker_5", "hi_speaker_6", "hi_speaker_7", "hi_speaker_8", "hi_speaker_9",
    "it_speaker_0", "it_speaker_1", "it_speaker_2", "it_speaker_3", "it_speaker_4", "it_speaker_5", "it_speaker_6", "it_speaker_7",
    "it_speaker_8", "it_speaker_9", "ja_speaker_0", "ja_speaker_1", "ja_speaker_2", "ja_speaker_3", "ja_speaker_4", "ja_speaker_5",
    "ja_speaker_6", "ja_speaker_7", "ja_speaker_8", "ja_speaker_9", "ko_speaker_0", "ko_speaker_1", "ko_speaker_2", "ko_speaker_3",
    "ko_speaker_4", "ko_speaker_5", "ko_speaker_6", "ko_speaker_7", "ko_speaker_8", "ko_speaker_9", "pl_speaker_0", "pl_speaker_1",
    "pl_speaker_2", "pl_speaker_3", "pl_speaker_4", "pl_speaker_5", "pl_speaker_6", "pl_speaker_7", "pl_speaker_8", "pl_speaker_9",
    "pt_speaker_0", "pt_speaker_1", "pt_speaker_2", "pt_speaker_3", "pt_speaker_4", "pt_speaker_5", "pt_speaker_6", "pt_speaker_7",
    "pt_speaker_8", "pt_speaker_9", "ru_speaker_0", "ru_speaker_1", "ru_speaker_2", "ru_speaker_3", "ru_speaker_4", "ru_speaker_5",
    "ru_speaker_6", "ru_speaker_7", "ru_speaker_8", "ru_speaker_9", "tr_speaker_0", "tr_speaker_1", "tr_speaker_2", "tr_speaker_3",
    "tr_speaker_4", "tr_speaker_5", "tr_speaker_6", "tr_speaker_7", "tr_speaker_8", "tr_speaker_9", "zh_speaker_0", "zh_speaker_1",
    "zh_speaker_2", "zh_speaker_3", "zh_speaker_4", "zh_speaker_5", "zh_speaker_6", "zh_speaker_7", "zh_speaker_8", "zh_speaker_9",
    "demo_speaker_0", "demo_speaker_1",
]
# fmt: on


class Predictor(BasePredictor):
    """Text to speech, music and sound effects."""

    def setup(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] -- Cog takes it without weights, too
        """Load the checkpoint that BARK_MODEL names (large where it is not set), and run each stage once, briefly."""
        self.bark = Bark.load(os.environ.get("BARK_MODEL") or "large", precision=os.environ.get("BARK_PRECISION") or "auto", on_message=print)
        # A folder of this process's own, which goes with it: the server never deletes what it has sent.
        self.folder = tempfile.TemporaryDirectory(prefix="bark-")
        self.output: LocalPath | None = None
        warnings.simplefilter("ignore", BarkWarning)  # each prediction prints its own
        # All of them, and before the warm-up: a gateway reads them in the server's setup logs, which may miss the last lines.
        print(f"Loaded {self.bark.name}; its voices: {', '.join(self.bark.voices) or 'none'}.")
        warm_up(self.bark)

    def predict(
        self,
        prompt: str = Input(
            default="Hello, my name is Suno. And, uh — and I like pizza. [laughs] But I also have other interests such as playing tic tac toe.",
            description="What to say: at most 256 tokens, which are some 13 seconds of speech. [laughs], [sighs], [music], ♪ and CAPITALS are heeded.",
            max_length=10000,
        ),
        history_prompt: str | None = Input(
            default=None,
            choices=HISTORY_PROMPTS,  # pyright: ignore[reportArgumentType] -- an annotated list would not be seen
            description="The voice, by name. Those under v2/ are the better ones. Left out, each prediction has a voice of its own.",
        ),
        custom_history_prompt: Path | None = Input(
            default=None,
            description="A voice of your own: an .npz history prompt, or a WAV that an earlier prediction gave. Overrides history_prompt.",
        ),
        text_temp: float = Input(default=0.7, ge=0, le=2, description="How freely words are spoken: 0 always takes the likeliest token."),
        waveform_temp: float = Input(default=0.7, ge=0, le=2, description="How freely they sound: 0 always takes the likeliest code."),
        fine_temp: float = Input(default=0.5, ge=0, le=2, description="How freely the details sound: 0 always takes the likeliest code."),
        min_eos_p: float = Input(default=0.2, ge=0.001, le=1, description="End the speech where its end is at least this likely. Lower ends sooner."),
        top_k: int | None = Input(default=None, ge=1, le=10000, description="Draw from this many of the likeliest tokens only. Left out: from all."),
        top_p: float | None = Input(default=None, ge=0.01, le=1, description="Draw from the likeliest tokens that have this probability together."),
        seed: int | None = Input(default=None, ge=0, le=4294967295, description="The same seed gives the same speech. Left out: a random one, in the logs."),
        text_prompt: str | None = Input(
            default=None, deprecated=True, max_length=10000, description="The older name of prompt. Where it is given, prompt is not spoken."
        ),
    ) -> Path:
        """Speak, and return the path of a WAV that carries its own tokens and settings."""
        self.drop_output()
        text = prompt if text_prompt is None else text_prompt
        seed = choose_seed() if seed is None else int(seed)  # 1.0 is a whole number to the server, and arrives as a float
        top_k = None if top_k is None else int(top_k)
        print(f"Seed: {seed}")
        try:
            options: dict[str, Any] = {
                "voice": history_prompt if custom_history_prompt is None else check_upload(custom_history_prompt),
                "seed": seed, "text_temp": text_temp, "waveform_temp": waveform_temp, "fine_temp": fine_temp,
                "min_eos_p": min_eos_p, "top_k": top_k, "top_p": top_p,
            }
            print(name_upload(describe_request(text, options), custom_history_prompt))
            with ProgressBar() as progress:
                generation = self.bark.generate(text, **options, on_progress=progress)
            self.record(generation)
            self.output = LocalPath(self.folder.name) / f"bark-{secrets.token_hex(8)}.wav"
            return Path(generation.save(self.output))
        except InvalidInput as error:
            raise InvalidInput(name_upload(str(error), custom_history_prompt)) from error
        except BarkError:
            raise
        except Exception:
            # The server reports no more of an error than its message.
            traceback.print_exc()
            raise

    def drop_output(self) -> None:
        """Delete what the prediction before this one gave; it has been sent."""
        if self.output is not None:
            self.output.unlink(missing_ok=True)

    def record(self, generation: Generation) -> None:
        """Report what the generation took, as plain numbers (the server takes no others), and what there is to note."""
        for note in generation.notes:
            print(f"Note: {note}")
        timings = generation.timings
        for stage, seconds in timings.seconds.items():
            self.record_metric(f"{stage}_seconds", float(seconds))
        for stage, count in timings.tokens.items():
            self.record_metric(f"{stage}_tokens", int(count))
        self.record_metric("audio_seconds", float(timings.audio_s))
        self.record_metric("real_time_factor", float(timings.rtf))
        self.record_metric("reached_ceiling", generation.reached_ceiling)
        self.record_metric("seed", int(generation.seed))


def warm_up(bark: Bark) -> None:
    """Run each stage once, on little, so that the first prediction pays for nothing that the others do not.

    On a GPU that takes some seconds of speech: graphs are captured for every length of what is looked back on.
    """
    with suppress(GenerationError):  # a model may have nothing to say to so little
        bark.generate_semantic("Hello.", seed=0, max_seconds=0.1)
    is_on_gpu = bark.runtime.placement["coarse"].device.type == "cuda"
    coarse = bark.generate_coarse(np.arange(200 if is_on_gpu else 10), seed=0)
    bark.decode(bark.generate_fine(coarse, seed=0))


def check_upload(file: os.PathLike[str] | str) -> os.PathLike[str]:
    """Return an uploaded file. What is no URL reaches predict as a plain string, and must not name a file of this machine."""
    if not isinstance(file, os.PathLike):
        raise InvalidInput(f"custom_history_prompt was {file[:80]!r}; it must be an uploaded file: an http(s) or data: URL of an .npz or a WAV.")
    return file


def describe_request(text: str, options: dict[str, Any]) -> str:
    """Return one line on what is spoken, and how. The server drops inputs that it does not know: here one sees what it spoke instead."""
    shown = repr(text[:200]) + (f" … ({len(text)} characters)" if len(text) > 200 else "")
    return f"Speaking {shown} with {', '.join(f'{name} {value}' for name, value in options.items())}"


def name_upload(message: str, file: os.PathLike[str] | str | None) -> str:
    """Return a message with an upload's temporary path, which means nothing to who sent it, replaced by the input's name."""
    return message.replace(str(file), "custom_history_prompt") if isinstance(file, os.PathLike) else message
