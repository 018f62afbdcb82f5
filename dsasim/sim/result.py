"""What a run of the machine yields: cycles, who was busy, who waited for what, and what was counted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STALL_REASONS = ("operand", "bank_conflict", "output_full", "dram", "dependency", "imbalance", "drained")
"""Every idle cycle of a unit has exactly one of these owners (`machine.waits`)."""


@dataclass(frozen=True)
class UnitReport:
    """The books of one unit: busy plus stalls is `instances` times the run's cycles.

    `utilisation_ratio` is useful / offered MACs (or additions) of units that declare a rate, busy / all cycles of
    the others. `instances` is above 1 for the sums over lanes (`pe_array`) and DMA engines (`dma`).
    """

    busy_cycles: int
    stall_cycles: Mapping[str, int]
    utilisation_ratio: float
    instances: int = 1


@dataclass(frozen=True)
class HeadReport:
    """One query head; `cycles` is from the previous head's last output in DRAM to its own, so heads sum to the layer.

    `density` is kept / allowed positions; `k_loads` and `plan_steps` are the plan's (`dataflow.plan`).
    """

    head: int
    cycles: int
    nnz: int
    density: float
    k_loads: int
    plan_steps: int


@dataclass(frozen=True)
class LayerReport:
    """One layer on one sequence, by the model's own number; `tile_rows` is what fitted the buffers.

    `cycles` are those of its heads and of its phases of dense products (by name; none in the scope attention). Those of
    all sequences are computed together: they stand with the layer's first sequence. `allowed` positions each of its
    heads has; `sequence` is None in a trace of one.
    """

    layer: int
    cycles: int
    tile_rows: int
    heads: tuple[HeadReport, ...]
    dense_cycles: Mapping[str, int] = field(default_factory=dict)
    allowed: int | None = None
    sequence: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The layer as JSON-ready values; `sequence` only of several, and `allowed` where no head keeps a key.

        Of a head that keeps one it is nnz / density.
        """
        values = asdict(self)
        if self.sequence is None:
            del values["sequence"]
        if self.allowed is None or any(head.nnz for head in self.heads):
            del values["allowed"]
        return values

    @property
    def attention_cycles(self) -> int:
        """Cycles of the heads."""
        return sum(head.cycles for head in self.heads)


@dataclass(frozen=True)
class MachineResult:
    """A finished run whose invariants all held."""

    cycles: int
    units: Mapping[str, UnitReport]
    counters: Mapping[str, int]
    layers: tuple[LayerReport, ...]
    invariants: Mapping[str, bool]
    predictor_free: bool
    """Masks cost nothing here (oracle, given): times are a bound, not a prediction."""
    dram_channels: tuple[Mapping[str, int], ...] = ()
    """The memory's commands, active and idle edges of each channel (`sim.unit_reports.dram_channels`)."""

    @property
    def attention_cycles(self) -> int:
        """Cycles of all heads; the rest are dense products."""
        return sum(layer.attention_cycles for layer in self.layers)
