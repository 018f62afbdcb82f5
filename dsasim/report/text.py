"""The printed result of a run: the answer first, then who waited for whom, what it cost, and each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dsasim.baseline.peak import Peak
from dsasim.report.figures import (
    BUSY,
    GPU_RATIOS,
    Result,
    components,
    cost_share,
    gpu_basis,
    head_sum,
    launch_share,
    layer_name,
    macs_used,
    num_sequences,
    peak_text,
    rates,
    reuse,
    top_stall,
    unit_share,
)
from dsasim.report.headline import headline
from dsasim.report.style import STALL_WORDS, energy_text, new_grid, new_table, percent, time_text, times, where_known
from dsasim.report.title import run_title

if TYPE_CHECKING:
    from dsasim.api import RunResult

GPU_WORDS = (
    "rooflines: published efficiencies, the time of a launch assumed; other shape: published of another length, head"
    " size or mask; assumed: from memory or of another GPU"
)


def print_result(result: RunResult, console: Console) -> None:
    """Print `result` on `console`, at most 100 columns wide."""
    print_document(result.to_json(), console)


def print_document(result: Result, console: Console) -> None:
    """Print the result that a document holds (`RunResult.to_json`) on `console`, at most 100 columns wide."""
    print_summary(result, console)
    console.print()
    console.print("who waited for what", style="bold")
    console.print(_units_table(result))
    console.print("what it costs", style="bold")
    console.print(_cost_table(result["energy_pj"], result["area_mm2"]))
    if result["baseline"] is not None:
        console.print(f"dense attention on GPUs, batch {num_sequences(result)}", style="bold")
        console.print(_gpu_table(result["baseline"]["gpu"]))
        console.print(f"{GPU_WORDS}; {peak_text(Peak(**result['baseline']['peak']))}")
    console.print("each layer", style="bold")
    console.print(_layers_table(result["layers"]))


def print_summary(result: Result, console: Console) -> None:
    """Print what was run, what must be known before its figures are read, and the answer, of a result document."""
    console.print(run_title(result), style="bold")
    for note in result.get("notes", ()):
        console.print(note, style="yellow")
    console.print(_headline(result))


def _headline(result: Result) -> Table:
    grid = new_grid(3)
    for line in headline(result):
        grid.add_row(*line)
    return grid


def _units_table(result: Result) -> Table:
    """One row a unit, its lanes summed; where there are MACs, how many of those offered were useful."""
    rated = rates(result)
    table = new_table("unit", "busy", "MACs used", "top stall", "of its time")
    for name, unit in result["units"].items():
        if name.startswith("lane_"):
            continue
        reason = top_stall(unit)
        waited = (
            ("", "")
            if reason is None
            else (STALL_WORDS.get(reason, reason), where_known(percent, unit_share(unit, reason)))
        )
        busy, used = where_known(percent, unit_share(unit, BUSY)), macs_used(unit) if name in rated else None
        table.add_row(name, busy, where_known(percent, used), *waited)
    return table


def _cost_table(energy_pj: Mapping[str, float], area_mm2: Mapping[str, float]) -> Table:
    table = new_table("component", "energy", "share", "area mm²", "share")
    for name in (*components(energy_pj, area_mm2), "total"):
        energy, area = energy_pj.get(name, 0.0), area_mm2.get(name, 0.0)
        if energy or area or name == "total":
            energy_cells = (energy_text(energy) if energy else "", where_known(percent, cost_share(energy_pj, name)))
            area_cells = (f"{area:.4f}" if area else "", where_known(percent, cost_share(area_mm2, name)))
            table.add_row(name, *energy_cells, *area_cells, style="bold" if name == "total" else None)
    return table


def _gpu_table(baselines: Iterable[Result]) -> Table:
    """One row a GPU and kernel."""
    table = new_table("GPU", "kernel", "time", "launches", *GPU_RATIOS, "from")
    for gpu in baselines:
        took = (time_text(gpu["time_ns"]), percent(launch_share(gpu)))
        ratios = (times(gpu[name]) for name in GPU_RATIOS.values())
        basis = gpu_basis(gpu["basis"], gpu["assumed"], gpu["same_shape"])
        table.add_row(gpu["gpu"], gpu["kernel"], *took, *ratios, basis)
    return table


def _layers_table(layers: Iterable[Result]) -> Table:
    """One row a layer, on one sequence; reuse is kept positions a key load."""
    table = new_table("layer", "cycles", "heads", "kept", "key loads", "reuse", "plan steps")
    for layer in layers:
        nnz, loads, steps = (head_sum(layer, name) for name in ("nnz", "k_loads", "plan_steps"))
        counts = (f"{count:,}" for count in (layer["cycles"], len(layer["heads"]), nnz, loads))
        table.add_row(layer_name(layer), *counts, where_known(times, reuse(nnz, loads)), f"{steps:,}")
    return table
