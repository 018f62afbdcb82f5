"""Run a design on a trace: `run_machine` is the one way to cycles, for the design and its baselines alike."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simpy import Environment

from dsasim.config.schema import PREDICTED, ArchConfig
from dsasim.model.accelerator import Accelerator
from dsasim.model.work import LayerWork
from dsasim.sim import books
from dsasim.sim.invariants import LayerDemand, check, demand_of
from dsasim.sim.result import HeadReport, LayerReport, MachineResult
from dsasim.sim.workload import Observer, build_layer
from dsasim.trace.attention import AttentionTrace

Progress = Callable[[int, int], None]
"""Told (heads done, heads in all)."""


@dataclass
class _Record:
    """What is kept of each layer's work once the machine has taken it."""

    layers: list[LayerReport] = field(default_factory=list)
    """As reported, but for the cycles, which are known at the end."""
    demands: list[LayerDemand] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)


def run_machine(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    observe: Observer | None = None,
    progress: Progress | None = None,
) -> MachineResult:
    """Simulate the heads `selection` (layer number -> query heads) of a trace, layer after layer.

    Raises ConfigError if the design cannot hold the trace, DeadlockError if its units wait for each other for ever, and
    InvariantError if the finished run contradicts itself.
    """
    machine = Accelerator(Environment(), arch)
    record = _Record()
    access_bytes = machine.dram.preset.access_bytes
    cycles = machine.run(_layers(arch, trace, selection, record, access_bytes, observe, progress))
    machine.dram.finish(cycles)
    counters = dict(record.counters) | books.dram_counters(machine.dram)
    units = books.unit_reports(arch, machine, cycles, counters["macs_sddmm"] + counters["macs_spmm"])
    layers = tuple(_layer_reports(record, machine.head_ends))
    return MachineResult(
        cycles=cycles,
        units=units,
        counters=counters,
        layers=layers,
        invariants=check(arch, cycles, units, counters, layers, record.demands),
        predictor_free=arch.predictor.method not in (*PREDICTED, "dense"),
    )


def _layers(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    record: _Record,
    access_bytes: int,
    observe: Observer | None,
    progress: Progress | None,
) -> Iterator[LayerWork]:
    """Build each layer's work when the machine is ready for it."""
    done, total = 0, sum(len(heads) for heads in selection.values())
    for number, heads in sorted(selection.items()):
        layer = trace.layer(number)
        work = build_layer(arch, layer, heads, observe)
        record.layers.append(_untimed(work))
        record.demands.append(demand_of(work, layer.d_head, access_bytes))
        record.counters.update(work.counters)
        done += len(heads)
        if progress is not None:
            progress(done, total)
        yield work


def _untimed(work: LayerWork) -> LayerReport:
    """What is known of a layer before it runs."""
    heads = [head for kv_head in work.kv_heads for head in kv_head.heads]
    reports = [HeadReport(h.head, 0, h.nnz, h.nnz / h.allowed, h.k_loads, h.plan_steps) for h in heads]
    return LayerReport(work.layer, 0, work.tile_rows, tuple(reports))


def _layer_reports(record: _Record, head_ends: Sequence[Sequence[int]]) -> Iterator[LayerReport]:
    """Split the time at the ends of heads; a head that ended before an earlier one took no cycles of its own."""
    began = 0
    for layer, ends in zip(record.layers, head_ends, strict=True):
        layer_began, heads = began, []
        for head, end in zip(layer.heads, ends, strict=True):
            heads.append(replace(head, cycles=max(began, end) - began))
            began = max(began, end)
        yield replace(layer, cycles=began - layer_began, heads=tuple(heads))
