"""A step's operations taped and played again on the very same tensors: what a CUDA graph does, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SYNCS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "lift_fresh", "masked_select", "unique", "unique2", "_pin_memory")
"""Operations that wait for the device, or that carry what Python holds to it. So do copies to another device."""


class Tape(TorchDispatchMode):
    """Tapes what runs under it, and refuses what a capture would: waits, and tensors that outlive the step.

    What was made goes into the same storage again when the tape is played; views stay what they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._played: list[tuple[Any, Sequence[Any], dict[str, Any], list[tuple[int, Tensor]]]] = []
        self.names: list[str] = []
        self.made: list[weakref.ref[Any]] = []
        self.shapes: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        assert name not in SYNCS, f"{name} waits for the device or copies across"
        out = func(*args, **kwargs)
        storages = {each.untyped_storage().data_ptr() for each in given}
        leaves = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        assert len({each.device for each in [*given, *leaves] if each.dim()}) <= 1, f"{name} copies across devices"
        fresh = [(i, each) for i, each in enumerate(leaves) if each.untyped_storage().data_ptr() not in storages]
        is_view = not fresh and not func._schema.is_mutable
        if not is_view:
            self.names.append(name)
            self._played.append((func, args, kwargs, fresh))
        self.made += [weakref.ref(each) for _, each in fresh]
        self.shapes += [(name, tuple(each.shape)) for each in leaves]
        return out

    def play(self) -> None:
        """Do it all again."""
        for func, args, kwargs, fresh in self._played:
            out = [each for each in tree_leaves(func(*args, **kwargs)) if isinstance(each, Tensor)]
            for i, kept in fresh:
                kept.copy_(out[i])

    def forget(self) -> None:
        """Let go of what was made, as a graph does not; to see whether anybody else keeps it."""
        self._played.clear()


def tape(work: Callable[[], None]) -> Callable[[], None]:
    """Capture what a function launches, with a tape for a graph."""
    made = Tape()
    with made:
        work()
    return made.play
