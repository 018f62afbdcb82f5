"""What a caller in Python named a file with, as text."""

from os import PathLike, fspath


def path_text(given: object) -> str | None:
    """A name or path as text; None for what is neither, and for paths of bytes."""
    text = fspath(given) if isinstance(given, str | PathLike) else None
    return text if isinstance(text, str) else None
