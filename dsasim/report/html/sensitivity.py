"""How much each axis of a sweep matters: an objective over its values, and the effect of all axes side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsasim.report.html.figure import BLUE, PALETTE, VERMILION, Figure, axis, figure, names_axis
from dsasim.report.html.label import hover
from dsasim.report.html.points import AxisLabels, PointGroup
from dsasim.report.html.quantities import quantity
from dsasim.sweep.metrics import Metric


def over_axis(group: PointGroup, axis_: AxisLabels, metric: Metric) -> Figure:
    """Draw an objective at each value of an axis: median, quartiles and extremes over all other axes."""
    shown = quantity(metric.name)
    spread = {label: values / shown.size for label, values in _by_value(group, axis_, metric).items()}
    quantiles = np.array([np.quantile(values, (0, 0.25, 0.5, 0.75, 1)) for values in spread.values()]).T
    labels = list(spread)
    counts = [f"{len(values)} points" for values in spread.values()]
    low, first, median, third, high = (line.tolist() for line in quantiles)
    boxes: dict[str, Any] = {
        "type": "box",
        "name": "quartiles and extremes",
        "x": labels,
        "lowerfence": low,
        "q1": first,
        "median": median,
        "q3": third,
        "upperfence": high,
        "marker": {"color": BLUE},
        "line": {"width": 1.5},
        "hoverinfo": "y",
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "median",
        "x": labels,
        "y": median,
        "text": counts,
        "line": {"color": VERMILION, "width": 1.5},
        "hovertemplate": hover("%{x}: median %{y:,.4g} $unit, %{text}", unit=shown.unit),
    }
    values = names_axis(axis_.title, categoryorder="array", categoryarray=labels)
    return figure([boxes, line], 360, xaxis=values, yaxis=axis(shown.words, shown.unit))


def effects(group: PointGroup, axes: Sequence[AxisLabels]) -> Figure:
    """Draw, for every axis and objective, the largest median over the smallest: 1 is an axis without effect."""
    names = [each.title for each in axes]
    found = {metric.name: [effect(group, each, metric) for each in axes] for metric in group.metrics}
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": quantity(metric.name).words,
            "y": names,
            "x": [None if ratio is None else ratio - 1 for ratio in found[metric.name]],
            "base": 1,
            "customdata": found[metric.name],
            "marker": {"color": PALETTE[at % len(PALETTE)]},
            "hovertemplate": hover("%{y}<br>$words: %{customdata:.3g}x", words=quantity(metric.name).words),
        }
        for at, metric in enumerate(group.metrics)
    ]
    return figure(
        data,
        140 + 26 * len(axes) * max(2, len(group.metrics)),
        barmode="group",
        xaxis=axis("largest / smallest median", "ratio"),
        yaxis=names_axis("axis", autorange="reversed"),
    )


def effect(group: PointGroup, axis_: AxisLabels, metric: Metric) -> float | None:
    """Return the largest over the smallest median of an axis's values; None if one is not above zero.

    Worked example: medians of 200, 100 and 150 cycles are an effect of 2.
    """
    medians = [float(np.median(values)) for values in _by_value(group, axis_, metric).values()]
    return max(medians) / min(medians) if min(medians) > 0 else None


def _by_value(group: PointGroup, axis_: AxisLabels, metric: Metric) -> Mapping[str, np.ndarray[Any, Any]]:
    """Return the objective's values at each value of the axis that ran, in the order of the points."""
    found: dict[str, list[float]] = {label: [] for label in axis_.labels}
    for label, row in zip(group.labels(axis_), group.rows, strict=True):
        found[label].append(row["objectives"][metric.name])
    return {label: np.array(values) for label, values in found.items() if values}
