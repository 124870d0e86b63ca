"""Sound as samples and as files. Knows no tokens, voices or models."""

__all__ = ["wav"]
