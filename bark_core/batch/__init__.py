"""Files of lines → files of speech, with resume: what is done stays done, what fails is told, what changed is spoken again."""

__all__ = ["cluster", "entries", "forecast", "run", "speaking"]
