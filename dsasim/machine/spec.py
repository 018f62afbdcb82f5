"""What a unit is, as a design declares it."""

from dataclasses import dataclass

from dsasim.errors import DesignError
from dsasim.machine.job import Job


@dataclass(frozen=True)
class UnitSpec:
    """A unit: its name, its `lanes` by name, the `hardware` it shares with units that name the same, its `memory`.

    A unit with a memory is a DMA engine of at most `open_transfers`. Engines of one memory are its streams, in the
    order of the specs. `switch_cycles`: cost of handing shared hardware to another unit, the same for all that share.
    """

    name: str
    lanes: tuple[str, ...] = ()
    hardware: str | None = None
    switch_cycles: int = 0
    memory: str | None = None
    open_transfers: int = 1


def check_job(spec: UnitSpec, job: Job) -> None:
    """DesignError for a job that its unit cannot do: no cycles, lanes it has not, a transfer or its absence."""
    if (job.transfer is None) != (spec.memory is None):
        raise DesignError(f"{job.name}: only jobs of DMA engines have a transfer; {spec.name} is none")
    if spec.memory is None and job.cycles < 1:
        raise DesignError(f"{job.name}: a job takes at least one cycle, not {job.cycles}")
    if (job.lanes is None) != (not spec.lanes):
        raise DesignError(f"{job.name}: {spec.name} has {len(spec.lanes)} lanes")
