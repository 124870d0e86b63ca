"""Weights packed for a GPU to read: their values, their places, and what happens where memory is refused."""

from __future__ import annotations

import torch
from torch import Tensor

from bark_core.engine.pinned import ALIGNMENT, BLOCK_BYTES, pin_tensors


def some_tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "odd": torch.randn(7, 3),
        "half": torch.randn(130, 5).half(),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "turned": torch.randn(40, 30).T,
        "whole": torch.arange(-5, 6, dtype=torch.int8),
        "large": torch.randn(2**22 + 1),
        "last": torch.randn(9),
    }


def test_packed_tensors_are_equal_aligned_and_do_not_meet() -> None:
    given, sizes = some_tensors(), list[int]()

    def allocate(n_bytes: int) -> Tensor:
        sizes.append(n_bytes)
        return torch.empty(n_bytes, dtype=torch.uint8)

    packed = pin_tensors(given, allocate)
    assert list(packed) == list(given)
    assert all(torch.equal(packed[name], tensor) and packed[name].dtype == tensor.dtype for name, tensor in given.items())
    assert all(tensor.storage_offset() * tensor.element_size() % ALIGNMENT == 0 for tensor in packed.values())
    assert sizes == [BLOCK_BYTES], "small ones share a block"
    packed["odd"].zero_()
    assert all(torch.equal(packed[name], tensor) for name, tensor in given.items() if name != "odd")


def test_what_is_larger_than_a_block_gets_one_of_its_size() -> None:
    sizes = list[int]()
    given = {"a": torch.zeros(3), "b": torch.zeros(BLOCK_BYTES // 4 + 1), "c": torch.zeros(3)}
    pin_tensors(given, lambda n_bytes: (sizes.append(n_bytes), torch.empty(n_bytes, dtype=torch.uint8))[1])
    assert sizes == [BLOCK_BYTES, BLOCK_BYTES + 4, BLOCK_BYTES]


def test_what_the_system_has_no_room_for_stays_where_it_is() -> None:
    given, left = some_tensors(), [1]

    def allocate(n_bytes: int) -> Tensor:
        if not left:
            raise RuntimeError("CUDA error: out of memory")
        return torch.empty(left.pop() * n_bytes, dtype=torch.uint8)

    given["beyond"] = torch.randn(BLOCK_BYTES // 4)
    packed = pin_tensors(given, allocate)
    assert packed["beyond"] is given["beyond"] and packed["odd"] is not given["odd"]
    assert all(torch.equal(packed[name], tensor) for name, tensor in given.items())
