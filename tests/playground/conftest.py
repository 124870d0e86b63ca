"""The page before the real Cog server, in a browser: started once, and each test comes to it as somebody who was never there before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.server import Server
from tests.playground import browser as chromium
from tests.playground.browser import Browser
from tests.playground.front import serve


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium.start() as running:
        yield running


@pytest.fixture(scope="package")
def server(browser: Browser) -> Iterator[Server]:  # noqa: ARG001 -- first, so that where there is no browser no server is started
    with Server({"BARK_MODEL": "demo"}) as running:
        yield running


@pytest.fixture(scope="package")
def address(server: Server) -> Iterator[str]:
    with serve(server.url) as url:
        yield url


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """The page as somebody sees it who was never there before."""
    browser.command("Storage.clearDataForOrigin", origin=address, storageTypes="all")
    browser.resize(1200, 900)
    browser.set_scheme("light")
    browser.open(address)
    yield browser
    assert browser.errors() == []
