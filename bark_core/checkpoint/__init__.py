"""Checkpoints: found or fetched, verified, read strictly in every layout that Bark's weights come in, and written in ours."""

__all__ = ["check", "fetch", "open"]
