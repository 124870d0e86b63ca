"""A prediction as a server makes it: inputs under their form's names → speech → files, with a log and metrics. Knows no Cog.

Files live in a folder of the process's own. A server sends a file and never deletes it, so each prediction deletes what the
one before it left.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from bark_core.audio.writer import FileWriter
from bark_core.errors import BarkError, BarkWarning, GenerationError, InvalidInput
from bark_core.speech.bark import Bark
from bark_core.speech.generation import Generation
from bark_core.speech.output import OutputOptions
from bark_core.speech.progress import ProgressBar
from bark_core.types import choose_seed, parse_json
from bark_core.voices.presets import find_preset
from bark_core.voices.upload import keep_upload

Record = Callable[[str, Any], None]
"""Takes one metric: a name and a plain number."""

UPLOAD = "custom_history_prompt"
"""The input that is a file: an open one, or an http(s) URL. Its name stands for it until it is there."""

MIN_FREE_BYTES = 2**20
"""Room for twenty seconds of speech. A disk with less is told by the health check, before a prediction fails for it."""

MAX_VOICES_CHARACTERS = 10_000
MAX_UTTERANCES_SHOWN = 100

SAMPLING = ("text_temp", "waveform_temp", "fine_temp", "min_eos_p")


def read_switch(name: str) -> bool:
    """Return what an environment variable of 0 or 1 says; true where it is not set. Raises: InvalidInput for anything else."""
    value = os.environ.get(name) or "1"
    if value not in ("0", "1"):
        raise InvalidInput(f"{name} is {value!r}; it must be 0 (off) or 1 (on, as without it).")
    return value == "1"


class Service:
    """A loaded model that makes predictions, one after the other."""

    def __init__(self, bark: Bark) -> None:
        self.bark = bark
        self._folder = tempfile.TemporaryDirectory(prefix="bark-")
        self._outputs: list[Path] = []
        warnings.simplefilter("ignore", BarkWarning)  # each prediction prints its own

    @classmethod
    def load(cls) -> Self:
        """Load the checkpoint that BARK_MODEL names (large where it is not set) in BARK_PRECISION, and run each stage once, briefly.

        BARK_SPECULATE=0: without drafts. Raises: InvalidInput for a value that it cannot have.
        """
        precision, speculate = os.environ.get("BARK_PRECISION") or "auto", read_switch("BARK_SPECULATE")
        bark = Bark.load(os.environ.get("BARK_MODEL") or "large", precision=precision, on_message=print, speculate=speculate)
        # All of them, and before the warm-up: a gateway reads them in the server's setup logs, which may miss the last lines.
        print(f"Loaded {bark.name}; its voices: {', '.join(bark.voices) or 'none'}.")
        warm_up(bark)
        return cls(bark)

    def speak(self, record: Record, **inputs: Any) -> Path:
        """Make one prediction; return its file. Raises: InvalidInput for inputs that cannot be used, GenerationError as `Bark.generate`."""
        with self._prepare(inputs) as (text, options, output), ProgressBar() as progress:
            generation = self.bark.generate(text, **options, on_progress=progress)
            report(generation, record)
            return generation.save(self._name_file(output), output)

    def stream(self, record: Record, **inputs: Any) -> Iterator[Path]:
        """Make one prediction; yield a file for each piece of its speech, in order, each of which plays alone. Raises: as `speak`."""
        with self._prepare(inputs) as (text, options, output), ProgressBar() as progress:
            with self.bark.stream(text, **options, on_progress=progress) as stream:
                for chunk in stream:
                    path = self._name_file(output)
                    with FileWriter(path, output.sample_rate_hz, output.format, {"text": text[:200], "seed": options["seed"]}) as writer:
                        writer.write(output.render_piece(chunk.audio, stream.sample_rate_hz))
                    yield path
            if stream.generation is not None:
                report(stream.generation, record)

    def check(self) -> bool:
        """Tell whether a prediction could be made now: its models' devices answer, and a file can be written. Print what cannot.

        Safe beside a prediction that runs: nothing is computed.
        """
        try:
            self.bark.runtime.check_devices()
            with tempfile.TemporaryFile(dir=self._folder.name) as file:
                file.write(bytes(MIN_FREE_BYTES))
        except (OSError, RuntimeError) as error:
            print(f"No prediction can be made: {error}")
            return False
        return True

    @contextmanager
    def _prepare(self, inputs: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], OutputOptions]]:
        """Read the inputs, and say what is spoken; messages inside name an upload by its input, and what is unforeseen is printed whole."""
        self._drop_outputs()
        with print_unforeseen():
            text, options, output = read_inputs(inputs)
            self._find_presets(options)
            print(f"Seed: {options['seed']}")
            print(describe_request(text, options, output))
            with keep_upload(inputs.get(UPLOAD), self._folder.name, UPLOAD) as upload:
                yield text, {**options, "voice": upload or options["voice"]}, output

    def _find_presets(self, options: dict[str, Any]) -> None:
        """Let only the model's presets be voices by name: a library call opens whatever file has that name, and a server must not."""
        owner = f"the model {self.bark.name}"
        if options["voice"] not in (None, UPLOAD):
            options["voice"] = find_preset(options["voice"], self.bark.voices, owner, f"A voice of your own goes into {UPLOAD}.")
        if "voices" in options:
            options["voices"] = {speaker: find_preset(voice, self.bark.voices, owner, "") for speaker, voice in options["voices"].items()}

    def _name_file(self, output: OutputOptions) -> Path:
        self._outputs.append(Path(self._folder.name) / f"bark-{secrets.token_hex(8)}.{output.format}")
        return self._outputs[-1]

    def _drop_outputs(self) -> None:
        for path in self._outputs:
            path.unlink(missing_ok=True)
        self._outputs.clear()


