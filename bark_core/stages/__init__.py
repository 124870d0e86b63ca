"""The stages: text ids → semantic tokens → coarse codes → fine codes → audio, step by step. Knows no texts, names or files."""

__all__ = ["jobs", "lanes", "run"]
