"""What every request passes before anything is done for it: who may ask, from which page, and how large and slow its body may be."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request

from bark_core.gateway.faults import Fault
from bark_core.gateway.settings import Settings


def check_key(request: Request, settings: Settings) -> None:
    """Raise Fault 401 where the gateway asks for a key and the request has not the right one."""
    if settings.api_key is None:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # Headers are Latin-1 on the wire; compared as bytes, in a time that does not tell how much was right.
    is_right = hmac.compare_digest(token.strip().encode("latin-1"), settings.api_key.encode("utf-8"))
    if scheme.lower() != "bearer" or not is_right:
        message = "The key is missing or wrong; send the gateway's key in the header Authorization: Bearer KEY."
        raise Fault(401, message, code="invalid_api_key")


def check_origin(request: Request, settings: Settings) -> None:
    """Raise Fault 403 for a request that a page from elsewhere sends: a browser must not be used against its own machine."""
    origin = request.headers.get("origin")
    if origin is None or may_read(origin, settings):
        return
    if urlsplit(origin).netloc == request.headers.get("host") and (settings.api_key is not None or _is_own(urlsplit(origin).hostname or "", settings)):
        return
    raise Fault(403, f"Pages from {origin[:100]!r} may not use this gateway; allow it with --allow-origin.", code="origin_not_allowed")


def _is_own(hostname: str, settings: Settings) -> bool:
    """Tell whether a name can be this gateway's. Of one that only this machine may ask, it can be no name of the net: whoever owns one may have
    it lead here (DNS rebinding)."""
    return not _is_loopback(settings.host) or _is_address(hostname) or hostname == settings.host or f".{hostname}".endswith(".localhost")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def may_read(origin: str, settings: Settings) -> bool:
    """Tell whether pages of this origin were allowed."""
    return origin in settings.allowed_origins or "*" in settings.allowed_origins


async def read_body(request: Request, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the body. Raises: Fault 413 as soon as it is known to be too large, 415 where it is compressed, 408 where it does not come in time."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Fault(415, f"The body is compressed ({encoding[:40]}); send it as it is, without Content-Encoding.", code="unsupported_encoding")
    length = request.headers.get("content-length", "0")
    too_large = Fault(413, f"The body is larger than {limit_bytes} bytes, which are the most that are taken here.", code="body_too_large")
    if length.isdigit() and int(length[:20]) > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > limit_bytes:
                    raise too_large
    except TimeoutError as error:
        raise Fault(408, f"The body did not come within {timeout_s:.0f} seconds.", code="body_timeout") from error
    except ClientDisconnect as error:
        raise asyncio.CancelledError from error
    return bytes(body)
