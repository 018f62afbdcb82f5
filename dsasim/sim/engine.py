"""Run a design on a trace: `run_machine` is the one way to cycles, for a design and its baselines alike."""

from collections.abc import Mapping, Sequence

from simpy import Environment

from dsasim import registry
from dsasim.config.schema import MachineConfig
from dsasim.errors import ConfigError, DesignError
from dsasim.machine.system import System
from dsasim.machine.watcher import Watcher
from dsasim.model.dram import Dram
from dsasim.model.dram_watched import WatchedDram
from dsasim.sim.design import Design, Observer, Progress, Record, Workload
from dsasim.sim.invariants import check
from dsasim.sim.parts import DRAM
from dsasim.sim.result import MachineResult
from dsasim.sim.scope import Scope
from dsasim.sim.unit_reports import dram_channels, dram_counters, unit_reports
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.notes import kind_note


def design_of(arch: MachineConfig) -> Design:
    """The design that a configuration is of."""
    design: Design = registry.find("designs", arch.design)(arch)
    return design


def run_machine(
    arch: MachineConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    observe: Observer | None = None,
    progress: Progress | None = None,
    scope: Scope = "attention",
    watchers: Sequence[Watcher] = (),
) -> MachineResult:
    """Simulate the heads `selection` (layer number -> query heads) of a trace, layer after layer, on each sequence.

    A `scope` of layer or model adds the dense products of each layer, whichever heads are chosen. `watchers` are
    told what every unit does (`sim.timeline` writes it down).
    Raises ConfigError if the design cannot hold the trace or run the scope, DeadlockError if its units wait for each
    other for ever, and InvariantError if the finished run contradicts itself.
    """
    design, env = design_of(arch), Environment()
    if scope not in design.scopes:
        raise ConfigError(f"scope {scope}: the machine {arch.design} runs {', '.join(design.scopes)} alone")
    specs = design.units()
    streams = sum(spec.memory == DRAM for spec in specs)
    dram = WatchedDram(env, arch, streams, watchers) if watchers else Dram(env, arch, streams)
    system = System(env, specs, {DRAM: dram}, watchers)
    workload = Workload(trace, selection, scope, observe)
    record = Record(progress, workload.num_heads)
    cycles = system.run(design.stages(system, workload, record))
    dram.finish(cycles)
    counters = {name: system.asked.events[name] for name in events_of(design)} | dram_counters(dram)
    units = unit_reports(system, dram, cycles, counters)
    layers = tuple(record.reports())
    return MachineResult(
        cycles=cycles,
        units=units,
        counters=counters,
        layers=layers,
        invariants=check(arch, specs, cycles, units, counters, layers, record.demands, system.asked),
        predictor_free=design.free,
        dram_channels=dram_channels(dram),
    )


def run_notes(arch: MachineConfig, trace: AttentionTrace) -> tuple[str, ...]:
    """What must stand beside every figure of a run: the trace's kind, and what the design has to say of its layers."""
    design = design_of(arch)
    notes = [kind_note(trace.meta), *(design.note_on(layer) for layer in trace)]
    return tuple(dict.fromkeys(note for note in notes if note))


def products_unit(design: Design) -> str:
    """The unit that does attention's products: the first whose rate counts SDDMM's MACs."""
    rated = (unit.name for unit in design.units() if unit.rate is not None and "macs_sddmm" in unit.rate.events)
    name = next(rated, None)
    if name is None:
        raise DesignError(f"the machine {design.arch.design} has no unit with a rate of macs_sddmm")
    return name


def events_of(design: Design) -> tuple[str, ...]:
    """All events that a design's units and buffers declare."""
    silicon = [unit.silicon for unit in design.units()] + [buffer.silicon for buffer in design.buffers()]
    return tuple(dict.fromkeys(name for part in silicon if part is not None for name in part.events))
