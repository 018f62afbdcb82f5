"""How a result shows itself in Python: the first lines of what `dsasim run` prints, as text and as HTML."""

from __future__ import annotations

import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from dsasim.inputs.printable import printable
from dsasim.report.style import MAX_COLUMNS, new_console
from dsasim.report.text import headline_rows, print_summary, title

if TYPE_CHECKING:
    from dsasim.api import RunResult


def summary_text(result: RunResult) -> str:
    """Title, notes and headline of a run, as they are printed, at most 100 columns wide."""
    stream = io.StringIO()
    console = new_console(stream)
    console.width = MAX_COLUMNS
    print_summary(result, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def summary_html(result: RunResult) -> str:
    """The same as a piece of HTML without style or script, for notebooks."""
    return f"<div>{''.join(_pieces(result))}</div>"


def _pieces(result: RunResult) -> Iterator[str]:
    yield f"<p><b>{_text(title(result))}</b></p>"
    for note in result.notes:
        yield f"<p><em>{_text(note)}</em></p>"
    rows = ("".join(f"<td>{_text(cell)}</td>" for cell in row) for row in headline_rows(result))
    yield f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _text(words: str) -> str:
    return escape(printable(words))
