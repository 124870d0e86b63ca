"""Spans of OpenTelemetry, where the process has it: how long each stage of a prediction took, inside whatever else was traced.

Nothing is imported for them: who wants traces has imported OpenTelemetry and set it up before, as Cog's worker does where cog.yaml
asks for them. Elsewhere a span costs one look into a dictionary.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_API = "opentelemetry.trace"


@contextmanager
def span(name: str) -> Iterator[None]:
    """Record what happens inside as a span, under the one that is current where it begins; do nothing without OpenTelemetry.

    It never becomes the current one: it may be open across the steps of a generator, while its consumer has spans of its own.
    """
    api: Any = sys.modules.get(_API)
    if api is None:
        yield
        return
    current = api.get_tracer("bark_core").start_span(name)
    try:
        yield
    except Exception as error:
        current.record_exception(error)
        current.set_status(api.StatusCode.ERROR, str(error))
        raise
    finally:
        current.end()
