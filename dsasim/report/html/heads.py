"""Layer by head: density, cycles and reuse as heat maps."""

from collections.abc import Callable, Mapping
from typing import Any

from dsasim.report.figures import layer_name, reuse
from dsasim.report.html.figure import SEQUENTIAL, Figure, axis, colour_bar, figure
from dsasim.report.html.label import hover

Head = Mapping[str, Any]
MEASURES: Mapping[str, tuple[str, str, Callable[[Head], float | None]]] = {
    "density": ("density", "% of allowed positions", lambda head: 100 * float(head["density"])),
    "cycles": ("time", "cycles", lambda head: float(head["cycles"])),
    "reuse": ("reuse", "kept positions per key load", lambda head: reuse(head["nnz"], head["k_loads"])),
}
"""What can be shown of a head: its words, its unit, and how it comes from the result."""


def head_map(result: Mapping[str, Any], measure: str) -> Figure:
    """Draw one of MEASURES, a row a layer (on one sequence) and a column a head.

    Blank where a head was not run or has no such figure.
    """
    words, unit, value = MEASURES[measure]
    layers = {layer_name(layer): {head["head"]: value(head) for head in layer["heads"]} for layer in result["layers"]}
    heads = sorted({head for found in layers.values() for head in found})
    trace = {
        "type": "heatmap",
        "x": heads,
        "y": list(layers),
        "z": [[found.get(head) for head in heads] for found in layers.values()],
        **({"zmin": 0, "zmax": _highest(layers)} if measure == "density" else {}),
        "xgap": 1,
        "ygap": 1,
        "colorscale": SEQUENTIAL,
        "colorbar": colour_bar(words, unit),
        "hovertemplate": hover("layer %{y} head %{x}<br>$words: %{z:,.4g} $unit", words=words, unit=unit),
    }
    return figure(
        [trace],
        max(320, 120 + 30 * len(layers)),
        xaxis=axis("query head", "number", showgrid=False, **({"dtick": 1} if len(heads) <= 16 else {})),
        yaxis=axis("layer", "number", type="category", autorange="reversed", showgrid=False),
    )


def _highest(layers: Mapping[str, Mapping[int, float | None]]) -> float:
    """Densities are shown from 0: where all heads keep the same share, that is seen."""
    return max(value or 0.0 for found in layers.values() for value in found.values())
