"""Figures as plain Plotly JSON (https://plotly.com/javascript/reference): no import of plotly, and tests validate them.

Colours of text, grid and background are the page's (`templates`), so a figure serves the light and the dark theme.
Texts are plain strings, drawn as they are written; what is in Plotly's own markup says so (`label.Markup`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
"""`data` and `layout`."""

FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW, GREY = (
    *("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"),
    *("#f0e442", "#8c8c8c"),
)
"""Okabe and Ito's palette, as in `report.style.COLOURS`."""

PALETTE = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW, VERMILION)
"""Colours of things without an order."""

SEQUENTIAL = "Cividis"
"""Colour scale of heat maps: the same order of lightness to all readers."""


def figure(data: Sequence[Mapping[str, Any]], height: int, **layout: Any) -> Figure:
    """Return a figure of this many pixels height, its legend below the plot."""
    common = {
        "height": height,
        "margin": {"l": 16, "r": 16, "t": 34, "b": 16},
        "font": {"family": FONT, "size": 12},
        "hoverlabel": {"align": "left"},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
    }
    return {"data": list(data), "layout": common | layout}


def axis(title: str, unit: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis: its title says what it shows and, but for names, in which unit."""
    text = f"{title} ({unit})" if unit else title
    return {"title": {"text": text, "standoff": 8}, "automargin": True, "ticks": "outside", "ticklen": 5, **more}


def names_axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis of names."""
    return axis(title, type="category", **more)


def log_axis(title: str, unit: str, low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis from `low` to `high`: powers of ten, and 2 and 5 of each if they are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    span = [math.log10(low), math.log10(high)]
    return axis(title, unit, type="log", range=span, tickvals=ticks, ticktext=[_short(tick) for tick in ticks])


def _short(tick: float) -> str:
    """Write 2000 as Plotly does on its other axes: 2k."""
    size, letter = next(
        ((size, letter) for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if tick >= size), (1, "")
    )
    return f"{tick / size:g}{letter}"


def colour_bar(title: str, unit: str) -> dict[str, Any]:
    """Return a colour bar, its title upright beside it."""
    return {"title": {"text": f"{title} ({unit})", "side": "right"}, "thickness": 14}


def templates() -> dict[str, Any]:
    """Return the two themes as Plotly templates; backgrounds are opaque, so that exported pictures are readable."""
    return {
        "light": _template("#ffffff", "#1f2328", "#e3e6ea"),
        "dark": _template("#16191d", "#e6e8eb", "#33383f"),
    }


def _template(background: str, ink: str, grid: str) -> dict[str, Any]:
    lines = {"gridcolor": grid, "linecolor": grid, "zerolinecolor": grid, "tickcolor": grid}
    return {
        "layout": {
            "paper_bgcolor": background,
            "plot_bgcolor": background,
            "font": {"color": ink},
            "xaxis": lines,
            "yaxis": lines,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8c8c8c", "activecolor": ink},
        }
    }
