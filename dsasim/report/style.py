"""How numbers and tables look: at most 100 columns, the same on a wide terminal, in a pipe and in a file."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO

from rich.console import Console
from rich.table import Table

from dsasim.report.console import PlainConsole
from dsasim.report.table import FittingTable

MAX_COLUMNS = 100
MIN_COLUMNS = 40
"""Nothing is made narrower than this: no table could be read."""

COLOURS = {
    "busy": "#0072b2",
    "bank_conflict": "#cc79a7",
    "imbalance": "#f0e442",
    "dram": "#d55e00",
    "operand": "#e69f00",
    "output_full": "#56b4e9",
    "dependency": "#8c8c8c",
    "drained": "rgba(140,140,140,0.3)",
}
"""Of the owners of a cycle: Okabe and Ito's palette, told apart by colour-blind readers (https://jfly.uni-koeln.de/color),
and two greys. Timelines have the nearest that their viewer knows (`sim.timeline.STALLS`)."""

STALL_WORDS = {
    "drained": "no work left",
    "dependency": "its turn",
    "output_full": "output full",
    "dram": "DRAM",
    "operand": "operand",
    "bank_conflict": "bank conflicts",
    "imbalance": "other lanes",
}
"""Plain words for the stall reasons of `machine.waits`."""

_PREFIXES = ((1e12, ""), (1e9, "m"), (1e6, "µ"), (1e3, "n"))


def new_console(file: IO[str] | None = None) -> Console:
    """Return a console on `file` (stdout if none) that is never wider than MAX_COLUMNS and invents no markup.

    It is as wide as the terminal, or as COLUMNS says; in a pipe or a file without COLUMNS it is MAX_COLUMNS wide.
    """
    console = PlainConsole(file=file or sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=False)
    wanted = os.environ.get("COLUMNS", "")
    piped = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 9 else 0
    width = console.width if console.is_terminal else piped or MAX_COLUMNS
    console.width = max(MIN_COLUMNS, min(width, MAX_COLUMNS))
    return console


def new_table(*columns: str) -> Table:
    """Return a table whose first column is text and whose other columns are right-aligned numbers."""
    table = FittingTable()
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def new_grid(columns: int = 2, gap: int = 2) -> Table:
    """Return columns of words without a head; what is too long wraps, and nothing is cut."""
    grid = Table.grid(padding=(0, gap))
    for _ in range(columns):
        grid.add_column(overflow="fold")
    return grid


def time_text(time_ns: float) -> str:
    """Return a time in the unit that leaves one to three digits before the point: 1234 ns → `1.234 µs`."""
    return _scaled(time_ns * 1e3, "s")


def energy_text(energy_pj: float) -> str:
    """Return an energy in the unit that leaves one to three digits before the point: 1234 pJ → `1.234 nJ`."""
    return _scaled(energy_pj, "J")


def percent(ratio: float) -> str:
    """Return a ratio as a percentage with one decimal: 0.1234 → `12.3 %`."""
    return f"{100 * ratio:.1f} %"


def times(ratio: float) -> str:
    """Return a factor with three significant digits: 2.5 → `2.50x`."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:#.3g}x"


def where_known(text: Callable[[float], str], value: float | None) -> str:
    """Return a figure as `text` writes it, or nothing where it does not exist."""
    return "" if value is None else text(value)


def number(value: float) -> str:
    """Return a number with four significant digits, or all those before the point: 38760.4 → `38,760`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short_keys(keys: Sequence[str]) -> list[str]:
    """Return each key without the sections that no other key needs to be told from it: a.b.c -> c."""
    ends = [[".".join(key.split(".")[-length:]) for length in range(1, key.count(".") + 2)] for key in keys]
    counts = Counter(end for each in ends for end in each)
    return [next(end for end in each if counts[end] == 1) for each in ends]


def _scaled(trillionths: float, unit: str) -> str:
    for size, prefix in _PREFIXES:
        if trillionths >= size:
            return f"{trillionths / size:.4g} {prefix}{unit}"
    return f"{trillionths:.4g} p{unit}"
