"""Text that cannot act: what a stranger wrote, made safe to show."""

import re
from collections.abc import Callable

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What Python takes for printable and no reader sees: Default_Ignorable_Code_Point of Unicode's
DerivedCoreProperties.txt (https://www.unicode.org/reports/tr44/), as far as it is of the categories Lo and Mn."""


def printable(text: object) -> str:
    r"""`text` in one line, each character that a terminal or a page would obey or hide as its escape.

    Those are control characters (ESC, newline, tab), marks that change the direction of text, characters without ink or
    width, separators other than the space, and lone surrogates. Worked example: "a<ESC>[31mb" → `a\x1b[31mb`.
    """
    return _escaped(str(text), _escape)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(text: str) -> str:
    r"""JSON that a terminal can be shown: the same values, such characters in its texts as JSON's own `\u…`."""
    return "\n".join(_escaped(line, _json_escape) for line in text.split("\n"))


def unprintable(text: str) -> str | None:
    """The first character of a name that `printable` would escape, as that escape; None if there is none."""
    return None if _is_shown(text) else next(_escape(each) for each in text if not _is_shown(each))


def named(text: str) -> str:
    """`text`, if it can be a name; ValueError says which character cannot be printed."""
    if found := unprintable(text):
        raise ValueError(f"holds the character '{found}', which cannot be printed")
    return text


def _is_shown(text: str) -> bool:
    return text.isprintable() and not _INVISIBLE.search(text)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    return text if _is_shown(text) else "".join(each if _is_shown(each) else escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _json_escape(character: str) -> str:
    r"""In UTF-16: U+E0001 is `\udb40\udc01`."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
