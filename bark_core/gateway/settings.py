"""What the gateway is told when it starts, checked once. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "playground" / "index.html"
"""The page, in a checkout; an installed package has none."""


@dataclass(frozen=True)
class Settings:
    """Where the gateway listens, what it stands in front of, and its bounds.

    `backends`: URLs of Cog servers. `api_key`: what a client must send as its bearer token, or None. `max_waiting`: requests that
    may wait for their turn; more are sent away. Bytes and seconds as the names say.
    """

    backends: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    max_waiting: int = 64
    max_body_bytes: int = 32 * 2**20
    body_timeout_s: float = 30.0
    speech_timeout_s: float = 3600.0
    page: Path = PAGE
