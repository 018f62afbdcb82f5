"""Roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): useful MACs a cycle against MACs a byte of DRAM."""

from collections.abc import Iterator, Mapping
from typing import Any

from dsasim.config.schemas import design_from
from dsasim.model.dram_preset import peak_bytes_per_cycle
from dsasim.report.figures import head_sum, kept_positions, layer_name
from dsasim.report.html.figure import BLUE, GREEN, GREY, VERMILION, Figure, figure, log_axis
from dsasim.report.html.label import hover
from dsasim.sim.engine import design_of
from dsasim.sim.over_time import LayerKey, OverTime

RooflinePoint = tuple[str, float, float]
"""What it is of, MACs a byte, MACs a cycle."""


def roofline(result: Mapping[str, Any], over_time: OverTime | None) -> Figure:
    """Draw both roofs of the design, the run, and (with what was seen of it) each layer's attention and each head."""
    arch = design_from(result["arch"])
    peak_macs, peak_bytes = float(design_of(arch).macs().array), float(peak_bytes_per_cycle(arch))
    kinds = {"run": [run_point(result)]}
    if over_time is not None:
        kinds |= {"layer": list(layer_points(result, over_time)), "head": list(head_points(result, over_time))}
    shown = [x for points in kinds.values() for _, x, _ in points if x > 0]
    ridge = peak_macs / peak_bytes
    low, high = min([*shown, ridge]) / 4, max([*shown, ridge]) * 4
    rates = [y for points in kinds.values() for _, _, y in points if y > 0]
    roof = {
        "type": "scatter",
        "mode": "lines",
        "name": f"roofs: {peak_bytes:.4g} bytes/cycle, {peak_macs:,.0f} MACs/cycle",
        "x": [low, ridge, high],
        "y": [low * peak_bytes, peak_macs, peak_macs],
        "line": {"color": GREY, "width": 2},
        "hovertemplate": hover("at %{x:.3g} MACs/byte at most %{y:.4g} MACs/cycle"),
    }
    data = [roof, *(_points(kind, points) for kind, points in reversed(kinds.items()) if points)]
    return figure(
        data,
        430,
        xaxis=log_axis("operational intensity", "MACs/DRAM byte", low, high),
        yaxis=log_axis("useful MACs", "MACs/cycle", min([low * peak_bytes, *rates]) / 1.5, peak_macs * 1.5),
    )


def run_point(result: Mapping[str, Any]) -> RooflinePoint:
    """Return the whole run: SDDMM, SpMM and dense MACs; prediction is overhead, its bytes count and its MACs do not."""
    counters = result["counters"]
    macs = counters["macs_sddmm"] + counters["macs_spmm"] + counters.get("macs_dense", 0)
    moved = counters["dram_read_bytes"] + counters["dram_write_bytes"]
    return "run", macs / max(moved, 1), macs / result["cycles"]


def layer_points(result: Mapping[str, Any], over_time: OverTime) -> Iterator[RooflinePoint]:
    """Yield the attention of each layer: 2 nnz d_head MACs over what its transfers asked for."""
    for layer in result["layers"]:
        macs = _macs_per_position(result) * head_sum(layer, "nnz")
        cycles = head_sum(layer, "cycles")
        if (moved := over_time.layer_bytes[_key(layer)]) and cycles:
            yield f"layer {layer_name(layer)}", macs / moved, macs / cycles


def head_points(result: Mapping[str, Any], over_time: OverTime) -> Iterator[RooflinePoint]:
    """Yield each head: the bytes that it alone wants, and an equal share of what its layer's heads want together.

    A head's cycles run from the end of the head before it, so the first head of a layer has the layer's start in it.
    Worked example: heads of 100 and 300 bytes in a layer of 600: each adds 100 of the 200 that are nobody's own.
    """
    for layer in result["layers"]:
        key, heads = _key(layer), layer["heads"]
        own = {head["head"]: over_time.head_bytes[key, head["head"]] for head in heads}
        shared = (over_time.layer_bytes[key] - sum(own.values())) / len(heads)
        for head in heads:
            macs, moved = _macs_per_position(result) * head["nnz"], own[head["head"]] + shared
            if moved and head["cycles"]:
                yield f"layer {layer_name(layer)} head {head['head']}", macs / moved, macs / head["cycles"]


def _key(layer: Mapping[str, Any]) -> LayerKey:
    return layer["layer"], layer.get("sequence")


def _macs_per_position(result: Mapping[str, Any]) -> float:
    """Return 2 d_head, from the counters: a result does not hold the trace's sizes."""
    return float((result["counters"]["macs_sddmm"] + result["counters"]["macs_spmm"]) / max(kept_positions(result), 1))


def _points(kind: str, points: list[RooflinePoint]) -> dict[str, Any]:
    names, intensities, rates = zip(*points, strict=True)
    look = {
        "run": {"color": VERMILION, "symbol": "star-open", "size": 16, "line": {"width": 2}},
        "layer": {"color": BLUE, "symbol": "diamond", "size": 11},
        "head": {"color": GREEN, "symbol": "circle-open", "size": 8},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": {"run": "the run", "layer": "attention of a layer", "head": "a head"}[kind],
        "x": list(intensities),
        "y": list(rates),
        "text": list(names),
        "marker": look[kind],
        "hovertemplate": hover("%{text}<br>%{x:.3g} MACs/byte, %{y:.4g} MACs/cycle"),
    }
