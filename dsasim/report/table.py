"""A table that fits the terminal: numbers stay whole, words wrap between words, and nothing is cut."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import PaddingDimensions
from rich.table import Column, Table

LONGEST_WORD = 30
"""Columns; longer words (digests, paths) are broken before any number is."""


GAPS: dict[int, PaddingDimensions] = {3: (0, 1), 2: (0, 1, 0, 0), 1: (0, 0)}
"""Columns between two columns of a table, and the padding of a cell that makes them."""


class FittingTable(Table):
    """Columns of texts; where they are too wide, gaps and then columns get narrower, the widest first."""

    def __init__(self) -> None:
        super().__init__(box=SIMPLE_HEAD, pad_edge=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the table out for the width at hand."""
        narrowest, widest = (list(map(width, self.columns)) for width in (_narrowest, _widest))
        rooms = {gap: options.max_width - 2 - gap * (len(self.columns) - 1) for gap in GAPS}  # edges of 1
        least = {gap: sum(widest if gap == max(GAPS) else narrowest) for gap in GAPS}
        gap = next((gap for gap in GAPS if least[gap] <= rooms[gap]), min(GAPS))
        self.padding = GAPS[gap]
        for column, width in zip(self.columns, fitted(narrowest, widest, rooms[gap]), strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)


def fitted(narrowest: Sequence[int], widest: Sequence[int], room: int) -> list[int]:
    """Return a width for each column, together at most `room`: the widest shrink first, none below its narrowest.

    Where not even the narrowest have room, they shrink too. Worked example: narrowest 3, 8, widest 20, 12, room 24:
    12, 12; room 14: 6, 8.
    """
    for least in (narrowest, [1] * len(widest)):
        for level in range(max(widest), 0, -1):
            widths = [max(low, min(high, level)) for low, high in zip(least, widest, strict=True)]
            if sum(widths) <= room:
                return widths
    return [1] * len(widest)


def _texts(column: Column) -> list[str]:
    return [str(column.header), *map(str, column.cells)]


def _widest(column: Column) -> int:
    return max(map(cell_len, _texts(column)))


def _narrowest(column: Column) -> int:
    """Columns of words need room for their longest one; numbers, to the right, are not broken, their heads are."""
    head, *cells = _texts(column)
    words = " ".join([head, *cells] if column.justify == "left" else [head]).split()
    whole = [] if column.justify == "left" else cells
    return max([1, *(min(cell_len(word), LONGEST_WORD) for word in words), *map(cell_len, whole)])
