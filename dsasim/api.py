"""The four calls a user needs: load a design, load a trace, simulate, and estimate what a design costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from operator import index
from os import PathLike
from typing import Any, get_args

import dsasim
from dsasim.baseline.dense import DENSE_RUNS, Baseline, dense_baseline
from dsasim.baseline.gpu_table import Gpu
from dsasim.config.changes import changes_of
from dsasim.config.loader import DesignLike, load_arch, usual_arch
from dsasim.config.resolved import arch_sha256, arch_to_dict
from dsasim.config.schema import MachineConfig, PredictorConfig
from dsasim.config.schemas import design_from
from dsasim.cost.model import Cost, estimate_cost
from dsasim.dataflows.base import dataflow_of
from dsasim.errors import ConfigError, TraceError
from dsasim.inputs.path_text import path_text
from dsasim.machine.watcher import Watcher
from dsasim.mappings.dense_layer import feed_forward
from dsasim.model.dram_preset import load_presets
from dsasim.quality.measure import Quality, QualityMeter
from dsasim.sim.design import Progress
from dsasim.sim.engine import design_of, run_machine, run_notes
from dsasim.sim.limits import check_work
from dsasim.sim.result import MachineResult
from dsasim.sim.scope import Scope
from dsasim.trace.attention import AttentionTrace, TraceMeta
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

__all__ = ["RunResult", "estimate_cost", "load_arch", "load_trace", "simulate"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TracePart:
    """How much of a trace there was to choose from, where not all of it was run; heads are counted on each sequence."""

    of_layers: int
    of_heads: int


@dataclass(frozen=True, repr=False)
class RunResult:
    """Everything a run yields; `to_json` is what `dsasim run --json` writes.

    `arch` is the design as simulated: a trace of masks alone brings its own and makes it `given`. `notes` is what must
    stand beside the figures (`trace.notes`), `changes` what the design's name does not say (`config.changes`), `part`
    what `layers` and `heads` were chosen from: each is in the JSON where there is one.
    """

    arch: MachineConfig
    trace: TraceMeta
    machine: MachineResult
    quality: Quality | None
    cost: Cost
    baseline: Baseline | None
    scope: Scope = "attention"
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    part: TracePart | None = None

    def __repr__(self) -> str:
        """The first lines of what `dsasim run` prints."""
        return dsasim.summary_text(self)

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        return dsasim.summary_html(self)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON-ready values: no paths, dates, hosts or wall times, so equal runs give equal bytes."""
        machine = self.machine
        return {
            "schema_version": SCHEMA_VERSION,
            "dsasim_version": dsasim.__version__,
            "arch": arch_to_dict(self.arch),
            "arch_sha256": arch_sha256(self.arch),
            "trace": {key: getattr(self.trace, key) for key in ("name", "sha256", "kind", "model")},
            "scope": self.scope,
            "cycles": machine.cycles,
            "time_ns": machine.cycles / float(self.arch.clock_ghz),
            "predictor_free": machine.predictor_free,
            "units": {name: asdict(unit) for name, unit in machine.units.items()},
            "counters": dict(machine.counters),
            "dram_channels": [dict(channel) for channel in machine.dram_channels],
            "layers": [layer.to_json() for layer in machine.layers],
            "energy_pj": self.cost.energy_pj,
            "area_mm2": self.cost.area_mm2,
            "cost_sources": self.cost.sources,
            "dram_sources": [group.to_json() for group in load_presets()[self.arch.dram.preset].sources],
            "quality": None if self.quality is None else _quality_json(self.quality),
            "baseline": None if self.baseline is None else asdict(self.baseline),
            "invariants": dict(machine.invariants),
            **self._remarks(),
        }

    def _remarks(self) -> dict[str, Any]:
        """What only some runs have to say; a run of a whole trace on a design as it is has nothing here."""
        remarks: dict[str, Any] = {} if not self.notes else {"notes": list(self.notes)}
        if self.changes:
            remarks["changes"] = list(self.changes)
        if self.part is not None:
            remarks["part"] = asdict(self.part)
        return remarks


def _quality_json(quality: Quality) -> dict[str, Any]:
    """Our figures at the top, those of the other masks of the same row counts beside them."""
    others = {name: asdict(getattr(quality, name)) for name in ("oracle", "random", "sink_window")}
    return asdict(quality.ours) | {"density": quality.density} | others


def load_trace(name_or_path: str | PathLike[str]) -> AttentionTrace:
    """The trace of a file (a path separator or a suffix) or of a shipped name; TraceError if it is not one."""
    given = path_text(name_or_path)
    if given is None:
        kind = type(name_or_path).__name__
        raise TraceError(f"a trace is a name, a path or an AttentionTrace, and not of type {kind}")
    return open_trace(find_trace(given))


