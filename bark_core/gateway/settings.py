"""What the gateway is told when it starts. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bark_core.gateway.names import VoiceNames

PAGE = Path(__file__).resolve().parents[2] / "playground"
"""The page's folder, in a checkout; an installed package has none."""


@dataclass(frozen=True)
class Settings:
    """Where the gateway listens, who may use it, and its bounds.

    `api_key`: what a client must send as its bearer token, or None. `allowed_origins`: those of pages from elsewhere that may use it.
    `max_waiting`: requests that may wait for their turn; more are sent away. Bytes and seconds as the names say.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()
    names: VoiceNames = field(default_factory=VoiceNames)
    max_waiting: int = 64
    max_speech_bytes: int = 2 * 2**20
    max_prediction_bytes: int = 32 * 2**20
    body_timeout_s: float = 30.0
    turn_timeout_s: float = 3600.0
    speech_timeout_s: float = 3600.0
    page: Path = PAGE
