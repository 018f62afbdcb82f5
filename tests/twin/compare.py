"""Both simulators on a case, and where they differ."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pprint import pformat
from random import Random
from typing import Any

import pytest

from dsasim.errors import ConfigError
from dsasim.machine.system import System
from dsasim.model.dram_preset import load_presets
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
    heads: list[list[int]] = []
    for _, group in groupby(result.layers, key=lambda layer: layer.layer):
        batch = list(group)
        dense = [[cycles] for cycles in batch[0].dense_cycles.values()]
        heads += [*dense[:1], *([head.cycles for head in layer.heads] for layer in batch), *dense[1:]]
    channels = [dict(channel) for channel in result.dram_channels]
    return Outcome(result.cycles, heads, books, {name: result.counters[name] for name in counters}, channels)


def differences(case: Case, disturbed: Random | None = None) -> list[str] | None:
    """What the two say differently about a case, a line each; None where both refuse it.

    `disturbed`: dsasim's processes are created in another order, and other events are on its calendar.
    """
    arch, trace, selection = arch_of(case), trace_of(case), selection_of(case)
    try:
        twin = run_twin(arch, trace, selection, case["scope"], case["timing"])
    except DoesNotFitError:
        return _refused_too(case)
    with _other_timing(arch.dram.preset, case["timing"]), _disturbance(disturbed, twin.cycles):
        theirs = run_machine(arch, trace, selection, scope=case["scope"])
    fast = outcome_of(theirs, twin.counts)
    found = [
        f"{field}: dsasim {getattr(fast, field)}, twin {getattr(twin, field)}"
        for field in ("cycles", "heads", "counts", "channels")
        if getattr(fast, field) != getattr(twin, field)
    ]
    units = sorted(fast.books | twin.books)
    return found + [
        f"{unit}: dsasim {fast.books.get(unit)}, twin {twin.books.get(unit)}"
        for unit in units
        if fast.books.get(unit) != twin.books.get(unit)
    ]


@contextmanager
def _other_timing(preset: str, timing: Mapping[str, int]) -> Iterator[None]:
    """Let a preset have other timings for a while."""
    presets = load_presets()
    plain = presets[preset]
    presets[preset] = replace(plain, timing_cycles=plain.timing_cycles | timing)
    try:
        yield
    finally:
        presets[preset] = plain


@contextmanager
def _disturbance(rng: Random | None, cycles: int) -> Iterator[None]:
    """Create the processes of every layer in another order, and put events that concern nobody on the calendar."""
    if rng is None:
        yield
        return
    ordered, plain = System._processes, System.run

    def shuffled(system: System, stage: Any) -> Iterator[Any]:
        processes = list(ordered(system, stage))
        rng.shuffle(processes)
        return iter(processes)

    def crowded(system: System, stages: Any) -> int:
        for _ in range(10):
            system.env.timeout(rng.randint(0, cycles))
        return plain(system, stages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(System, "_processes", shuffled)
        patch.setattr(System, "run", crowded)
        yield


def _refused_too(case: Case) -> list[str] | None:
    try:
        run_machine(arch_of(case), trace_of(case), selection_of(case), scope=case["scope"])
    except ConfigError:
        return None
    return ["the twin refuses, dsasim does not"]


def assert_same(case: Case, disturbed: Random | None = None) -> None:
    """Fail with the case, ready to paste, and every difference."""
    found = differences(case, disturbed)
    assert not found, "\n".join([*found, "case = " + pformat(case, width=120, compact=True, sort_dicts=False)])
