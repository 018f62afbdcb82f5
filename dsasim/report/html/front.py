"""The points of a sweep, two objectives at a time, those on the Pareto front set apart; each shows its YAML."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from dsasim.config.resolved import arch_to_yaml
from dsasim.config.schemas import design_from
from dsasim.report.html.figure import GREY, VERMILION, Figure, axis, figure, log_axis
from dsasim.report.html.label import Markup, hover, lines
from dsasim.report.html.parts import Folded, PageTable
from dsasim.report.html.points import AxisLabels, PointGroup, Row, overrides_line, overrides_yaml
from dsasim.report.html.quantities import quantity
from dsasim.report.style import number
from dsasim.sweep.metrics import Metric

BETTER = {"min": "less is better", "max": "more is better"}
LOGARITHMIC_FROM = 8
MAX_ROWS = 50
"""Of the front in the table: each holds a whole design."""
MAX_POINTS = 5000
"""Points drawn beside the front: more would make the page slow, and its text large."""


def front_figure(group: PointGroup, x: Metric, y: Metric) -> Figure:
    """Draw two objectives of all points that ran; the front is that of all objectives, in as many as there are."""
    front = {row["point"] for row in group.front}
    others = [row for row in group.rows if row["point"] not in front][:MAX_POINTS]
    broke = [row for row in others if row["status"] != "ok"]
    beaten = [row for row in others if row["status"] == "ok"]
    data = [
        _points("beaten", beaten, group, x, y, {"color": GREY, "size": 7, "opacity": 0.7}),
        _points("breaks a constraint", broke, group, x, y, {"color": GREY, "size": 7, "symbol": "x-thin-open"}),
        _points("Pareto front", group.front, group, x, y, {"color": VERMILION, "size": 10, "symbol": "diamond"}),
    ]
    if len(group.metrics) == 2:
        data[-1] |= {"mode": "lines+markers", "line": {"color": VERMILION, "width": 1, "shape": _step(group)}}
    return figure([trace for trace in data if trace["x"]], 460, xaxis=_axis(x, group), yaxis=_axis(y, group))


def front_table(group: PointGroup, axes: Sequence[AxisLabels]) -> PageTable:
    """The best points of the front by the first objective, a row each.

    A row has the point's number, its objectives, what sets it apart and, folded, its whole design.
    """
    shown = [quantity(metric.name) for metric in group.metrics]
    heads = [f"{each.words} {each.unit}" for each in shown]
    rows: list[list[str | Folded]] = [
        [
            str(row["point"]),
            *(f"{number(value / each.size)}" for each, value in zip(shown, group.values(row), strict=True)),
            Folded(overrides_line(row, axes), arch_to_yaml(design_from(row["arch"]))),
        ]
        for row in group.front[:MAX_ROWS]
    ]
    return PageTable(("point", *heads, "design"), rows, ("design",))


def left_out(group: PointGroup) -> str:
    """Say what of the points is not shown; empty if all are."""
    rows, drawn = len(group.front) - MAX_ROWS, len(group.rows) - len(group.front) - MAX_POINTS
    first = quantity(group.metrics[0].name).words
    best = f" The table holds the {MAX_ROWS} best by {first}; {rows:,} more of the front are drawn only."
    beaten = f" Of the other points {drawn:,} are not drawn, the last ones."
    return (best if rows > 0 else "") + (beaten if drawn > 0 else "")


def pairs(metrics: Sequence[Metric]) -> list[tuple[Metric, Metric]]:
    """Return the objectives two at a time: each with the first one, then neighbours among the others."""
    first, *others = metrics
    return [(first, other) for other in others] + list(pairwise(others))


def _step(group: PointGroup) -> str:
    """Between two points of a front nothing is reached but what the worse of them reaches."""
    return "hv" if group.metrics[1].sense == "min" else "vh"


def _axis(metric: Metric, group: PointGroup) -> dict[str, Any]:
    """Return an axis that is logarithmic where the largest value is many times the smallest."""
    shown = quantity(metric.name)
    title = f"{shown.words}, {BETTER[metric.sense]}"
    values = [row["objectives"][metric.name] / shown.size for row in group.rows]
    low, high = min(values), max(values)
    if low > 0 and high > LOGARITHMIC_FROM * low:
        return log_axis(title, shown.unit, low / 1.2, high * 1.2)
    return axis(title, shown.unit)


def _points(name: str, rows: Sequence[Row], group: PointGroup, x: Metric, y: Metric, marker: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [row["objectives"][x.name] / quantity(x.name).size for row in rows],
        "y": [row["objectives"][y.name] / quantity(y.name).size for row in rows],
        "text": [_hover(row, group) for row in rows],
        "marker": marker,
        "hovertemplate": hover("%{text}"),
    }


def _hover(row: Row, group: PointGroup) -> str:
    """Write a point's number, all its objectives, and its YAML, one below the other."""
    if (text := group.texts.get(row["point"])) is not None:
        return text
    values = [(quantity(metric.name), value) for metric, value in zip(group.metrics, group.values(row), strict=True)]
    measured = [f"{each.words}: {number(value / each.size)} {each.unit}" for each, value in values]
    text = lines(Markup(f"<b>point {row['point']:d}</b>"), *measured, *overrides_yaml(row).split("\n"))
    group.texts[row["point"]] = text
    return text
