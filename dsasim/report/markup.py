"""Text inside HTML and SVG: the one way in."""

from html import escape

from dsasim.inputs.printable import printable, printable_lines


def inert(text: str) -> str:
    """`text` for an element or a quoted attribute: no browser and no reader takes any of it for something else."""
    return escape(printable(text))


def inert_lines(text: str) -> str:
    """The same where lines are kept, in `pre`."""
    return escape(printable_lines(text))
