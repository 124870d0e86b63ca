"""What the gateway asks of a backend, of whichever kind, and how the answers of all kinds are read. Knows no URL of any kind of backend."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from bark_core.gateway.faults import Fault
from bark_core.gateway.schema import Model

MAX_ANSWER_BYTES = 2**30
"""More than an hour and a half of speech; a backend that sends more has lost its mind."""

CONNECT_TIMEOUT_S = 5.0

_STREAM_WORDS = {"text/event-stream"}
_INVALID = {"InvalidInput", "ValueError"}
_REFUSED = "Input validation error: "
"""What Cog says before its own reason for an input that it could not read."""

_ERROR = re.compile(r"(?:(?:Async p|P)rediction failed: )*(?:Generator iteration error: )?(?:(?:\w+\.)*(?P<kind>[A-Z]\w+): )?(?P<message>.*)", re.DOTALL)


@dataclass(frozen=True)
class Done:
    """The end of a prediction: what it measured and logged."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    logs: str = ""


@dataclass(frozen=True, eq=False)
class Relay:
    """A backend's own answer, to be handed on as it is."""

    status: int
    media_type: str
    body: AsyncIterator[bytes]


def tell(status: int, body: Mapping[str, Any]) -> Relay:
    """Return an answer of the gateway's own, in Cog's form."""

    async def read() -> AsyncIterator[bytes]:
        yield json.dumps(body).encode()

    return Relay(status, "application/json", read())


class Backend(Protocol):
    """A place that makes predictions."""

    name: str
    """What messages call it; without passwords."""

    def predict(self, id: str, inputs: Mapping[str, Any], as_stream: bool) -> AsyncGenerator[bytes | Done, None]:
        """Make one prediction: yield the files that it gives, as they come, then Done. Left early, it is cancelled.

        Raises: Busy, Unreachable, Fault.
        """
        ...

    async def cancel(self, id: str) -> bool:
        """Cancel a prediction, if it is still there. Tell whether it may have been."""
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...

    async def read_schema(self) -> Any:
        """Return the model's OpenAPI schema. Raises: Unreachable, Fault."""
        ...

    async def read_health(self) -> Mapping[str, Any]:
        """Return what Cog's /health-check says. Raises: Unreachable, Fault."""
        ...

    async def read_model(self) -> Model:
        """Return what the model takes. Raises: Unreachable, Fault."""
        ...

    def relay(self, id: str, body: bytes, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Relay]:
        """Hand on a request of Cog's own interface, /predictions/ID. Raises: Busy, Unreachable, Fault."""
        ...


def is_stream(media_type: str) -> bool:
    """Tell whether an answer of this type comes event by event."""
    return media_type.partition(";")[0].strip() in _STREAM_WORDS


async def read_bounded(response: httpx.Response) -> bytes:
    """Return a body that is not larger than MAX_ANSWER_BYTES. Raises: Fault."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise Fault(502, f"The backend sent more than {MAX_ANSWER_BYTES} bytes.", code="backend_error")
    return bytes(body)


def read_json(body: bytes) -> dict[str, Any]:
    """Return a JSON object that a backend sent. Raises: Fault where it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Fault(502, "The backend sent something that is not a JSON object. Is it a Cog server?", code="backend_error")
    return value


def read_outcome(answer: Mapping[str, Any]) -> tuple[list[str], Done]:
    """Return the URLs of a prediction's output files, and its end. Raises: Fault where it did not succeed, with its reason."""
    status = answer.get("status")
    if status == "failed":
        raise explain_failure(answer.get("error"))
    if status in ("canceled", "aborted"):
        raise Fault(503, "The prediction was cancelled at the backend.", code="canceled")
    if status != "succeeded":
        raise Fault(502, f"The backend answered with the status {str(status)[:40]!r}, which says nothing about a prediction.", code="backend_error")
    metrics, logs = answer.get("metrics"), answer.get("logs")
    done = Done(metrics if isinstance(metrics, dict) else {}, logs if isinstance(logs, str) else "")
    urls = find_urls(answer.get("output"))
    if not urls:
        raise Fault(502, "The backend's prediction succeeded and gave no file.", code="backend_error")
    return urls, done


def find_urls(output: Any) -> list[str]:
    """Return the URLs of files in an output: one, a list of pieces, or the first file of an object."""
    if isinstance(output, str):
        return [output] if output.startswith(("data:", "http://", "https://")) else []
    if isinstance(output, list):
        return [url for each in output for url in find_urls(each)]
    if isinstance(output, dict):
        return next((urls for each in output.values() if (urls := find_urls(each))), [])
    return []


def decode_data_url(url: str) -> bytes:
    """Return what a data: URL holds. Raises: Fault where it is damaged."""
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("not base64")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault(502, "The backend sent an output that is no data: URL in base64.", code="backend_error") from error


def to_data_url(data: bytes) -> str:
    """Return a file as a data: URL, with the media type that its first bytes tell."""
    kinds = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg", b"\xff": "audio/mpeg"}
    media_type = next((kind for magic, kind in kinds.items() if data.startswith(magic)), "application/octet-stream")
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def explain_failure(error: Any) -> Fault:
    """Return what a client is told of a failed prediction: 400 where its input was at fault, 500 elsewhere."""
    found = _ERROR.fullmatch(error.strip()) if isinstance(error, str) else None
    if found is None or not found["message"]:
        return Fault(500, "The prediction failed without a reason.", code="prediction_failed")
    if found["message"].startswith(_REFUSED):
        return Fault(400, f"The model refuses the input: {end_sentence(found['message'].removeprefix(_REFUSED))}", code="invalid_input")
    is_invalid = found["kind"] in _INVALID
    return Fault(400 if is_invalid else 500, end_sentence(found["message"]), code="invalid_input" if is_invalid else "prediction_failed")


def end_sentence(text: str) -> str:
    """Return what somebody else says with a full stop, where it has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def explain_refusal(answer: Any, names: Mapping[str, str]) -> Fault:
    """Return what a client is told of inputs that a backend's schema refuses (422). `names`: fields by the inputs they became."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    first = detail[0] if isinstance(detail, list) and detail and isinstance(detail[0], dict) else {}
    location, message = first.get("loc"), first.get("msg") or detail
    name = location[-1] if isinstance(location, list) and location else None
    param = names.get(name, name) if isinstance(name, str) else None
    reason = end_sentence(str(message or "it gave no reason")[:500])
    return Fault(400, f"The model refuses {param or 'the input'}: {reason}", param, "invalid_input")
