"""Run a design on a trace: `run_machine` is the one way to cycles, for the design and its baselines alike."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simpy import Environment

from dsasim.config.schema import PREDICTED, ArchConfig
from dsasim.model.accelerator import Accelerator
from dsasim.model.dense_phase import DenseWork
from dsasim.model.probe import NO_PROBE, Probe
from dsasim.model.work import LayerWork
from dsasim.sim import books
from dsasim.sim.context import Observer
from dsasim.sim.dense_phase import Scope, counters_of, phases_after, phases_before
from dsasim.sim.invariants import LayerDemand, check, demand_of, dense_demand
from dsasim.sim.result import HeadReport, LayerReport, MachineResult
from dsasim.sim.workload import build_layer
from dsasim.trace.attention import AttentionTrace

Progress = Callable[[int, int], None]
"""Told (heads done, heads in all)."""


@dataclass
class _Record:
    """What is kept of each work once the machine has taken it."""

    works: list[LayerReport | DenseWork] = field(default_factory=list)
    """Layers as reported, but for the cycles, which are known at the end; phases of dense products."""
    demands: list[LayerDemand] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)


def run_machine(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    observe: Observer | None = None,
    progress: Progress | None = None,
    scope: Scope = "attention",
    probe: Probe = NO_PROBE,
) -> MachineResult:
    """Simulate the heads `selection` (layer number -> query heads) of a trace, layer after layer.

    A `scope` of layer or model adds the dense products of each layer, whichever heads are chosen. A `probe` is told
    what every unit does (`sim.timeline` writes it down).
    Raises ConfigError if the design cannot hold the trace, DeadlockError if its units wait for each other for ever, and
    InvariantError if the finished run contradicts itself.
    """
    machine = Accelerator(Environment(), arch, probe)
    record = _Record()
    access_bytes = machine.dram.preset.access_bytes
    cycles = machine.run(_works(arch, trace, selection, record, access_bytes, observe, progress, scope))
    machine.dram.finish(cycles)
    counters = dict(record.counters) | books.dram_counters(machine.dram)
    units = books.unit_reports(arch, machine, cycles, counters)
    layers = tuple(_layer_reports(record.works, machine.ends))
    return MachineResult(
        cycles=cycles,
        units=units,
        counters=counters,
        layers=layers,
        invariants=check(arch, cycles, units, counters, layers, record.demands),
        predictor_free=arch.predictor.method not in (*PREDICTED, "dense"),
        dram_channels=books.dram_channels(machine.dram),
    )


def _works(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    record: _Record,
    access_bytes: int,
    observe: Observer | None,
    progress: Progress | None,
    scope: Scope,
) -> Iterator[LayerWork | DenseWork]:
    """Build each layer's work, and the phases around it, when the machine is ready for it."""
    done, total = 0, sum(len(heads) for heads in selection.values())
    for number, heads in sorted(selection.items()):
        layer = trace.layer(number)
        yield from _recorded(record, phases_before(arch, layer, scope), access_bytes)
        work = build_layer(arch, layer, heads, observe)
        record.works.append(_untimed(work))
        record.demands.append(demand_of(work, layer, arch.pe_array.bits // 8, access_bytes))
        record.counters.update(work.counters)
        done += len(heads)
        if progress is not None:
            progress(done, total)
        yield work
        yield from _recorded(record, phases_after(arch, layer, scope), access_bytes)


def _recorded(record: _Record, phases: Sequence[DenseWork], access_bytes: int) -> Iterator[DenseWork]:
    for phase in phases:
        record.works.append(phase)
        record.demands.append(dense_demand(phase, access_bytes))
        record.counters.update(counters_of(phase))
        yield phase


def _untimed(work: LayerWork) -> LayerReport:
    """What is known of a layer before it runs."""
    reports = [HeadReport(h.head, 0, h.nnz, h.nnz / h.allowed, h.k_loads, h.plan_steps) for h in work.heads]
    return LayerReport(work.layer, 0, work.tile_rows, tuple(reports), allowed=work.heads[0].allowed)


def _layer_reports(works: Sequence[LayerReport | DenseWork], ends: Sequence[Sequence[int]]) -> Iterator[LayerReport]:
    """Split the time at the ends of heads and phases, and put a layer's together.

    A head that ended before an earlier one took no cycles of its own.
    """
    began = 0
    layers: dict[int, LayerReport] = {}
    dense: dict[int, dict[str, int]] = defaultdict(dict)
    for work, work_ends in zip(works, ends, strict=True):
        spent = []
        for end in work_ends:
            spent.append(max(began, end) - began)
            began = max(began, end)
        if isinstance(work, DenseWork):
            dense[work.layer][work.phase] = sum(spent)
        else:
            heads = tuple(replace(head, cycles=cycles) for head, cycles in zip(work.heads, spent, strict=True))
            layers[work.layer] = replace(work, heads=heads)
    for number, layer in layers.items():
        cycles = layer.attention_cycles + sum(dense[number].values())
        yield replace(layer, cycles=cycles, dense_cycles=dense[number])
