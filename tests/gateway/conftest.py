"""One real Cog server with the demo, one with a quick predictor, and a gateway before each, for all the tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.server import Server
from tests.gateway.running import Gateway, Speaker


@pytest.fixture(scope="session")
def cog() -> Iterator[Server]:
    """The real server with the checkpoint that comes with the repository."""
    with Server({"BARK_MODEL": "demo"}) as server:
        yield server


@pytest.fixture(scope="session")
def gateway(cog: Server) -> Iterator[Gateway]:
    """A gateway before it."""
    with Gateway(cog.url) as running:
        yield running


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server with a quick predictor."""
    with Speaker(tmp_path_factory.mktemp("noise"), "plain") as server:
        yield server


@pytest.fixture(scope="session")
def noisy(noise: Server) -> Iterator[Gateway]:
    """A gateway before it, with short deadlines."""
    with Gateway(noise.url, max_waiting=4, body_timeout_s=1.0, speech_timeout_s=20.0) as running:
        yield running
