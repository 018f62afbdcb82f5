"""Both simulators on a case, and where they differ."""

from pprint import pformat
from typing import Any

from dsasim.errors import ConfigError
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from twin.cases import Case, arch_of, selection_of, trace_of
from twin.layout import DoesNotFitError
from twin.run import Outcome, run_twin

SUMS = ("pe_array", "dma")
"""Reports that add up others."""


def outcome_of(result: MachineResult, counters: Any) -> Outcome:
    """A run of dsasim in the twin's words."""
    books = {}
    for name, unit in result.units.items():
        owners = {"busy": unit.busy_cycles, **unit.stall_cycles}
        if name not in SUMS:
            books[name] = {owner: cycles for owner, cycles in owners.items() if cycles}
    heads = [[head.cycles for head in layer.heads] for layer in result.layers]
    return Outcome(result.cycles, heads, books, {name: result.counters[name] for name in counters})


def differences(case: Case) -> list[str] | None:
    """What the two say differently about a case, a line each; None where both refuse it."""
    arch, trace, selection = arch_of(case), trace_of(case), selection_of(case)
    try:
        theirs = run_machine(arch, trace, selection)
    except ConfigError as error:
        return _refused(case, str(error))
    twin = run_twin(arch, trace, selection)
    fast = outcome_of(theirs, twin.counts)
    found = [
        f"{field}: dsasim {getattr(fast, field)}, twin {getattr(twin, field)}"
        for field in ("cycles", "heads", "counts")
        if getattr(fast, field) != getattr(twin, field)
    ]
    units = sorted(fast.books | twin.books)
    return found + [
        f"{unit}: dsasim {fast.books.get(unit)}, twin {twin.books.get(unit)}"
        for unit in units
        if fast.books.get(unit) != twin.books.get(unit)
    ]


def _refused(case: Case, error: str) -> list[str] | None:
    try:
        run_twin(arch_of(case), trace_of(case), selection_of(case))
    except DoesNotFitError:
        return None
    return [f"dsasim refuses: {error}; the twin does not"]


def assert_same(case: Case) -> None:
    """Fail with the case, ready to paste, and every difference."""
    found = differences(case)
    assert not found, "\n".join([*found, "case = " + pformat(case, width=120, compact=True, sort_dicts=False)])
