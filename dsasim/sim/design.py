"""What a design is: the units and buffers it declares, and how it compiles layers of a trace into stages of jobs."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from simpy import Environment

from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.machine.spec import BufferSpec, UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.masks import Mask
from dsasim.sim.result import HeadReport, LayerReport
from dsasim.sim.scope import Scope
from dsasim.trace.attention import AttentionTrace, LayerTrace

Observer: TypeAlias = Callable[[LayerTrace, int, Mask], object]
"""Told each head's keep mask as it is made: a layer, a query head, and its mask."""

Progress: TypeAlias = Callable[[int, int], object]
"""Told how far a run is: heads done, heads in all."""


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


class HeadRecord:
    """A query head in a run: each write of its output releases it, so that the last one says when it ended."""

    def __init__(self, env: Environment, head: int, nnz: int) -> None:
        self.head = head
        self.nnz = nnz
        self.k_loads = 0
        self.plan_steps = 0
        self.end = 0
        self._env = env

    def release(self) -> None:
        """One more of its outputs has reached the memory."""
        self.end = int(self._env.now)


@dataclass(frozen=True)
class LayerRecord:
    """A layer of attention in a run, on a sequence."""

    record: "Record"
    layer: LayerTrace
    tile_rows: int
    heads: list[HeadRecord] = field(default_factory=list)

    def report(self, heads: Sequence[HeadReport]) -> LayerReport:
        """What is reported of it; its cycles are found later."""
        number, sequence, allowed = self.layer.number, self.layer.batch_index, self.allowed
        return LayerReport(number, 0, self.tile_rows, tuple(heads), allowed=allowed, sequence=sequence)

    @cached_property
    def allowed(self) -> int:
        """Positions that each of its heads may attend to."""
        return int(self.layer.allowed_counts.sum())

    def head(self, head: int, nnz: int) -> HeadRecord:
        """The next query head that is compiled, with the positions it keeps."""
        self.heads.append(HeadRecord(self.record.env, head, nnz))
        self.record.head_compiled()
        return self.heads[-1]


class Record:
    """What a design notes while it compiles and runs: layers and phases in the order in which they end."""

    def __init__(self, env: Environment, progress: Progress | None = None, num_heads: int = 0) -> None:
        self.env = env
        self.demands: list[Demand] = []
        self._progress, self._num_heads, self._compiled = progress, num_heads, 0
        self._noted: list[LayerRecord | tuple[int, str, int]] = []

    def layer(self, layer: LayerTrace, tile_rows: int) -> LayerRecord:
        """A layer of attention begins, on a sequence."""
        noted = LayerRecord(self, layer, tile_rows)
        self._noted.append(noted)
        return noted

    def phase(self, layer: int, name: str, demand: Demand) -> None:
        """A phase of dense products beside a layer's attention has ended."""
        self.demands.append(demand)
        self._noted.append((layer, name, int(self.env.now)))

    def head_compiled(self) -> None:
        """One more head is about to run."""
        self._compiled += 1
        if self._progress is not None:
            self._progress(self._compiled, self._num_heads)

    def reports(self) -> Iterator[LayerReport]:
        """Split the time at the ends of heads and phases, and put a layer's together.

        A head that ended before an earlier one took no cycles of its own.
        """
        began = 0
        layers: list[LayerReport] = []
        phases: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for noted in self._noted:
            if isinstance(noted, LayerRecord):
                heads = []
                for at in noted.heads:
                    cycles, began = max(0, at.end - began), max(began, at.end)
                    heads.append(HeadReport(at.head, cycles, at.nnz, at.nnz / noted.allowed, at.k_loads, at.plan_steps))
                layers.append(noted.report(heads))
            else:
                number, name, end = noted
                phases[number][name], began = max(0, end - began), max(began, end)
        for layer in layers:
            dense = phases.pop(layer.layer, {})  # of all sequences: they stand with the first
            yield replace(layer, cycles=layer.attention_cycles + sum(dense.values()), dense_cycles=dense)


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

    whatever_masks: ClassVar[bool] = False
    """Whether it computes every allowed position, whatever masks there are: of a trace of masks it needs the shape."""

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
