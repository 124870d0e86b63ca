"""Bark as callers hold it: texts and voices in, speech out. Checks what is given; does no arithmetic of its own."""

__all__ = ["bark", "diagnosis", "generation", "options", "output", "plan", "progress", "service", "stream"]
