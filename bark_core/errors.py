"""The errors and the warning that a caller may see. Each message is a sentence: what was given, what is allowed, what to do."""


class BarkError(Exception):
    """Any error that this package raises on purpose."""


class InvalidInput(BarkError, ValueError):
    """An argument, a text or a voice that cannot be used."""


class CheckpointError(BarkError, RuntimeError):
    """A checkpoint that cannot be found, fetched, verified or loaded."""


class GenerationError(BarkError, RuntimeError):
    """A generation that was asked for correctly and still gave nothing."""


class BarkWarning(UserWarning):
    """A note on what was spoken, told as a Python warning; `Generation.notes` holds the same sentence."""
