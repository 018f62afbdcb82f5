"""Where the cycles of each unit went: a stacked bar a unit, and the same over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsasim.report.figures import BUSY, owned_cycles, unit_share
from dsasim.report.html.figure import SEQUENTIAL, Figure, axis, colour_bar, figure, names_axis
from dsasim.report.html.label import hover
from dsasim.report.style import COLOURS, STALL_WORDS
from dsasim.sim.over_time import OWNERS, OverTime

WORDS: Mapping[str, str] = {BUSY: BUSY, **STALL_WORDS}


def shown_units(result: Mapping[str, Any]) -> list[str]:
    """Return the units in their order: sums in place of lanes, single engines in place of their sum."""
    return [name for name in result["units"] if not name.startswith("lane_") and name != "dma"]


def unit_cycles(result: Mapping[str, Any]) -> Figure:
    """Draw a bar a unit: busy, then every stall reason, in per cent of the unit's cycles."""
    units = result["units"]
    names = shown_units(result)
    data = []
    for owner in COLOURS:
        shares = [unit_share(units[name], owner) or 0.0 for name in names]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": WORDS[owner],
                "y": names,
                "x": _rounded(100 * np.array(shares)),
                "customdata": [owned_cycles(units[name], owner) for name in names],
                "marker": {"color": COLOURS[owner]},
                "hovertemplate": hover("%{y}<br>$owner: %{x:.1f} % (%{customdata:,} cycles)", owner=WORDS[owner]),
            }
        )
    return figure(
        data,
        120 + 26 * len(names),
        barmode="stack",
        xaxis=axis("share of the unit's cycles", "%", range=[0, 100]),
        yaxis=names_axis("unit", autorange="reversed"),
    )


def busy_over_time(over_time: OverTime, names: Sequence[str]) -> Figure:
    """Draw a row a unit, coloured by how much of each stretch of time it was busy."""
    trace = {
        "type": "heatmap",
        "y": names,
        "x0": over_time.bin_cycles / 2,
        "dx": over_time.bin_cycles,
        "z": [_rounded(100 * over_time.shares(name)[0]) for name in names],
        "zmin": 0,
        "zmax": 100,
        "colorscale": SEQUENTIAL,
        "colorbar": colour_bar("busy", "% of cycles"),
        "hovertemplate": hover("%{y}, cycle %{x:,.0f}<br>busy %{z:.1f} %"),
    }
    return figure(
        [trace],
        110 + 24 * len(names),
        xaxis=axis("time", "cycles", showgrid=False),
        yaxis=names_axis("unit", autorange="reversed", showgrid=False),
    )


def owners_over_time(over_time: OverTime, unit: str) -> Figure:
    """Draw one unit: who owned its cycles, stacked to 100 %, stretch after stretch."""
    edges = (over_time.bin_cycles * np.arange(over_time.num_bins + 1)).tolist()
    shares = np.pad(over_time.shares(unit), ((0, 0), (0, 1)), mode="edge")  # a step ends where another would begin
    data = [
        {
            "type": "scatter",
            "mode": "none",
            "stackgroup": "owners",
            "name": WORDS[owner],
            "x": edges,
            "y": _rounded(100 * shares[OWNERS.index(owner)]),
            "line": {"shape": "hv"},
            "fillcolor": COLOURS[owner],
            "hovertemplate": hover("$owner: %{y:.1f} %", owner=WORDS[owner]),
        }
        for owner in COLOURS
    ]
    return figure(
        data,
        330,
        hovermode="x",
        xaxis=axis("time", "cycles", range=[0, edges[-1]], showgrid=False),
        yaxis=axis(f"cycles of {unit}", "%", range=[0, 100]),
    )


def _rounded(values: np.ndarray[Any, np.dtype[Any]]) -> list[float]:
    """Four digits a picture can show, in place of seventeen."""
    return [float(value) for value in np.round(values, 2)]
