"""Models without weights: their modules, names and shapes, for whoever has the weights already or wants only the shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLS = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_}


class _WithoutInit(TorchFunctionMode):
    """Leaves tensors as they are where they would be initialised.

    On the meta device there is nothing to fill, and torch takes its time over it: random numbers for such tensors are its
    compiler's business, whose import takes longer than all else that loading the demo does.
    """

    def __torch_function__(self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func in _FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def blank() -> Iterator[None]:
    """Make modules inside on the meta device, uninitialised. Of this thread only; no default of the process is touched."""
    with torch.device("meta"), _WithoutInit():
        yield
