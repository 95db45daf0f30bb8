"""The command line: `rankspace COMMAND`. Data go to stdout, words to stderr.

Only typer is imported at first; every command imports what it needs when it runs, so that help and
completion answer at once.
"""

from services.cli.app import main

__all__ = ["main"]
