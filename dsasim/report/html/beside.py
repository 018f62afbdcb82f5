"""What stands beside a design: dense machines, GPUs, masks made by other rules, and the dense products around it."""

from collections.abc import Mapping
from typing import Any

from dsasim.report.figures import OTHER_MASKS, QUALITY, head_sum, layer_name
from dsasim.report.html.figure import BLUE, GREY, ORANGE, PALETTE, PURPLE, Figure, axis, figure, names_axis
from dsasim.report.html.label import hover, label, lines
from dsasim.report.html.parts import PageTable
from dsasim.report.style import number

THIS_DESIGN = label("this design")
MASK_COLOURS = {THIS_DESIGN: BLUE, "oracle": ORANGE, "random": PURPLE, "sink + window": GREY}


def baseline_cycles(result: Mapping[str, Any]) -> Figure:
    """Draw the cycles of the dense machines and of the design."""
    baseline = result["baseline"]
    cycles = {lines("dense,", "same MACs"): baseline["dense_cycles"]}
    if baseline["iso_area"] is not None:
        cycles[lines("dense,", "same area")] = baseline["iso_area"]["cycles"]
    cycles[THIS_DESIGN] = result["cycles"]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": list(cycles),
        "x": list(cycles.values()),
        "marker": {"color": [BLUE if name == THIS_DESIGN else GREY for name in cycles]},
        "hovertemplate": hover("%{y}: %{x:,} cycles"),
    }
    names = names_axis("machine", autorange="reversed")
    return figure([trace], 110 + 36 * len(cycles), xaxis=axis("time", "cycles", rangemode="tozero"), yaxis=names)


def gpu_table(rows: list[Mapping[str, Any]]) -> PageTable:
    """Show every plain value of the GPU baselines, a row each; ratios are GPU / ours, above 1 is better for us."""
    columns = list(
        dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, dict | list))
    )
    words = [name for name in columns if any(isinstance(row.get(name), str) for row in rows)]
    cells = [[_text(row.get(name)) for name in columns] for row in rows]
    titles = {name: name.replace("_", " ") for name in columns}
    return PageTable(list(titles.values()), cells, [titles[name] for name in words])


def quality_figure(quality: Mapping[str, Any]) -> Figure:
    """Draw what the design's masks reach beside others that keep as many keys in every row."""
    masks = {THIS_DESIGN: quality} | {words: quality[name] for words, name in OTHER_MASKS.items()}
    data = [
        {
            "type": "bar",
            "name": words,
            "x": list(QUALITY),
            "y": [of[measure] for measure in QUALITY.values()],
            "marker": {"color": MASK_COLOURS[words]},
            "hovertemplate": hover("%{x}, $words: %{y:.3f}", words=words),
        }
        for words, of in masks.items()
    ]
    return figure(data, 330, barmode="group", xaxis=names_axis("figure of quality"), yaxis=axis("value", "ratio"))


def layer_cycles(result: Mapping[str, Any]) -> Figure:
    """Draw what part of each layer's time is attention and what its dense products."""
    layers = [layer_name(layer) for layer in result["layers"]]
    phases = list(dict.fromkeys(phase for layer in result["layers"] for phase in layer.get("dense_cycles", {})))
    parts = {"attention": [head_sum(layer, "cycles") for layer in result["layers"]]}
    parts |= {phase: [layer.get("dense_cycles", {}).get(phase, 0) for layer in result["layers"]] for phase in phases}
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": layers,
            "x": cycles,
            "marker": {"color": PALETTE[at % len(PALETTE)]},
            "hovertemplate": hover("layer %{y}, $name: %{x:,} cycles", name=name),
        }
        for at, (name, cycles) in enumerate(parts.items())
    ]
    rows = axis("layer", "number", type="category", autorange="reversed")
    return figure(data, 200 + 30 * len(layers), barmode="stack", xaxis=axis("time", "cycles"), yaxis=rows)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
