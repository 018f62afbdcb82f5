"""The printed result of a run: the answer first, then who waited for whom, what it cost, and each layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dsasim.report.style import STALL_WORDS, energy_text, new_table, percent, time_text, times

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.baseline.dense import Baseline
    from dsasim.baseline.gpu import GpuBaseline
    from dsasim.baseline.peak import Peak
    from dsasim.quality.measure import Quality
    from dsasim.sim.result import LayerReport, MachineResult

WITH_MACS = ("predictor", "pe_array")
MAPPING_WORDS = {"token_parallel": "token-parallel", "systolic": "systolic"}


GPU_WORDS = (
    "rooflines: published efficiencies, the time of a launch assumed; other shape: published of another length, head"
    " size or mask; assumed: from memory or of another GPU"
)


def print_result(result: RunResult, console: Console) -> None:
    """Print `result` on `console`, at most 100 columns wide."""
    console.print(_title(result), style="bold")
    for note in result.notes:
        console.print(note, style="yellow")
    console.print(_headline(result))
    console.print()
    console.print("who waited for what", style="bold")
    console.print(_units_table(result.machine))
    console.print("what it costs", style="bold")
    console.print(_cost_table(result.cost.energy_pj, result.cost.area_mm2))
    if result.baseline is not None:
        console.print("dense attention on GPUs, batch 1", style="bold")
        console.print(_gpu_table(result.baseline.gpu))
        console.print(f"{GPU_WORDS}; {peak_text(result.baseline.peak)}")
    console.print("each layer", style="bold")
    console.print(_layers_table(result.machine.layers))


def density(machine: MachineResult) -> float:
    """Return kept / allowed positions over all heads; a head's allowed positions are its nnz / density."""
    heads = [head for layer in machine.layers for head in layer.heads if head.density > 0]
    allowed = sum(head.nnz / head.density for head in heads)
    return sum(head.nnz for head in heads) / allowed if allowed else 0.0


def _title(result: RunResult) -> str:
    layers = ", ".join(str(layer.layer) for layer in result.machine.layers)
    heads = sum(len(layer.heads) for layer in result.machine.layers)
    trace = result.trace
    # a model's own name, without how its weights were stored
    model = trace.model.split(" (")[0]
    counted = "1 head" if heads == 1 else f"{heads} heads"
    return f"{result.arch.name} on {trace.name} ({trace.kind}, {model}; layers {layers}; {counted})"


def _headline(result: RunResult) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, *cells in _headline_rows(result):
        grid.add_row(name, *cells)
    return grid


def _headline_rows(result: RunResult) -> Iterator[tuple[str, str, str]]:
    machine = result.machine
    clock_ghz = float(result.arch.clock_ghz)
    yield "cycles", f"{machine.cycles:,}", f"{time_text(machine.cycles / clock_ghz)} at {clock_ghz:g} GHz"
    bound = "at most " if result.machine.predictor_free else ""
    if result.baseline is not None:
        yield from _speedup_rows(result, result.baseline, bound)
        if result.scope != "attention":
            yield _attention_row(machine, result.baseline, bound)
    yield _energy_row(result, bound)
    if bound:
        yield "", "", "upper bounds: prediction is free of charge in this run"
    yield "density", percent(density(machine)), "of the allowed positions are kept"
    if result.quality is not None:
        yield from _quality_rows(result.quality)


def _speedup_rows(result: RunResult, baseline: Baseline, bound: str) -> Iterator[tuple[str, str, str]]:
    """A free prediction makes every ratio an upper bound, and it is printed as one."""
    from dsasim.baseline.dense import iso_area_obstacle

    mapping = MAPPING_WORDS[baseline.dense_mapping]
    text = f"against dense, same {result.arch.macs} MACs ({mapping}, {baseline.dense_cycles:,} cycles)"
    yield "speed-up", bound + times(baseline.speedup_vs_dense), text
    if baseline.iso_area is not None:
        speedup = bound + times(baseline.iso_area.speedup_ratio)
        yield "at equal area", speedup, f"against dense with {baseline.iso_area.lanes} lanes in our area"
    elif result.arch.predictor.method != "dense":
        yield "at equal area", "", f"no other dense machine: {iso_area_obstacle(result.arch, result.cost)}"


def _attention_row(machine: MachineResult, baseline: Baseline, bound: str) -> tuple[str, str, str]:
    """Amdahl's law: what attention alone gains, and how little of the time it is."""
    ours, dense = machine.attention_cycles, baseline.dense_attention_cycles
    text = (
        f"for attention alone, {percent(ours / machine.cycles)} of this run's cycles,"
        f" {percent(dense / baseline.dense_cycles)} of dense's"
    )
    return "", bound + times(dense / ours), text


def _energy_row(result: RunResult, bound: str) -> tuple[str, str, str]:
    total = energy_text(result.cost.energy_pj["total"])
    if result.baseline is None:
        return "energy", total, ""
    return "energy", total, f"dense takes {bound}{times(result.baseline.energy_vs_dense_ratio)} as much"


