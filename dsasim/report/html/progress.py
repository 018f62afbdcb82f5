"""How a search came along: the hypervolume, and each objective, after so many points."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from dsasim.report.html.figure import BLUE, GREY, VERMILION, Figure, axis, figure
from dsasim.report.html.label import hover
from dsasim.report.html.points import PointGroup
from dsasim.report.html.quantities import quantity
from dsasim.sweep.hypervolume import hypervolume
from dsasim.sweep.metrics import Metric

MAX_STEPS = 100
"""Places at which the hypervolume is worked out: it takes milliseconds each."""

X = ("points asked for", "number")


def progress_charts(group: PointGroup) -> Mapping[str, Figure]:
    """Return, by name, the hypervolume (of two objectives or more) and the best so far of each objective."""
    charts = {"hypervolume": _hypervolume(group)} if len(group.metrics) > 1 else {}
    return charts | {f"best {quantity(metric.name).words}": _best(group, metric) for metric in group.metrics}


def hypervolume_shares(group: PointGroup) -> tuple[list[int], list[float]]:
    """Return numbers of points asked for, and what share of the last hypervolume was reached after each.

    Only points that kept every constraint count. With no volume at all, as of a single point, every share is 1.
    """
    rows = sorted((row for row in group.rows if row["status"] == "ok"), key=lambda row: row["evaluation"])
    costs = _costs(group, np.array([group.values(row) for row in rows], np.float64))
    worst = costs.max(axis=0).tolist()
    counts = np.unique(np.linspace(1, len(rows), min(len(rows), MAX_STEPS)).astype(int)).tolist()
    volumes = [hypervolume(costs[:count], worst) for count in counts]
    return (
        [rows[count - 1]["evaluation"] + 1 for count in counts],
        [volume / volumes[-1] if volumes[-1] else 1.0 for volume in volumes],
    )


def _costs(group: PointGroup, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """All objectives minimised, as logarithms where all values are above 0: as the search is told them."""
    signs = np.array([1.0 if metric.sense == "min" else -1.0 for metric in group.metrics])
    positive = (values > 0).all(axis=0)
    return signs * np.where(positive, np.log(np.where(positive, values, 1.0)), values)


def _hypervolume(group: PointGroup) -> Figure:
    counts, shares = hypervolume_shares(group)
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": counts,
        "y": [round(100 * share, 3) for share in shares],
        "line": {"color": BLUE, "width": 2, "shape": "hv"},
        "hovertemplate": hover("%{x} points: %{y:.2f} %"),
    }
    return figure([line], 330, xaxis=axis(*X, rangemode="tozero"), yaxis=axis("hypervolume", "% of the last"))


def _best(group: PointGroup, metric: Metric) -> Figure:
    """Draw an objective of each point, and the best of those that kept every constraint."""
    shown = quantity(metric.name)
    rows = sorted(group.rows, key=lambda row: row["evaluation"])
    counts = [row["evaluation"] + 1 for row in rows]
    values = [row["objectives"][metric.name] / shown.size for row in rows]
    kept = [(count, value) for count, value, row in zip(counts, values, rows, strict=True) if row["status"] == "ok"]
    best = list(accumulate((value for _, value in kept), min if metric.sense == "min" else max))
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "each point",
        "x": counts,
        "y": values,
        "marker": {"color": GREY, "size": 6, "opacity": 0.7},
        "hovertemplate": hover("point %{x}: %{y:,.4g} $unit", unit=shown.unit),
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [count for count, _ in kept],
        "y": best,
        "line": {"color": VERMILION, "width": 2, "shape": "hv"},
        "hovertemplate": hover("after %{x} points: %{y:,.4g} $unit", unit=shown.unit),
    }
    return figure([points, line], 330, xaxis=axis(*X, rangemode="tozero"), yaxis=axis(shown.words, shown.unit))