@contextmanager
def print_unforeseen() -> Iterator[None]:
    """Print an error whole that is not one of ours: the server reports no more of it than its message."""
    try:
        yield
    except BarkError:
        raise
    except Exception:
        traceback.print_exc()
        raise


def read_inputs(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any], OutputOptions]:
    """Return the text, what `Bark.generate` takes by name, and what the file is to be. What is left out is as there.

    Numbers may come as floats where whole ones are meant, as JSON has it. Raises: InvalidInput.
    """
    text = inputs["prompt"] if inputs.get("text_prompt") is None else inputs["text_prompt"]
    seed, top_k = inputs.get("seed"), inputs.get("top_k")
    options: dict[str, Any] = {
        "voice": inputs.get("history_prompt") if inputs.get(UPLOAD) is None else UPLOAD,
        "seed": choose_seed() if seed is None else int(seed),
        **{name: inputs[name] for name in SAMPLING if name in inputs},
        "top_k": None if top_k is None else int(top_k),
        "top_p": inputs.get("top_p"),
    }
    if inputs.get("voices"):
        options["voices"] = read_voices(inputs["voices"])
    if inputs.get("normalize"):
        options["normalize"] = inputs["normalize"]
    if inputs.get("n_takes", 1) != 1:
        options["n_takes"] = int(inputs["n_takes"])
    output = OutputOptions(
        format=inputs.get("output_format") or "wav", sample_rate_hz=int(inputs.get("sample_rate") or 24_000), speed=inputs.get("speed") or 1.0
    )
    return text, options, output


def read_voices(text: str) -> dict[str, str]:
    """Return the voice of each speaker, from a JSON object of names. Raises: InvalidInput, also for paths: a server opens no files of its own."""
    try:
        voices = parse_json(text) if len(text) <= MAX_VOICES_CHARACTERS else None
    except ValueError as error:
        raise InvalidInput(f"voices was {text[:80]!r}, which is no JSON ({error}); write it as {{\"ANNA\": \"v2/en_speaker_9\"}}.") from error
    if not isinstance(voices, dict) or not all(isinstance(voice, str) for voice in voices.values()):
        raise InvalidInput(f'voices was {text[:80]!r}; it must be a JSON object of speakers and presets, as {{"ANNA": "v2/en_speaker_9"}}.')
    for name, voice in voices.items():
        if "." in voice or os.path.isabs(voice):
            raise InvalidInput(f"voices gives {name!r} the voice {voice[:80]!r}; it must be the name of a preset, as v2/en_speaker_9.")
    return voices


def report(generation: Generation, record: Record) -> None:
    """Print what there is to note and, of a long text, what is said when; record seconds, tokens and the like as plain numbers."""
    for note in generation.notes:
        print(f"Note: {note}")
    if "utterances" in generation.settings:
        shown = generation.settings["utterances"][:MAX_UTTERANCES_SHOWN]
        print(f"Utterances: {json.dumps([{key: each[key] for key in ('start_s', 'end_s', 'text', 'voice', 'seed')} for each in shown], ensure_ascii=False)}")
    timings = generation.timings
    for stage, seconds in timings.seconds.items():
        record(f"{stage}_seconds", float(seconds))
    for stage, count in timings.tokens.items():
        record(f"{stage}_tokens", int(count))
    record("audio_seconds", float(timings.audio_s))
    record("first_audio_seconds", float(timings.first_audio_s))
    record("real_time_factor", float(timings.rtf))
    record("utterances", len(generation.utterances))
    record("reached_ceiling", generation.reached_ceiling)
    record("seed", int(generation.seed))


def warm_up(bark: Bark) -> None:
    """Run each stage once, on little, so that the first prediction pays for nothing that the others do not."""
    with suppress(GenerationError):  # a model may have nothing to say to so little
        bark.generate_semantic("Hello.", seed=0, max_seconds=0.1)
    coarse = bark.generate_coarse(np.arange(10), seed=0)
    bark.decode(bark.generate_fine(coarse, seed=0))
    sys.stdout.flush()


def describe_request(text: str, options: Mapping[str, Any], output: OutputOptions) -> str:
    """Return one line on what is spoken, and how. The server drops inputs that it does not know: here one sees what it spoke instead."""
    shown = repr(text[:200]) + (f" … ({len(text)} characters)" if len(text) > 200 else "")
    how = {**options, **({"format": output.format} if output.format != "wav" else {}), **output.describe()}
    return f"Speaking {shown} with {', '.join(f'{name} {value}' for name, value in how.items())}"
