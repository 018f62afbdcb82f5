"""Several designs on one trace, a column each: what came of them, and where their cycles and joules went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dsasim.config.changes import design_words
from dsasim.report.style import STALL_WORDS, energy_text, new_table, percent, time_text, times
from dsasim.report.text import density, document_of
from dsasim.report.title import trace_words

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.sim.result import UnitReport

SCHEMA_VERSION = 1
DESIGNS_A_TABLE = 4
"""More columns than these beside the words do not fit 100 characters."""

LEAST_SHARE = 0.01
"""Components of less than this share of every design's energy are summed."""

QUALITY = {
    "captured mass": "captured_mass_ratio",
    "mask recall": "mask_recall_ratio",
    "output error": "output_rel_l2",
}

BUSY = "busy"

Row = tuple[str, Sequence[str]]


def comparison_json(results: Sequence[RunResult]) -> dict[str, Any]:
    """The results as JSON-ready values: `runs` holds what `dsasim run --json` writes of each."""
    return {"schema_version": SCHEMA_VERSION, "runs": [result.to_json() for result in results]}


def print_comparison(results: Sequence[RunResult], console: Console) -> None:
    """Print `results` on `console`, at most 100 columns wide."""
    console.print(_title(results), style="bold")
    for note in dict.fromkeys(note for result in results for note in result.notes):
        console.print(note, style="yellow")
    labels = _labels(results)
    for first in range(0, len(results), DESIGNS_A_TABLE):
        part = slice(first, first + DESIGNS_A_TABLE)
        console.print(_table(results[part], labels[part], results[0]))
    if any(result.machine.predictor_free for result in results):
        console.print("≤, ≥: prediction is free of charge there, so these are bounds")


def _title(results: Sequence[RunResult]) -> str:
    """The trace, and what was set in all designs alike."""
    common = [change for change in results[0].changes if all(change in each.changes for each in results)]
    return design_words(trace_words(document_of(results[0])), common)


def _labels(results: Sequence[RunResult]) -> list[str]:
    """Each design's name, and where two share one its place among the designs: the third is `name (3)`."""
    names = [result.arch.name for result in results]
    return [name if names.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(names, 1)]


def _table(results: Sequence[RunResult], labels: Sequence[str], first: RunResult) -> Table:
    table = new_table("", *labels)
    sections = (
        ("", _figures(results, first)),
        ("PE array's time", _array_time(results)),
        ("time at work", _busy(results)),
        ("energy", _energy(results)),
    )
    for title, rows in sections:
        if title:
            table.add_section()
            table.add_row(title, style="bold")
        for words, cells in rows:
            table.add_row(words, *cells)
    return table


def _figures(results: Sequence[RunResult], first: RunResult) -> Iterator[Row]:
    """The answer: time, energy, area, each against dense hardware and the first design, and the quality."""
    time_ns, energy_pj = _time_ns(first), first.cost.energy_pj["total"]
    yield "cycles", [f"{each.machine.cycles:,}" for each in results]
    yield "time", [_bound("≥ ", each) + time_text(_time_ns(each)) for each in results]
    yield "speed-up over the first", [times(time_ns / _time_ns(each)) for each in results]
    yield "speed-up over dense", [_bound("≤ ", each) + _of_dense(each, "speedup_vs_dense") for each in results]
    yield "at equal area", [_at_equal_area(each) for each in results]
    yield "energy", [energy_text(each.cost.energy_pj["total"]) for each in results]
    yield "energy saving over the first", [times(energy_pj / each.cost.energy_pj["total"]) for each in results]
    yield (
        "energy saving over dense",
        [_bound("≤ ", each) + _of_dense(each, "energy_vs_dense_ratio") for each in results],
    )
    yield "area", [f"{each.cost.area_mm2['total']:.3f} mm²" for each in results]
    yield "density", [percent(density(each.machine)) for each in results]
    if all(each.quality is None for each in results):
        return
    for words, name in QUALITY.items():
        yield words, ["" if each.quality is None else f"{getattr(each.quality.ours, name):.3f}" for each in results]


def _time_ns(result: RunResult) -> float:
    return result.machine.cycles / float(result.arch.clock_ghz)


def _bound(sign: str, result: RunResult) -> str:
    """A free prediction makes a figure a bound."""
    return sign if result.machine.predictor_free else ""


def _of_dense(result: RunResult, name: str) -> str:
    return "" if result.baseline is None else times(getattr(result.baseline, name))


def _at_equal_area(result: RunResult) -> str:
    baseline = result.baseline
    if baseline is None or baseline.iso_area is None:
        return ""
    return _bound("≤ ", result) + times(baseline.iso_area.speedup_ratio)


def _array_time(results: Sequence[RunResult]) -> Iterator[Row]:
    """Where the lanes' cycles went, all lanes together; what nobody waited for is left out."""
    for owner, words in {BUSY: BUSY, **STALL_WORDS}.items():
        if any(_owned(each.machine.units["pe_array"], owner) for each in results):
            yield words, [_share(each, "pe_array", owner) for each in results]


def _busy(results: Sequence[RunResult]) -> Iterator[Row]:
    """The share of its time that each other unit worked."""
    names = dict.fromkeys(name for each in results for name in each.machine.units)
    for name in names:
        if name != "pe_array" and not name.startswith(("lane_", "dma_")):
            yield name, [_share(each, name, BUSY) for each in results]


def _owned(unit: UnitReport, owner: str) -> int:
    """Return the cycles that a unit worked, or waited for one reason."""
    return unit.busy_cycles if owner == BUSY else unit.stall_cycles[owner]


def _share(result: RunResult, name: str, owner: str) -> str:
    """Return a part of a unit's time as a percentage; nothing for a unit that the design lacks or never used."""
    unit = result.machine.units.get(name)
    if unit is None or not unit.busy_cycles:
        return ""
    return percent(_owned(unit, owner) / (unit.busy_cycles + sum(unit.stall_cycles.values())))


def _energy(results: Sequence[RunResult]) -> Iterator[Row]:
    """Shares of the components, the largest first by their sum, small ones together."""
    shares = [
        {name: pj / each.cost.energy_pj["total"] for name, pj in each.cost.energy_pj.items() if name != "total"}
        for each in results
    ]
    names = sorted({name for each in shares for name in each}, key=lambda name: -sum(e.get(name, 0) for e in shares))
    large = [name for name in names if max(each.get(name, 0) for each in shares) >= LEAST_SHARE]
    for name in large:
        yield name, [percent(each[name]) if each.get(name) else "" for each in shares]
    rest = [1 - sum(each.get(name, 0) for name in large) for each in shares]
    if len(large) < len(names):
        yield "all others", [percent(max(share, 0)) for share in rest]
