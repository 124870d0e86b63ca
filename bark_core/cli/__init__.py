"""The command line, one command a file. Speech goes to files or a pipe, messages to standard error."""

__all__ = ["console", "main"]
