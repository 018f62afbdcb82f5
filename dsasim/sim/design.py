"""What a design is: the units and buffers it declares, and how it compiles layers of a trace into stages of jobs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.machine.spec import BufferSpec, UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.predictors.base import Mask
from dsasim.sim.result import LayerReport
from dsasim.sim.scope import Scope
from dsasim.trace.attention import AttentionTrace, LayerTrace


class Observer(Protocol):
    """Somebody who is told each head's keep mask as it is made."""

    def __call__(self, layer: LayerTrace, head: int, mask: Mask, /) -> None:
        """A layer, a query head, and its mask."""


class Progress(Protocol):
    """Somebody who is told how far a run is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Heads done, heads in all."""


@dataclass(frozen=True)
class Workload:
    """What is to be run: query heads by layer number, on each sequence, and what of the model beside attention."""

    trace: AttentionTrace
    selection: Mapping[int, Sequence[int]]
    scope: Scope = "attention"
    observe: Observer | None = None

    @property
    def layers(self) -> list[tuple[LayerTrace, Sequence[int]]]:
        """What is to be run of attention, in order: each layer on each sequence, with its query heads."""
        return self.trace.chosen(self.selection)

    @property
    def num_heads(self) -> int:
        """Query heads, counted on each sequence."""
        return sum(len(heads) for _, heads in self.layers)


@dataclass(frozen=True)
class Demand:
    """What must be done whatever the machine, from the trace's own sizes: laws compare it with what was counted.

    `sparse_macs` of SDDMM and SpMM together; `num_bytes`: tensors that must cross the memory bus.
    """

    sparse_macs: int = 0
    dense_macs: int = 0
    num_bytes: int = 0


@dataclass
class Record:
    """What a design notes while it compiles and runs: layers and phases in order, their demands and their ends.

    A layer is noted without its cycles; `ends` are when the last output of each of its heads reached the memory.
    """

    progress: Progress | None = None
    num_heads: int = 0
    demands: list[Demand] = field(default_factory=list)
    layers: list[tuple[LayerReport, list[int]]] = field(default_factory=list)
    phases: list[tuple[int, str, int]] = field(default_factory=list)
    _compiled: int = 0
    _order: list[tuple[str, int]] = field(default_factory=list)

    def compiled(self, num_heads: int, demand: Demand) -> None:
        """So many more heads are about to run, with what they demand; none of a phase."""
        self.demands.append(demand)
        self._compiled += num_heads
        if self.progress is not None and num_heads:
            self.progress(self._compiled, self.num_heads)

    def layer(self, report: LayerReport, ends: Sequence[int]) -> None:
        """A layer of attention has ended; heads in the order of the report."""
        self._order.append(("layer", len(self.layers)))
        self.layers.append((report, list(ends)))

    def phase(self, layer: int, name: str, end: int) -> None:
        """A phase of dense products beside a layer's attention has ended."""
        self._order.append(("phase", len(self.phases)))
        self.phases.append((layer, name, end))

    def reports(self) -> Iterator[LayerReport]:
        """Split the time at the ends of heads and phases, and put a layer's together.

        A head that ended before an earlier one took no cycles of its own.
        """
        began = 0
        found: list[LayerReport] = []
        dense: dict[int, dict[str, int]] = {}
        for kind, at in self._order:
            if kind == "phase":
                number, name, end = self.phases[at]
                dense.setdefault(number, {})[name] = max(began, end) - began
                began = max(began, end)
                continue
            report, ends = self.layers[at]
            heads = []
            for head, end in zip(report.heads, ends, strict=True):
                heads.append(replace(head, cycles=max(began, end) - began))
                began = max(began, end)
            found.append(replace(report, heads=tuple(heads)))
        for layer in found:
            phases = dense.pop(layer.layer, {})  # of all sequences: they stand with the first
            yield replace(layer, cycles=layer.attention_cycles + sum(phases.values()), dense_cycles=phases)


@dataclass(frozen=True)
class Macs:
    """MACs of a machine by array: those of attention, and those of a prediction that has an array of its own."""

    array: int
    array_bits: int
    predictor: int = 0
    predictor_bits: int | None = None


class Design:
    """Base of all designs: made of a configuration. Everything that a run reports follows from what it declares."""

    summary: ClassVar[str] = ""
    """One line for `dsasim list designs`."""

    Settings: ClassVar[type[MachineConfig]] = MachineConfig
    """The schema of its configuration."""

    scopes: ClassVar[tuple[Scope, ...]] = ("attention",)
    """What it can run of a model."""

    def __init__(self, arch: Any) -> None:
        self.arch = arch

    @property
    def free(self) -> bool:
        """Whether masks cost nothing that a real machine would have to pay: its ratios are upper bounds."""
        return False

    def macs(self) -> Macs:
        """What the machine multiplies with: ratios against its own peak rest on it."""
        raise NotImplementedError

    def rival(self) -> ArchConfig | None:
        """A dense machine of as many MACs, as a design of `dsa`, that runs are compared with; None without one.

        The better of its dataflows is taken (`baseline.dense`).
        """
        return None

    def note_on(self, layer: LayerTrace) -> str | None:
        """What must stand beside every figure of a run on this layer, if anything."""
        del layer
        return None

    def mask(self, layer: LayerTrace, head: int) -> Mask | None:
        """The keep mask of a query head by itself, for pictures; None where it depends on the rest of a run."""
        del layer, head
        return None

    def units(self) -> Sequence[UnitSpec]:
        """All units, in the order of reports; DMA engines in the order in which the memory takes simultaneous posts."""
        raise NotImplementedError

    def buffers(self) -> Sequence[BufferSpec]:
        """All buffers on the chip, in the order of reports."""
        raise NotImplementedError

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """The workload as stages, each compiled when the machine is ready for it; notes in `record` what was run.

        ConfigError if the design cannot hold the trace.
        """
        raise NotImplementedError