def _quality_rows(quality: Quality) -> Iterator[tuple[str, str, str]]:
    figures = {
        "captured mass": "captured_mass_ratio",  # beside masks that keep as many keys in each row
        "mask recall": "mask_recall_ratio",
        "output error": "output_rel_l2",
    }
    for words, name in figures.items():
        others = (
            f"{label} {getattr(reference, name):.3f}"
            for label, reference in (
                ("oracle", quality.oracle),
                ("random", quality.random),
                ("sink + window", quality.sink_window),
            )
        )
        yield words, f"{getattr(quality.ours, name):.3f}", "   ".join(others)


def _units_table(machine: MachineResult) -> Table:
    """One row a unit, lanes summed in pe_array; where there are MACs, how many of those offered were useful."""
    table = new_table("unit", "busy", "MACs used", "top stall", "of its time")
    for name, unit in machine.units.items():
        if name.startswith("lane_"):
            continue
        reason, cycles = _top_stall(unit.stall_cycles)
        offered = unit.busy_cycles + sum(unit.stall_cycles.values())
        share = percent(cycles / offered) if offered and reason else ""
        busy = percent(unit.busy_cycles / offered) if offered else ""
        used = percent(unit.utilisation_ratio) if name in WITH_MACS and unit.busy_cycles else ""
        table.add_row(name, busy, used, STALL_WORDS.get(reason, reason), share)
    return table


def _top_stall(stall_cycles: Mapping[str, int]) -> tuple[str, int]:
    """Return the reason with the most cycles (ties: the first by name), or nothing if the unit never waited."""
    reason, cycles = min(stall_cycles.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return (reason, cycles) if cycles else ("", 0)


def _cost_table(energy_pj: Mapping[str, float], area_mm2: Mapping[str, float]) -> Table:
    table = new_table("component", "energy", "share", "area mm²", "share")
    names = [name for name in dict.fromkeys((*energy_pj, *area_mm2)) if name != "total"]
    for name in (*names, "total"):
        energy, area = energy_pj.get(name, 0.0), area_mm2.get(name, 0.0)
        if energy or area or name == "total":
            energy_cells = (energy_text(energy), _share(energy, energy_pj)) if energy else ("", "")
            area_cells = (f"{area:.4f}", _share(area, area_mm2)) if area else ("", "")
            table.add_row(name, *energy_cells, *area_cells, style="bold" if name == "total" else None)
    return table


def _share(part: float, whole: Mapping[str, float]) -> str:
    return percent(part / whole["total"]) if whole["total"] else ""


def _gpu_table(baselines: Iterable[GpuBaseline]) -> Table:
    """One row a GPU and kernel; ratios are its time over ours, as it is and for the same peak or bandwidth."""
    table = new_table("GPU", "kernel", "time", "launches", "speed-up", "for its peak", "for its GB/s", "from")
    for entry in baselines:
        ratios = (entry.speedup_ratio, entry.peak_normalised_ratio, entry.bandwidth_normalised_ratio)
        took = (time_text(entry.time_ns), percent(entry.launch_ns / entry.time_ns))
        table.add_row(
            entry.gpu, entry.kernel, *took, *map(times, ratios), gpu_basis(entry.basis, entry.assumed, entry.same_shape)
        )
    return table


def gpu_basis(basis: str, assumed: bool, same_shape: bool) -> str:
    """What a GPU's time rests on, the weakest of it: assumed figures, figures of another shape, or its basis."""
    if assumed:
        return "assumed"
    return basis if same_shape else {"roofline": "other shape", "measured": "extrapolated"}[basis]


def peak_text(peak: Peak) -> str:
    """What the normalised ratios divide by: which MACs count, each as how much of one of the PE array."""
    own = f"{peak.array_macs:,} MACs of {peak.array_bits} bits"
    if peak.predictor_macs and peak.predictor_bits is not None:
        worth = (peak.array_bits / peak.predictor_bits) ** 2
        own += f" and {peak.predictor_macs:,} of {peak.predictor_bits} for the prediction, {worth:g} to one"
    return f"our peak: {own}: {peak.tflops:.3g} TFLOP/s; our DRAM: {peak.memory_gbps:.3g} GB/s"


def _layers_table(layers: tuple[LayerReport, ...]) -> Table:
    """One row a layer; reuse is kept positions a key load: 1 would be each row served alone."""
    table = new_table("layer", "cycles", "heads", "kept", "key loads", "reuse", "plan steps")
    for layer in layers:
        nnz, loads, steps = (
            sum(getattr(head, name) for head in layer.heads) for name in ("nnz", "k_loads", "plan_steps")
        )
        reuse = times(nnz / loads) if loads else ""
        row = (layer.cycles, len(layer.heads), nnz, loads, reuse, steps)
        table.add_row(str(layer.layer), *(cell if isinstance(cell, str) else f"{cell:,}" for cell in row))
    return table
