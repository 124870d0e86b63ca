"""The way to transformers, which tests compare with."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def import_transformers() -> Any:
    """Import transformers, or skip the test, saying why.

    Its audio helpers import torchaudio wherever that is installed, even where its binary does not load; so it is kept
    from finding it.
    """
    before = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = None  # type: ignore[assignment]
    try:
        import transformers

        _ = transformers.BarkModel, transformers.EncodecModel, transformers.BertTokenizer  # imported only when they are asked for
    except ImportError as error:
        pytest.skip(f"transformers cannot be imported here: {error}")
    finally:
        del sys.modules["torchaudio"]
        if before is not None:
            sys.modules["torchaudio"] = before
    return transformers
