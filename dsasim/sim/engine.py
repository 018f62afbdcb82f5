"""Run a design on a trace: `run_machine` is the one way to cycles, for the design and its baselines alike."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simpy import Environment

from dsasim.config.schema import PREDICTED, ArchConfig
from dsasim.designs.dsa.dense_products import dense_stage
from dsasim.designs.dsa.stream import DRAM, STREAMS, AttentionLayer, unit_specs
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.watcher import Watcher
from dsasim.designs.dsa.dense_work import DenseWork
from dsasim.model.dram import Dram
from dsasim.model.dram_watched import WatchedDram
from dsasim.designs.dsa.work import LayerWork
from dsasim.sim import unit_reports
from dsasim.designs.dsa.context import Observer
from dsasim.designs.dsa.dense_phase import Scope, counters_of, phases_after, phases_before
from dsasim.sim.invariants import LayerDemand, check, demand_of, dense_demand
from dsasim.sim.result import HeadReport, LayerReport, MachineResult
from dsasim.designs.dsa.layer import build_layer
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
    ends: list[list[int]] = field(default_factory=list)
    """Of each work: when the last output of each query head reached DRAM; or of a phase, its end."""


def run_machine(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    observe: Observer | None = None,
    progress: Progress | None = None,
    scope: Scope = "attention",
    watchers: Sequence[Watcher] = (),
) -> MachineResult:
    """Simulate the heads `selection` (layer number -> query heads) of a trace, layer after layer.

    A `scope` of layer or model adds the dense products of each layer, whichever heads are chosen. `watchers` are
    told what every unit does (`sim.timeline` writes it down).
    Raises ConfigError if the design cannot hold the trace, DeadlockError if its units wait for each other for ever, and
    InvariantError if the finished run contradicts itself.
    """
    env = Environment()
    dram = WatchedDram(env, arch, len(STREAMS), watchers) if watchers else Dram(env, arch, len(STREAMS))
    system = System(env, unit_specs(arch), {DRAM: dram}, watchers)
    record = _Record()
    works = _works(arch, trace, selection, record, dram.preset.access_bytes, observe, progress, scope)
    cycles = system.run(_stages(system, works, record.ends))
    dram.finish(cycles)
    counters = dict(record.counters) | unit_reports.dram_counters(dram)
    units = unit_reports.unit_reports(arch, system, dram, cycles, counters)
    layers = tuple(_layer_reports(record.works, record.ends))
    return MachineResult(
        cycles=cycles,
        units=units,
        counters=counters,
        layers=layers,
        invariants=check(arch, cycles, units, counters, layers, record.demands),
        predictor_free=arch.predictor.method not in (*PREDICTED, "dense"),
        dram_channels=unit_reports.dram_channels(dram),
    )


def _stages(system: System, works: Iterable[LayerWork | DenseWork], ends: list[list[int]]) -> Iterator[Stage]:
    """Each work compiled when the machine is ready for it; notes when its heads ended."""
    for work in works:
        if isinstance(work, DenseWork):
            yield dense_stage(system, work)
            ends.append([int(system.env.now)])
        else:
            layer = AttentionLayer(system, work)
            yield layer.stage()
            ends.append(list(layer.head_ends()))


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
    return LayerReport(work.layer, 0, work.tile_rows, tuple(reports))


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
