"""`python -m bark_core` is the command line."""

from bark_core.cli.main import run

run()
