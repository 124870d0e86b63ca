"""Texts into utterances, and into what the semantic stage reads. Knows no models and no tensors."""

__all__ = ["duration", "language", "numbers", "script", "sentences", "wordpiece"]
