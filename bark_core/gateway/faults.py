"""Errors as clients of the OpenAI API read them: a status, and a body with four keys. Knows no HTTP library."""

from __future__ import annotations

from typing import Any

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Fault(Exception):
    """What a request is answered with when it cannot be done. `message` is a sentence for whoever sent it.

    `param`: the field that is at fault. `code`: a word for programs. `retry_after_s`: when it may go better.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after_s = status, message, param, code, retry_after_s

    def to_body(self) -> dict[str, Any]:
        """Return the body: always all four keys."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def to_headers(self) -> dict[str, str]:
        """Return the headers that go with the status."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


class Busy(Exception):
    """A backend has no room for one more prediction at the moment."""


class Unreachable(Exception):
    """A backend is down, starting or gone; the message is a sentence that says so."""
