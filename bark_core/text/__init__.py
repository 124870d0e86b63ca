"""Text into what the semantic stage reads. Knows no models and no tensors."""

__all__ = ["wordpiece"]
