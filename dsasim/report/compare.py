"""Several designs on one trace, a column each: what came of them, and where their cycles and joules went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dsasim.config.changes import design_words
from dsasim.inputs.printable import printable
from dsasim.report.figures import (
    BUSY,
    QUALITY,
    Result,
    components,
    cost_share,
    density,
    gain,
    owned_cycles,
    products_unit,
    unit_share,
)
from dsasim.report.style import STALL_WORDS, energy_text, new_table, percent, time_text, times, where_known
from dsasim.report.title import trace_words

if TYPE_CHECKING:
    from dsasim.api import RunResult

SCHEMA_VERSION = 1
DESIGNS_A_TABLE = 4
"""More columns than these beside the words do not fit 100 characters."""

LEAST_SHARE = 0.01
"""Components of less than this share of every design's energy are summed."""

TableRow = tuple[str, Sequence[str]]


def comparison_json(results: Sequence[RunResult]) -> dict[str, Any]:
    """The results as JSON-ready values: `runs` holds what `dsasim run --json` writes of each."""
    return {"schema_version": SCHEMA_VERSION, "runs": [result.to_json() for result in results]}


def print_comparison(results: Sequence[RunResult], console: Console) -> None:
    """Print `results` on `console`, at most 100 columns wide."""
    runs = [result.to_json() for result in results]
    console.print(_title(runs), style="bold")
    for note in dict.fromkeys(note for run in runs for note in run.get("notes", ())):
        console.print(note, style="yellow")
    labels = _labels(runs)
    for first in range(0, len(runs), DESIGNS_A_TABLE):
        part = slice(first, first + DESIGNS_A_TABLE)
        console.print(_table(runs[part], labels[part], runs[0]))
    if any(run["predictor_free"] for run in runs):
        console.print("≤, ≥: prediction is free of charge there, so these are bounds")


def _title(runs: Sequence[Result]) -> str:
    """The trace, and what was set in all designs alike."""
    common = [change for change in runs[0].get("changes", ()) if all(change in run.get("changes", ()) for run in runs)]
    return printable(design_words(trace_words(runs[0]), common))


def _labels(runs: Sequence[Result]) -> list[str]:
    """Each design's name, and where two share one its place among the designs: the third is `name (3)`."""
    names = [run["arch"]["name"] for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(names, 1)]


def _table(runs: Sequence[Result], labels: Sequence[str], first: Result) -> Table:
    table = new_table("", *labels)
    sections = (
        ("", _figures(runs, first)),
        ("PE array's time", _array_time(runs)),
        ("time at work", _busy(runs)),
        ("energy", _energy(runs)),
    )
    for title, rows in sections:
        if title:
            table.add_section()
            table.add_row(title, style="bold")
        for words, cells in rows:
            table.add_row(words, *cells)
    return table


def _figures(runs: Sequence[Result], first: Result) -> Iterator[TableRow]:
    """The answer: time, energy, area, each against dense hardware and the first design, and the quality."""
    energies = [run["energy_pj"]["total"] for run in runs]
    yield "cycles", [f"{run['cycles']:,}" for run in runs]
    yield "time", [_bound("≥ ", run) + time_text(run["time_ns"]) for run in runs]
    yield "speed-up over the first", [times(gain(first["time_ns"], run["time_ns"])) for run in runs]
    yield "speed-up over dense", [_of_dense(run, "speedup_vs_dense") for run in runs]
    yield "at equal area", [_at_equal_area(run) for run in runs]
    yield "energy", [energy_text(energy) for energy in energies]
    yield "energy saving over the first", [times(gain(first["energy_pj"]["total"], energy)) for energy in energies]
    yield "energy saving over dense", [_of_dense(run, "energy_vs_dense_ratio") for run in runs]
    yield "area", [f"{run['area_mm2']['total']:.3f} mm²" for run in runs]
    yield "density", [where_known(percent, density(run)) for run in runs]
    if all(run["quality"] is None for run in runs):
        return
    for words, name in QUALITY.items():
        yield words, ["" if run["quality"] is None else f"{run['quality'][name]:.3f}" for run in runs]


def _bound(sign: str, run: Result) -> str:
    """A free prediction makes a figure a bound."""
    return sign if run["predictor_free"] else ""


def _of_dense(run: Result, name: str) -> str:
    return "" if run["baseline"] is None else _bound("≤ ", run) + times(run["baseline"][name])


def _at_equal_area(run: Result) -> str:
    iso_area = None if run["baseline"] is None else run["baseline"]["iso_area"]
    return "" if iso_area is None else _bound("≤ ", run) + times(iso_area["speedup_ratio"])


def _array_time(runs: Sequence[Result]) -> Iterator[TableRow]:
    """Where the lanes' cycles went, all lanes together; what nobody waited for is left out."""
    for owner, words in {BUSY: BUSY, **STALL_WORDS}.items():
        if any(owned_cycles(run["units"][products_unit(run)], owner) for run in runs):
            yield words, [_share(run, products_unit(run), owner) for run in runs]


def _busy(runs: Sequence[Result]) -> Iterator[TableRow]:
    """The share of its time that each other unit worked."""
    arrays = {products_unit(run) for run in runs}
    names = dict.fromkeys(name for run in runs for name in run["units"])
    for name in names:
        if name not in arrays and not name.startswith(("lane_", "dma_")):
            yield name, [_share(run, name, BUSY) for run in runs]


def _share(run: Result, name: str, owner: str) -> str:
    """Return a part of a unit's time as a percentage; nothing for a unit that the design lacks or never used."""
    unit = run["units"].get(name)
    used = unit is not None and unit["busy_cycles"]
    return where_known(percent, unit_share(unit, owner)) if used else ""


def _energy(runs: Sequence[Result]) -> Iterator[TableRow]:
    """Shares of the components, the largest first by their sum, small ones together."""
    costs = [run["energy_pj"] for run in runs]
    shares = {name: [cost_share(each, name) or 0.0 for each in costs] for name in components(*costs)}
    names = sorted(shares, key=lambda name: -sum(shares[name]))
    large = [name for name in names if max(shares[name]) >= LEAST_SHARE]
    for name in large:
        yield name, [percent(share) if share else "" for share in shares[name]]
    if len(large) < len(names):
        small = [name for name in names if name not in large]
        yield "all others", [percent(sum(shares[name][at] for name in small)) for at in range(len(runs))]