def simulate(
    arch: DesignLike,
    trace: AttentionTrace | str | PathLike[str],
    layers: Iterable[int] | None = None,
    heads: Iterable[int] | None = None,
    progress: Progress | None = None,
    scope: Scope = "attention",
    watchers: Sequence[Watcher] = (),
    *,
    quality: bool = True,
    baselines: bool = True,
    gpus: Iterable[Gpu] | None = None,
    changes: Sequence[str] | None = None,
) -> RunResult:
    """Simulate a design on a trace: machine, quality, cost and baselines.

    Both may be loaded ones, or what `load_arch` and `load_trace` take: `simulate("dsa-decoupled", "minilm-l128")`.
    `layers` are the model's own layer numbers and `heads` query heads, both all by default; they are run on each
    sequence of the trace. `scope` says what of the model is run beside attention (`sim.scope`); `watchers` are told
    what every unit does
    (`sim.timeline`). Without `quality` or `baselines` they are None, and their time is saved (of a whole run about a
    tenth and a half). `gpus` stand beside the dense machines, by default those of the shipped table. `changes` are said
    beside the design's name, by default what sets it apart from the shipped design of that name.
    ConfigError if the design cannot run the trace, TraceError if it lacks a layer or head asked for, or what the scope
    needs, or claims sizes that nobody would wait for (`sim.limits`).
    """
    arch = arch if isinstance(arch, MachineConfig) else load_arch(arch)
    trace = trace if isinstance(trace, AttentionTrace) else load_trace(trace)
    told = changes_of(arch) if changes is None else tuple(changes)
    arch = effective_arch(arch, trace)
    selection = chosen_heads(trace, layers, heads)
    _check_scope(trace, selection, scope)
    check_work(arch, trace, selection, scope)
    meter = QualityMeter() if quality and not trace.masks_only else None
    stages = _stages(progress, 1 + DENSE_RUNS * baselines)
    machine = run_machine(arch, trace, selection, None if meter is None else meter.add, next(stages), scope, watchers)
    cost = estimate_cost(arch, machine)
    return RunResult(
        arch=arch,
        trace=trace.meta,
        machine=machine,
        quality=None if meter is None else meter.result(),
        cost=cost,
        baseline=dense_baseline(arch, trace, selection, machine, cost, stages, scope, gpus) if baselines else None,
        scope=scope,
        notes=run_notes(arch, trace),
        changes=told,
        part=_part(trace, selection),
    )


def _part(trace: AttentionTrace, selection: Mapping[int, Sequence[int]]) -> TracePart | None:
    heads = sum(layer.num_heads for layer in trace)
    chosen = sum(len(heads) for _, heads in trace.chosen(selection))
    return None if chosen == heads else TracePart(len(trace.layer_numbers), heads)


def _check_scope(trace: AttentionTrace, selection: Mapping[int, Sequence[int]], scope: Scope) -> None:
    """Refuse parts of what a scope runs whole, a scope whose sizes the trace does not know, and what is no scope."""
    if scope not in get_args(Scope):
        raise ConfigError(f"scope {scope!r}: expected one of {', '.join(get_args(Scope))}")
    if scope == "attention":
        return
    if scope == "model" and set(selection) != set(trace.layer_numbers):
        raise ConfigError("scope model runs all layers of the trace: leave --layers out, or take scope layer")
    for number, heads in selection.items():
        layer = trace.layer(number)
        if len(heads) != layer.num_heads:
            raise ConfigError(f"scope {scope} runs whole layers: leave --heads out, or take scope attention")
        feed_forward(layer)


def _stages(progress: Progress | None, count: int) -> Iterator[Progress | None]:
    """One progress for each of `count` runs over the same heads, reporting to `progress` as if they were one."""

    def stage(at: int, done: int, total: int) -> None:
        if progress is not None:
            progress(at * total + done, count * total)

    for at in range(count):
        yield partial(stage, at)


def effective_arch(arch: MachineConfig, trace: AttentionTrace) -> MachineConfig:
    """The design as it runs this trace: one that holds masks only brings its own, if the design has a use for any.

    ConfigError if the design has nowhere to put it.
    """
    if not trace.masks_only or design_of(arch).whatever_masks:
        return arch
    arch = usual_arch(arch, f"{trace.meta.name} is a trace of masks, which")
    if arch.predictor.method == "given":
        return arch
    if arch.buffers.mask is None:
        raise ConfigError(f"{trace.meta.name} is a trace of masks, and {arch.name} has no buffers.mask to hold them")
    values = arch.model_dump()
    kept = {name: values["predictor"][name] for name in PredictorConfig.model_fields}  # the method's own keys go
    values["predictor"] = kept | {"method": "given"}
    if dataflow_of(arch).dense_only:
        values["pe_array"]["dataflow"] = "token_parallel"
    return design_from(values)


def chosen_heads(
    trace: AttentionTrace, layers: Iterable[int] | None, heads: Iterable[int] | None
) -> Mapping[int, Sequence[int]]:
    """Layer number -> query heads, both ascending and each once; TraceError for what the trace does not have."""
    numbers = trace.layer_numbers if layers is None else _numbers(layers, "layers")
    if missing := sorted(set(numbers) - set(trace.layer_numbers)):
        raise TraceError(f"{trace.meta.name}: no layer {_words(missing)}; the trace has {_words(trace.layer_numbers)}")
    chosen = None if heads is None else _numbers(heads, "heads")
    selection: dict[int, Sequence[int]] = {}
    for number in numbers:
        count = trace.layer(number).num_heads
        selection[number] = tuple(range(count)) if chosen is None else chosen
        if outside := [head for head in selection[number] if not 0 <= head < count]:
            raise TraceError(
                f"{trace.meta.name}: layer {number} has no head {_words(outside)}; heads are 0 to {count - 1}"
            )
    if not any(selection.values()):
        raise TraceError(f"{trace.meta.name}: nothing to simulate, no layer or head was chosen")
    return selection


def _numbers(chosen: Iterable[int], what: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({index(number) for number in chosen}))
    except TypeError:
        raise TraceError(f"{what} are whole numbers, such as [0, 3], and not {chosen!r}") from None


def _words(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
