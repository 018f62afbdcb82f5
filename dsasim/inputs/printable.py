"""Text that cannot act: what a stranger wrote, made safe to show."""


def printable(text: object) -> str:
    r"""`text` in one line, each character that a terminal or a page would obey or hide as its escape.

    Those are control characters (ESC, newline, tab), marks that change the direction of text, format characters without
    width, separators other than the space, and lone surrogates: what `str.isprintable` refuses. Worked example:
    "a<ESC>[31mb" → `a\x1b[31mb`.
    """
    written = str(text)
    if written.isprintable():
        return written
    return "".join(character if character.isprintable() else _escape(character) for character in written)


def unprintable(text: str) -> str | None:
    """The first character of a name that `printable` would escape, as that escape; None if there is none."""
    return next((_escape(character) for character in text if not character.isprintable()), None)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
