"""What units and buffers are, as a design declares them: once, beside the rule that times them.

All reports follow from this: rows of timelines, tables and pages stand in the order of the specs, energy is events x
price, area and leakage are those of the silicon, utilisation is events over what the unit could have done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsasim.errors import DesignError
from dsasim.machine.job import Job


@dataclass(frozen=True)
class Silicon:
    """What a unit or a buffer is made of, and the price list of its events.

    `energy_pj` maps an event to pJ each; one that costs nothing by itself is priced 0 and says why in `free`.
    `leakage_mw` is burnt as long as the run lasts. What is `absent` has none of this, and nothing may happen there.
    """

    area_mm2: float = 0.0
    leakage_mw: float = 0.0
    energy_pj: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    free: Mapping[str, str] = field(default_factory=dict)
    absent: bool = False

    @property
    def events(self) -> tuple[str, ...]:
        """All events that are counted here."""
        return (*self.energy_pj, *self.free)


def absent(*events: str) -> Silicon:
    """What a design does not have; its events must not happen."""
    return Silicon(energy_pj=dict.fromkeys(events, 0.0), sources=("not in this design",), absent=True)


@dataclass(frozen=True)
class Rate:
    """Useful work that a unit could do in a cycle: `per_cycle` of the events together."""

    events: tuple[str, ...]
    per_cycle: int


@dataclass(frozen=True)
class UnitSpec:
    """A unit: its name, its `lanes` by name, the `hardware` it shares with units that name the same, its `memory`.

    A unit with a memory is a DMA engine of at most `open_transfers`. Engines of one memory are its streams, in the
    order of the specs. `switch_cycles`: cost of handing shared hardware to another unit, the same for all that share.
    Without a `rate` a unit's utilisation is the share of cycles in which it is busy.
    """

    name: str
    lanes: tuple[str, ...] = ()
    hardware: str | None = None
    switch_cycles: int = 0
    memory: str | None = None
    open_transfers: int = 1
    silicon: Silicon | None = None
    rate: Rate | None = None


@dataclass(frozen=True)
class BufferSpec:
    """A buffer on the chip, by its name in the configuration."""

    name: str
    silicon: Silicon


def check_job(spec: UnitSpec, job: Job) -> None:
    """DesignError for a job that its unit cannot do: no cycles, lanes it has not, a transfer or its absence."""
    if (job.transfer is None) != (spec.memory is None):
        raise DesignError(f"{job.name}: only jobs of DMA engines have a transfer; {spec.name} is none")
    if spec.memory is None and job.cycles < 1:
        raise DesignError(f"{job.name}: a job takes at least one cycle, not {job.cycles}")
    if (job.lanes is None) != (not spec.lanes):
        raise DesignError(f"{job.name}: {spec.name} has {len(spec.lanes)} lanes")
