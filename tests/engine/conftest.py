"""The compiled kernel, for the tests of whatever runs on it: at each level that this processor can run, and as it is used here."""

from __future__ import annotations

import ctypes
import os

import pytest

from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.levels import LEVEL_VARIABLE, NATIVE, list_runnable
from bark_core.engine.native import load_library

ASKED = os.environ.get(LEVEL_VARIABLE)
LEVELS = [ASKED] if ASKED else [NATIVE, *(level.name for level in list_runnable()[:-1])]
"""What the kernel is tested at: the level asked for, or all that this processor can run. The last of those is what "native" amounts to."""


@pytest.fixture(scope="module", params=LEVELS)
def library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    """The kernel at each level in turn."""
    return open_library(request.param)


@pytest.fixture(scope="module")
def native_library() -> ctypes.CDLL:
    """The kernel as it is used here."""
    return open_library(None)


def open_library(level: str | None) -> ctypes.CDLL:
    try:
        return load_library(level=level)
    except NativeUnavailable as error:
        pytest.skip(f"no compiled step on this machine: {error}")
