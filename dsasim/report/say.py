"""Lines outside tables: what a command did, and what it warns of."""

import sys

from dsasim.inputs.printable import printable


def say(text: str, *, err: bool = False) -> None:
    """Write a line to stdout, or to stderr; nothing in it acts, and it is not wrapped: it may hold a command."""
    (sys.stderr if err else sys.stdout).write(f"{printable(text)}\n")
