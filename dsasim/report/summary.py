"""How a result shows itself in Python: the first lines of what `dsasim run` prints, as text and as HTML."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dsasim.report.figures import Result
from dsasim.report.headline import headline
from dsasim.report.markup import inert
from dsasim.report.style import MAX_COLUMNS, new_console
from dsasim.report.text import print_summary
from dsasim.report.title import run_title

if TYPE_CHECKING:
    from dsasim.api import RunResult


def summary_text(result: RunResult) -> str:
    """Title, notes and headline of a run, as they are printed, at most 100 columns wide."""
    stream = io.StringIO()
    console = new_console(stream)
    console.width = MAX_COLUMNS
    print_summary(result.to_json(), console)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def summary_html(result: RunResult) -> str:
    """The same as a piece of HTML without style or script, for notebooks."""
    return f"<div>{''.join(_pieces(result.to_json()))}</div>"


def _pieces(result: Result) -> Iterator[str]:
    yield f"<p><b>{inert(run_title(result))}</b></p>"
    for note in result.get("notes", ()):
        yield f"<p><em>{inert(note)}</em></p>"
    rows = ("".join(f"<td>{inert(cell)}</td>" for cell in row) for row in headline(result))
    yield f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
