"""A console on which nothing acts that was not written here, and which never breaks a command."""

import re
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dsasim.inputs.printable import printable, printable_lines

_WORD = re.compile(r"(?:`[^`]*`|\S)+")
"""A word, or a command between backticks with its spaces."""


class PlainConsole(Console):
    """Rich's console for tables and sentences; texts are shown as they are: no markup, no control characters.

    Every string comes by `render_str`, those in tables too; a `Text` does not, so none is made from what others wrote.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        """A string as rich shows it, after what could act in it has become its escape."""
        return super().render_str(printable_lines(text), **how)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print a table, or a sentence: one line, but where it is broken here, between words."""
        if len(objects) == 1 and isinstance(objects[0], str):
            super().print(wrapped(printable(objects[0]), self.width), soft_wrap=True, **how)
        else:
            super().print(*objects, **how)


def wrapped(line: str, columns: int) -> str:
    """A line as lines of at most so many columns; a longer word stays whole, as does a command between backticks.

    Worked example: at 12 columns "then run `ls -l a` now" is "then run", "`ls -l a`", "now".
    """
    if cell_len(line) <= columns:
        return line
    lines = [""]
    for word in _WORD.findall(line):
        longer = f"{lines[-1]} {word}".lstrip()
        if cell_len(longer) <= columns or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
