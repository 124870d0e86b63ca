"""Bark as Cog serves it to many at once: inputs → options → Bark → the path of a file. No model code, and nothing but plain literals in the inputs.

Cog reads this file without running it, and so does scripts/schema.py, which refuses what Cog would misread. Written from predict.py by
scripts/predictors.py: change that, and run this.
"""

from __future__ import annotations

import cog
from cog import BasePredictor, File, Input, Path
from cog.types import URLFile

from bark_core.speech.concurrent import ConcurrentService

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
        self.service = ConcurrentService.load()

    def healthcheck(self) -> bool:
        """Tell whether a prediction could be made: Cog's /health-check says UNHEALTHY where not."""
        return self.service.check()

    @cog.concurrent(max=8)
    async def predict(
        self,
        prompt: str = Input(
            default="Hello, my name is Suno. And, uh — and I like pizza. [laughs] But I also have other interests such as playing tic tac toe.",
            description="What to say, up to 50000 characters. [laughs], [sighs], [music], ♪ and CAPITALS are heeded, [pause 1s] is a pause.",
            max_length=50000,
        ),
        history_prompt: str | None = Input(
            default=None,
            choices=HISTORY_PROMPTS,  # pyright: ignore[reportArgumentType] -- an annotated list would not be seen
            description="The voice, by name. Those under v2/ are the better ones. Left out, each prediction has a voice of its own.",
        ),
        # A File is downloaded here, within bounds, where Cog would take a Path's server as long as it likes, and hear no cancel.
        custom_history_prompt: File | None = Input(
            default=None,
            accept=".npz,.wav",
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
            default=None, deprecated=True, max_length=50000, description="The older name of prompt. Where it is given, prompt is not spoken."
        ),
        voices: str | None = Input(
            default=None,
            max_length=10000,
            description='Who speaks the lines that begin with NAME: in the prompt, as JSON: {"ANNA": "v2/en_speaker_9", "BEN": "v2/en_speaker_6"}.',
        ),
        output_format: str = Input(
            default="wav", choices=["wav", "mp3", "flac", "ogg"], description="The kind of file. A whole wav carries its own voice; ogg is Opus."
        ),
        sample_rate: int = Input(default=24000, choices=[8000, 12000, 16000, 24000, 48000], description="Samples a second. Bark speaks at 24000."),
        speed: float = Input(default=1, ge=0.5, le=2, description="How fast it is played, at the same pitch."),
        n_takes: int = Input(default=1, ge=1, le=8, description="Speak each utterance so often, and keep the take that fits its text best."),
        normalize: str | None = Input(
            default=None,
            choices=["numbers"],  # pyright: ignore[reportArgumentType]
            description="What to write out in words before it is spoken.",
        ),
    ) -> Path:
        """Speak, and return the path of a file. A WAV carries its own tokens and settings."""
        inputs = {name: value for name, value in locals().items() if name != "self"}
        inputs["custom_history_prompt"] = find_source(custom_history_prompt)
        return Path(await self.service.speak_beside(self.record_metric, **inputs))


def find_source(file: object) -> object:
    """Return the URL of an uploaded file that Cog has not downloaded, else what it is: an open file, or a string that is no URL."""
    return file.__getstate__()["url"] if isinstance(file, URLFile) else file
