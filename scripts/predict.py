"""What `cog predict` does, without Docker: start the real server, run one prediction, write its output to a file.

    python scripts/predict.py -i prompt="Hello." -i seed=7 -o out.wav
    BARK_MODEL=demo python scripts/predict.py -i custom_history_prompt=@voice.npz
"""

from __future__ import annotations

import argparse
import base64
import binascii
import mimetypes
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bark_core.audio.files import check_target, write_atomically  # noqa: E402
from bark_core.cli.console import open_streams  # noqa: E402
from bark_core.errors import InvalidInput  # noqa: E402
from scripts.schema import SchemaError, build_schema  # noqa: E402
from scripts.server import Server, ServerError  # noqa: E402


class UsageError(Exception):
    """An argument that cannot be used; the message says what can."""


def read_input(text: str, properties: dict[str, Any]) -> tuple[str, Any]:
    """Return the name and the value of one `name=value`, as the type that the schema gives it; `@file` is sent as its contents."""
    name, sign, value = text.partition("=")
    if not sign or name not in properties:
        raise UsageError(f"-i {text!r} is not name=value with a name among {', '.join(properties)}")
    kind, is_file = properties[name].get("type", "string"), properties[name].get("format") == "uri"
    if value.startswith("@") and is_file:
        return name, as_data_url(Path(value[1:]))
    if is_file and not value.lower().startswith(("http://", "https://", "data:")):
        raise UsageError(f"-i {text!r}: {name} takes a file; put @ before its path to send it: -i {name}=@{value}")
    if kind not in ("integer", "number"):
        return name, value
    try:
        return name, int(value) if kind == "integer" else float(value)
    except ValueError as error:
        raise UsageError(f"-i {text!r}: {name} must be a{'n integer' if kind == 'integer' else ' number'}") from error


def as_data_url(path: Path) -> str:
    """Return a file's contents as a data: URL."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def write_output(url: str, path: Path) -> None:
    """Write the contents of a data: URL to a file, whole or not at all."""
    write_atomically(path, base64.b64decode(url.partition(",")[2], validate=True))


def parse_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Run one prediction on the real Cog server, without Docker.")
    parser.add_argument("-i", "--input", action="append", default=[], metavar="NAME=VALUE", help="an input of predict.py; NAME=@FILE sends a file")
    parser.add_argument("-o", "--output", type=Path, default=Path("output.wav"), help="where the file goes (default: %(default)s)")
    parser.add_argument("--model", help="the checkpoint to serve (default: BARK_MODEL, else large)")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show the prediction's logs")
    return parser.parse_args()


def predict(arguments: argparse.Namespace) -> str:
    """Run the prediction and write its output; return a sentence on what came of it. Raises: ServerError, UsageError, InvalidInput, OSError."""
    schema = build_schema(ROOT / "predict.py")
    properties = schema["components"]["schemas"]["Input"]["properties"]
    inputs = dict(read_input(text, properties) for text in arguments.input)
    try:
        check_target(arguments.output)
    except InvalidInput as error:
        raise UsageError(str(error)) from error
    env = {"BARK_MODEL": arguments.model} if arguments.model else {}
    show = None if arguments.quiet else lambda line: print(line, file=sys.stderr, flush=True)
    with Server(env, on_log=show) as server:
        answer = server.predict(**inputs)
    if answer.status == 422:
        faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in answer.body["detail"])
        raise UsageError(f"the server refused the inputs: {faults}")
    if answer.status != 200 or answer.body.get("status") != "succeeded":
        raise ServerError(answer.body.get("error") if isinstance(answer.body, dict) else f"status {answer.status}: {answer.body}")
    write_output(answer.body["output"], arguments.output)
    metrics = answer.body["metrics"]
    return (
        f"Wrote {arguments.output}: {metrics['audio_seconds']:.1f} s of audio, made in {metrics['predict_time']:.1f} s "
        f"({metrics['real_time_factor']:.2f} × its length) with seed {metrics['seed']}."
    )


def main() -> int:
    """Run the script; return its exit code: 0, 1 where the prediction failed, 2 where the arguments are wrong."""
    open_streams()
    arguments = parse_arguments()
    try:
        print(predict(arguments))
    except UsageError as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    except (ServerError, SchemaError, InvalidInput, OSError, binascii.Error) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
