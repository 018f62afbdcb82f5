"""The printed outcome of a validation: one line a check, then what failed and what was measured."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable

from dsasim.report.style import new_table
from dsasim.validate.check import Cell, Check, CheckTable
from dsasim.validate.result import Validation

STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "measured": "cyan"}
FIGURES = {
    "max_abs": "max abs",
    "max_rel": "max rel",
    "rmse": "RMSE",
    "rel_l1": "rel L1",
    "rel_l2": "rel L2",
    "cosine": "1-cos",
}


LIMITS = (
    "What this validates: results, the work that a mask leaves and, with --trend, the order and slope of times. What no"
    " CPU or GPU can validate is the accelerator's cycles, of which it has no part: those rest on cases worked out by"
    " hand, a cycle-stepped twin, the RTL, bounds checked in every run, and other simulators (README)."
    " What the masks do to a model's perplexity: `dsasim trace evaluate`."
)


def print_validation(result: Validation, console: Console) -> None:
    """Print the outcome, at most 100 columns wide."""
    console.print(title(result), style="bold")
    for note in result.notes:
        console.print(note, style=STYLES["skipped"])
    console.print(", ".join(f"{name} {version}" for name, version in result.versions.items()))
    digests = {"trace": result.trace.sha256, "design": result.arch_sha256, "source": result.source_sha256}
    console.print("sha256: " + ", ".join(f"{name} {digest[:16]}" for name, digest in digests.items()))
    for words in machine_lines(result):
        console.print(words)
    console.print(_summary(result))
    for check in result.failures:
        console.print(f"failed: {check.name}: {check.detail}", style=STYLES["failed"])
    for reason, checks in result.skipped_for().items():
        names = ", ".join(check.name for check in checks)
        console.print(f"skipped: {reason}: {names}", style=STYLES["skipped"])
    for check in result.checks:
        for table in check.tables:
            if not table.detail:
                _print_table(table, heading(table, result), console)
        if check.detail and check in open_checks(result):
            console.print(check.detail)
    console.print(LIMITS)
    console.print(verdict(result), style=STYLES["failed" if result.failures else "passed"])


def open_checks(result: Validation) -> list[Check]:
    """Checks with a table to read at once; their detail stands below it, also where they pass."""
    return [check for check in result.checks if any(not table.detail for table in check.tables)]


def title(result: Validation) -> str:
    """What was validated, in a line."""
    heads = sum(len(heads) for _, _, heads in result.layers())
    layers = ", ".join(map(str, result.selection))
    layers += f"; {result.num_sequences} sequences" if result.num_sequences > 1 else ""
    model = result.trace.model.split(" (")[0]
    counted = "1 head" if heads == 1 else f"{heads} heads"
    about = f"{result.trace.kind}, {model}" if model else result.trace.kind
    return f"{result.arch_name} on {result.trace.name} ({about}; layers {layers}; {counted}; {result.device})"


def heading(table: CheckTable, result: Validation) -> str:
    """A table's title, and whether its rows are of real data: the trace's, or what the table says."""
    return f"{table.title} ({table.data or result.trace.kind})"


def machine_lines(result: Validation) -> list[str]:
    """The device with its driver, and the shapes of the layers, alike ones once."""
    driver = f", driver {result.machine['driver']}" if "driver" in result.machine else ""
    device = f"{result.device}: {result.machine['name']}{driver}" if result.machine else result.device
    shapes = dict.fromkeys(str(shape) for shapes in result.shapes.values() for shape in shapes)
    return [device, *(f"layers of {shape}" for shape in shapes)]


def verdict(result: Validation) -> str:
    """How many checks passed, failed and were skipped."""
    passed, failed, left = (result.count(status) for status in ("passed", "failed", "skipped"))
    gated = f"{passed} of {passed + failed} gates passed"
    return gated + (f", {left} skipped" if left else "")


def cell_text(cell: Cell) -> str:
    """A figure with three decimals or two digits, a count as it is."""
    if cell is None:
        return "not finite"
    if isinstance(cell, float):
        return f"{cell:.3f}" if 0.001 <= abs(cell) < 1000 or cell == 0 else _with_exponent(cell)
    return f"{cell:,}" if isinstance(cell, int) else cell


def _with_exponent(value: float) -> str:
    """Two digits and a power of ten, the exponent without zeros in front: 2.8e-7."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def figure_text(check: Check, name: str) -> str:
    """One of FIGURES; a cosine as its distance from 1, which is what can be read."""
    if name not in check.figures:
        return ""
    value = check.figures[name]
    return cell_text(max(0.0, 1.0 - value) if name == "cosine" and isinstance(value, float) else value)


def gate_text(check: Check) -> str:
    """The gate; exact where nothing may differ."""
    if "different" in check.figures:
        return "exact"
    return "" if check.gate is None else f"{check.gate:g}".replace("e-0", "e-")


def _summary(result: Validation) -> RichTable:
    table = new_table("check", "", *FIGURES.values(), "gate")
    table.columns[1].justify = "left"
    for check in result.checks:
        gate = gate_text(check)
        figures = (figure_text(check, name) for name in FIGURES)
        table.add_row(check.title, check.status, *figures, gate, style=STYLES[check.status])
    return table


def _print_table(table: CheckTable, words: str, console: Console) -> None:
    console.print()
    console.print(words, style="bold")
    drawn = new_table(*table.columns)
    for row in table.rows:
        drawn.add_row(*map(cell_text, row))
    console.print(drawn)
