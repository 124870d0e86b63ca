"""The schema of predict.py: what it says of each input, that it agrees with the core, and what it refuses to be written from."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bark_core.audio.speed import MAX_SPEED, MIN_SPEED
from bark_core.speech.bark import Bark
from bark_core.speech.options import SpeechOptions
from bark_core.speech.output import OutputOptions
from bark_core.speech.takes import MAX_TAKES
from bark_core.text.script import MAX_CHARACTERS
from bark_core.types import MAX_SEED
from bark_core.voices.presets import PRESETS, list_voices
from scripts.predictors import VARIANTS, write_variant
from scripts.schema import SchemaError, build_schema

INPUTS = (
    *("prompt", "history_prompt", "custom_history_prompt", "text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "seed"),
    *("text_prompt", "voices", "output_format", "sample_rate", "speed", "n_takes", "normalize"),
)


@pytest.fixture(scope="module")
def schemas(root: Path) -> dict[str, Any]:
    return build_schema(root / "predict.py")["components"]["schemas"]


@pytest.fixture(scope="module")
def inputs(schemas: dict[str, Any]) -> dict[str, Any]:
    return schemas["Input"]["properties"]


def write_predictor(folder: Path, parameters: str, more: str = "", returns: str = "Path") -> Path:
    path = folder / "predict.py"
    path.write_text(
        f"from cog import BasePredictor, Input, Path\n{more}\n"
        f"class Predictor(BasePredictor):\n    def predict(self, {parameters}) -> {returns}:\n        ...\n",
        encoding="utf-8",
    )
    return path


def test_inputs_stand_in_order_and_none_is_required(schemas: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert tuple(inputs) == INPUTS
    assert [entry["x-order"] for entry in inputs.values()] == list(range(len(INPUTS)))
    assert "required" not in schemas["Input"]
    assert schemas["Output"] == {"type": "string", "format": "uri"}


def test_every_input_is_described_and_bounded(inputs: dict[str, Any]) -> None:
    for name, entry in inputs.items():
        assert entry["description"].endswith("."), name
        if entry.get("type") in ("number", "integer"):
            assert entry["minimum"] < entry["maximum"], name
        elif "allOf" not in entry and entry.get("format") != "uri":
            assert entry["maxLength"] > 0, name


def test_defaults_are_those_of_the_core(inputs: dict[str, Any]) -> None:
    parameters = inspect.signature(Bark.generate).parameters
    for name in ("text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "seed"):
        assert inputs[name]["default"] == parameters[name].default, name
    speech = SpeechOptions()
    assert (inputs["n_takes"]["default"], inputs["normalize"]["default"], inputs["voices"]["default"]) == (speech.n_takes, None, None)
    assert (inputs["n_takes"]["maximum"], inputs["prompt"]["maxLength"]) == (MAX_TAKES, MAX_CHARACTERS)
    output = OutputOptions()
    assert (inputs["sample_rate"]["default"], inputs["speed"]["default"]) == (output.sample_rate_hz, output.speed)
    assert (inputs["speed"]["minimum"], inputs["speed"]["maximum"]) == (MIN_SPEED, MAX_SPEED)
    assert inputs["seed"]["maximum"] == MAX_SEED
    assert "I like pizza. [laughs]" in inputs["prompt"]["default"]
    assert inputs["text_prompt"]["deprecated"] is True


def test_formats_and_rates_are_some_that_the_core_writes(schemas: dict[str, Any]) -> None:
    for name in schemas["output_format"]["enum"]:
        assert all(OutputOptions(format=name, sample_rate_hz=rate).format == name for rate in schemas["sample_rate"]["enum"])


def test_variants_are_what_is_written_from_predict(root: Path, schemas: dict[str, Any]) -> None:
    for name in VARIANTS:
        path = root / "predictors" / f"{name}.py"
        assert path.read_text(encoding="utf-8") == write_variant(name), "run python scripts/predictors.py"
        document = build_schema(path)
        assert document["components"]["schemas"]["Input"] == schemas["Input"]
        assert document["paths"]["/predictions"]["post"].get("x-cog-streaming", False) is (name == "streaming")
        assert (root / "predictors" / f"{name}.yaml").read_text(encoding="utf-8").endswith(f'predict: "predictors/{name}.py:Predictor"\n')


def test_voices_are_the_presets_and_those_of_the_demo(schemas: dict[str, Any], demo_folder: Path) -> None:
    assert schemas["history_prompt"]["enum"] == [*PRESETS, *list_voices(demo_folder / "voices")]
    assert list_voices(demo_folder / "voices") == ("demo_speaker_0", "demo_speaker_1")
    assert schemas["history_prompt"]["type"] == "string"


def test_what_is_written_equals_what_was_built(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "openapi_schema.json"
    done = subprocess.run([sys.executable, root / "scripts" / "schema.py", "-o", target], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(target)
    assert json.loads(target.read_text(encoding="utf-8")) == build_schema(root / "predict.py")
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_types_defaults_and_bounds_become_json_schema(tmp_path: Path) -> None:
    path = write_predictor(
        tmp_path,
        "a: str, b: int = 3, c: float = Input(default=0, ge=-1, le=2.5, description='Hälfte.'), d: bool = False, "
        "e: str | None = Input(default=None, regex='^x+$'), f: Optional[Path] = None, g: str = Input(default=D, choices=A + ['z']), "
        "h: File | None = Input(default=None, accept='.npz,audio/*,application/x-zip')",
        "A = ['x', 'y']\nD = 'x'",
    )
    schemas = build_schema(path)["components"]["schemas"]
    assert schemas["Input"]["required"] == ["a"]
    assert schemas["Input"]["properties"] == {
        "a": {"x-order": 0, "title": "A", "type": "string"},
        "b": {"x-order": 1, "title": "B", "type": "integer", "default": 3},
        "c": {"x-order": 2, "title": "C", "type": "number", "default": 0, "description": "Hälfte.", "minimum": -1, "maximum": 2.5},
        "d": {"x-order": 3, "title": "D", "type": "boolean", "default": False},
        "e": {"x-order": 4, "title": "E", "type": "string", "default": None, "nullable": True, "pattern": "^x+$"},
        "f": {"x-order": 5, "title": "F", "type": "string", "format": "uri", "default": None, "nullable": True},
        "g": {"x-order": 6, "allOf": [{"$ref": "#/components/schemas/g"}], "default": "x"},
        "h": {**schemas["Input"]["properties"]["f"], "x-order": 7, "title": "H", "x-cog-accept": ".npz,audio/*,application/x-zip"},
    }
    assert schemas["g"]["enum"] == ["x", "y", "z"]


REFUSED = {
    "imported choices": ("a: str = Input(default='x', choices=NAMES)", "must be a list of plain values in this file"),
    "computed choices": ("a: str = Input(default='x', choices=[n for n in 'xy'])", "must be a list of plain values"),
    "sorted choices": ("a: str = Input(default='x', choices=sorted(['x']))", "must be a list of plain values"),
    "choices of another type": ("a: int = Input(default=1, choices=['1'])", "values of type int"),
    "a choice twice": ("a: str = Input(default='x', choices=['x', 'x'])", "different values"),
    "a default that is no choice": ("a: str = Input(default='z', choices=['x'])", "not among its choices"),
    "computed default": ("a: int = Input(default=2 * 3)", "the default of a is not a plain literal"),
    "default of another type": ("a: int = Input(default='3')", "which is no int"),
    "truth for a number": ("a: int = Input(default=True)", "which is no int"),
    "None without | None": ("a: int = Input(default=None)", "which would make it required"),
    "escape in a default": ("a: str = Input(default='x\\\\n')", "one plain string"),
    "computed bound": ("a: int = Input(default=1, le=2 ** 32)", "le of a is not a plain literal"),
    "bound that is a string": ("a: int = Input(default=1, le='2')", "plain number"),
    "description in pieces": ("a: int = Input(default=1, description='x' 'y')", "one plain string"),
    "description added up": ("a: int = Input(default=1, description='x' + 'y')", "not a plain literal"),
    "f-string": ("a: int = Input(default=1, description=f'x')", "not a plain literal"),
    "unknown keyword": ("a: int = Input(default=1, gt=0)", "has gt, which is not one of"),
    "default without its name": ("a: int = Input(1)", "takes keywords only"),
    "default_factory": ("a: int = Input(default_factory=int)", "has default_factory"),
    "another call": ("a: int = field(default=1)", "a plain value or a call of Input"),
    "accept of a text": ("a: str = Input(default='x', accept='.txt')", "a is no file"),
    "computed accept": ("a: File = Input(accept=','.join(KINDS))", "accept of a is not a plain literal"),
    "accept without a dot": ("a: File = Input(accept='npz,wav')", "accept of a is 'npz,wav'; it must be a string of suffixes or MIME types"),
    "accept of two words": ("a: Path = Input(accept=['.npz'])", "must be a string of suffixes"),
    "no type": ("a=1", "the input a has no type"),
    "Literal": ("a: Literal['x'] = 'x'", "must be one of bool, float, int, str, Path, File"),
    "union": ("a: int | str = 1", "must be one of bool"),
    "keyword only": ("*, a: int = 1", "plain parameters"),
    "the rest": ("**rest: int", "plain parameters"),
}


@pytest.mark.parametrize(("parameters", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cog_would_misread_is_refused(tmp_path: Path, parameters: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        build_schema(write_predictor(tmp_path, parameters.replace("\\\\", "\\")))
    assert str(caught.value).startswith("predict.py:4: ")


@pytest.mark.parametrize("returns", ["str", "Optional[Path]", "list[Path]"])
def test_output_must_be_a_plain_path(tmp_path: Path, returns: str) -> None:
    with pytest.raises(SchemaError, match="annotated to return Path"):
        build_schema(write_predictor(tmp_path, "a: int = 1", returns=returns))


def test_class_must_be_a_class_statement(tmp_path: Path) -> None:
    path = tmp_path / "predict.py"
    path.write_text("from elsewhere import Predictor\n", encoding="utf-8")
    with pytest.raises(SchemaError, match="no class statement for Predictor"):
        build_schema(path)
    path.write_text("class Predictor:\n    def run(self) -> Path: ...\n    def predict(self) -> Path: ...\n", encoding="utf-8")
    with pytest.raises(SchemaError, match="must define predict, and not run"):
        build_schema(path)


def test_script_says_what_is_wrong_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    path = write_predictor(tmp_path, "a: int = Input(default=None)")
    command = [sys.executable, root / "scripts" / "schema.py", path, "-o", tmp_path / "schema.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("schema: predict.py:4: the default of a is None")
    assert not (tmp_path / "schema.json").exists()
