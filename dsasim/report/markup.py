"""Text inside HTML and SVG: the one way in."""

from html import escape

from dsasim.inputs.printable import printable_lines


def inert(text: str) -> str:
    """`text` for an element or a quoted attribute: neither a browser nor its reader takes any of it for something else.

    Lines stay lines, where the element has them.
    """
    return escape(printable_lines(text))
