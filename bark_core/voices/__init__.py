"""Voices: the presets' names, the files that hold voices, and the checked arrays. Knows no models."""

__all__ = ["files", "presets", "upload", "voice"]
