"""`python -m bark_core` is the command line."""

from bark_core.cli import run

run()
