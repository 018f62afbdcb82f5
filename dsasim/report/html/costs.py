"""Where the joules and the square millimetres went: components stacked in groups, and both in one table."""

from collections.abc import Mapping, Sequence
from typing import Any

from dsasim.report.figures import components, cost_share
from dsasim.report.html.figure import GREY, PALETTE, Figure, axis, figure, names_axis
from dsasim.report.html.label import hover
from dsasim.report.html.parts import PageTable
from dsasim.report.style import energy_text, percent, where_known

GROUPS: Mapping[str, Sequence[str]] = {
    "DRAM": ("dram", "dram_background"),
    "buffers": tuple(f"buffer_{name}" for name in ("predictor", "k", "v", "score", "q", "output", "mask")),
    "units": ("pe_array", "predictor", "mask_generator", "scheduler", "softmax"),
    "leakage": ("leakage",),
}
"""Components side by side; those that are in no group come after: other buffers, other units."""


def energy_figure(energy_pj: Mapping[str, float]) -> Figure:
    """Draw the energy of a run in microjoules."""
    return _stacked(energy_pj, 1e6, "energy", "µJ")


def area_figure(area_mm2: Mapping[str, float]) -> Figure:
    """Draw the area of a design."""
    return _stacked(area_mm2, 1, "area", "mm²")


def cost_table(energy_pj: Mapping[str, float], area_mm2: Mapping[str, float]) -> PageTable:
    """One row a component, the largest energy first, the total last."""
    names = sorted(components(energy_pj, area_mm2), key=lambda name: (-energy_pj.get(name, 0.0), name))
    rows = [(name, *_cells(name, energy_pj, energy_text), *_cells(name, area_mm2, "{:.4f}".format)) for name in names]
    total = ("total", energy_text(energy_pj["total"]), "", f"{area_mm2['total']:.4f}", "")
    return PageTable(("component", "energy", "of all", "area mm²", "of all"), [*rows, total])


def _cells(name: str, costs: Mapping[str, float], text: Any) -> tuple[str, str]:
    value = costs.get(name, 0.0)
    return (text(value) if value else "", _share(name, costs))


def _share(name: str, costs: Mapping[str, float]) -> str:
    return where_known(percent, cost_share(costs, name))


def _stacked(costs: Mapping[str, float], size: float, quantity: str, unit: str) -> Figure:
    """Draw a bar a group; a component's name stands in its part where there is room, and in what hovers over it."""
    grouped = {name for members in GROUPS.values() for name in members}
    groups = {group: [name for name in members if costs.get(name)] for group, members in GROUPS.items()}
    for name in (name for name, cost in costs.items() if cost and name not in (*grouped, "total")):
        groups["buffers" if name.startswith("buffer_") else "units"].append(name)
    groups = {group: members for group, members in groups.items() if members}
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [group],
            "x": [costs[name] / size],
            "text": [name.removeprefix("buffer_")],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "marker": {"color": GREY if group == "leakage" else PALETTE[at % len(PALETTE)]},
            "showlegend": False,
            "hovertemplate": hover(
                "$name: %{x:.4g} $unit, $share of all", name=name, unit=unit, share=_share(name, costs)
            ),
        }
        for group, members in groups.items()
        for at, name in enumerate(members)
    ]
    return figure(
        data,
        110 + 42 * len(groups),
        barmode="stack",
        uniformtext={"mode": "hide", "minsize": 10},
        xaxis=axis(quantity, unit),
        yaxis=names_axis("group of components", autorange="reversed", categoryarray=list(groups)),
    )
