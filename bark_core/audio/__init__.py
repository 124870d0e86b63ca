"""Sound as samples and as files. Knows no tokens, voices or models."""

__all__ = ["encoders", "files", "formats", "joins", "loudness", "samples", "silence", "speed", "subtitles", "wav", "writer"]
