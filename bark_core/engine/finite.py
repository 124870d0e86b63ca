"""Whether a model's weights are numbers: told from what it makes of them, so that they need not be read for it. Knows nothing of files."""

from __future__ import annotations

from torch import Tensor, nn

from bark_core.errors import CheckpointError
from bark_core.model.quantize import StoredEmbedding


def check_weights(model: nn.Module, part: str, *made: Tensor) -> None:
    """Raise CheckpointError, naming the tensor, where what a model `made` is not all numbers because its weights are not.

    Only where something is wrong are all weights read, which takes as long as the disk does. torch's attention may lose
    what is no number on its way, and the kernel's does not: so what both made is looked at.
    """
    if all(bool(each.isfinite().all()) for each in made):
        return
    wte = getattr(model, "wte", None)
    for name, tensor in [*model.state_dict().items(), *([("wte.weight", wte.table)] if isinstance(wte, StoredEmbedding) else [])]:
        if tensor.is_floating_point() and not all(bool(end.isfinite()) for end in tensor.aminmax()):
            raise CheckpointError(f"The checkpoint has values that are not numbers in {name} of its {part} part. Use an undamaged copy.")
