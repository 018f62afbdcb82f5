"""The printed result of a sweep: what was run, what could not be, and the Pareto front on each trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dsasim.inputs.printable import printable
from dsasim.report.console import wrapped
from dsasim.report.html.quantities import quantity
from dsasim.report.style import new_table, short_keys
from dsasim.sweep.store import RESULTS
from dsasim.trace.notes import kind_note

if TYPE_CHECKING:
    from dsasim.sweep.query import QueryResult
    from dsasim.sweep.runner import SweepResult

MAX_ROWS = 30
MAX_REASONS = 10
ARROWS = {"min": "↓", "max": "↑"}
SHORT_WORDS = {"captured_mass_ratio": "mass", "mask_recall_ratio": "recall"}
"""Words that leave room for the other columns, in place of those of a page."""

IN_UNIT = ("energy_pj", "time_ns", "edp", "area_mm2", *SHORT_WORDS)
"""Metrics that are printed as pages show them; others stand under their own names, in their own units."""


def print_sweep(result: SweepResult, folder: Path, console: Console) -> None:
    """Print `result` on `console`, at most 100 columns wide."""
    console.print(_counts(result), style="bold")
    for status in ("invalid", "infeasible", "failed"):
        if numbers := result.with_status(status):
            console.print()
            console.print(status, style="bold")
            for line in _reasons([without_value(result.outcomes[number].reason) for number in numbers], console.width):
                console.print(line)
    for at, choice in enumerate(result.spec.traces):
        front = result.front(at)
        ran = sum(number % len(result.spec.traces) == at for number in result.with_status("ok"))
        console.print()
        console.print(f"Pareto front on {choice.meta.name}: {len(front)} of {ran} points", style="bold")
        if note := kind_note(choice.meta):
            console.print(note, style="yellow")
        if front:
            console.print(_front_table(result, front[:MAX_ROWS]))
        if len(front) > MAX_ROWS:
            console.print(f"and {len(front) - MAX_ROWS} more")
    console.print()
    console.print(f"every point is a line of {folder / RESULTS}")


def print_answer(answer: QueryResult, console: Console) -> None:
    """Print what a query found; nothing for a statement without an answer."""
    if answer.columns:
        table = new_table(*map(printable, answer.columns))
        for row in answer.rows:
            table.add_row(*map(_cell, row))
        console.print(table)


def _counts(result: SweepResult) -> str:
    """Say how many points there were, how they ended, and how fast."""
    statuses = Counter(outcome.status for outcome in result.outcomes.values())
    parts = [
        f"{statuses[status]:,} {status}" for status in ("ok", "infeasible", "invalid", "failed") if statuses[status]
    ]
    rate = f", {result.num_runs / result.seconds:.3g} a second" if result.num_runs and result.seconds else ""
    return (
        f"{result.spec.name}: {len(result.outcomes):,} of {result.space.num_points:,} points: {', '.join(parts)}"
        f" ({result.num_runs:,} runs in {result.seconds:.1f} s{rate})"
    )


def without_value(reason: str) -> str:
    """Return a broken constraint without the value that broke it, which differs from point to point."""
    return reason.partition(": it is ")[0] if reason.startswith("constraint ") else reason


def _reasons(reasons: Sequence[str], columns: int) -> Iterator[str]:
    """A line a reason, the most frequent first, each with how many points it is that of."""
    counted = Counter(reasons).most_common()
    width = len(f"{counted[0][1]:,}") + 2
    for reason, count in counted[:MAX_REASONS]:
        lines = [part for line in reason.split("\n") for part in wrapped(line, columns - width).split("\n")]
        yield f"{count:<{width},}{lines[0]}"
        yield from (" " * width + line for line in lines[1:])
    if len(counted) > MAX_REASONS:
        yield " " * width + f"and {len(counted) - MAX_REASONS} more reasons"


def _front_table(result: SweepResult, numbers: Sequence[int]) -> Table:
    """One row a point: its number, the value of each axis that has more than one, and its objectives."""
    varying = [
        ".".join(key)
        for axis in result.spec.axes
        for at, key in enumerate(axis.keys)
        if len({values[at] for values in axis.values}) > 1
    ]
    objectives = result.spec.objectives
    units = [column_title(metric.name) for metric in objectives]
    titles = [f"{words} {ARROWS[metric.sense]}" for metric, (words, _) in zip(objectives, units, strict=True)]
    # spaces, so that long names wrap between their words
    heads = ["point", *(title.replace("_", " ") for title in (*short_keys(varying), *titles))]
    rows = []
    for number in numbers:
        axes = result.space.point(number).axes
        values = zip(units, result.outcomes[number].objectives or (), strict=True)
        measured = (_cell(value / size) for (_, size), value in values)
        rows.append([str(number), *(_cell(axes[name]) for name in varying), *measured])
    table = new_table(*heads)
    for row in rows:
        table.add_row(*row)
    return table


def column_title(metric: str) -> tuple[str, float]:
    """The title of a metric's column, and how many of the metric's units one of the printed units is."""
    if metric not in IN_UNIT:
        return metric.removeprefix("counters."), 1
    shown = quantity(metric)
    return f"{SHORT_WORDS.get(metric, shown.words)} {shown.unit}", shown.size


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or value >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else printable(value)
