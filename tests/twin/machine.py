"""The loop over core cycles, and who owns each cycle of each unit (rules "Events" and "Who owns a cycle").

Time t is the boundary before cycle t: all completions at t, then all starts, then the cycle itself. A unit does its
jobs in order; a job starts when the one before it has ended, its operands are ready and its output has a slot.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

from twin.memory import Memory

REASONS = ("operand", "bank_conflict", "output_full", "dram", "dependency", "imbalance", "drained")
STREAMS = ("predictor", "q", "k", "v", "score", "output")
"""The DMA engines, in the order in which the memory takes simultaneous posts."""


@dataclass
class Slots:
    """Places in a buffer: taken at a job's start, freed at the end of the last reader."""

    free: int


@dataclass(eq=False)
class Job:
    """One job of one unit."""

    unit: str
    layer: int
    cycles: list[tuple[str, ...]] = field(default_factory=list)
    """Owner of each of its cycles in each part of the unit (lanes; one for the others)."""
    needs: list["Job"] = field(default_factory=list)
    turn: "Job | None" = None
    """Coupled: the job before this one in the array order."""
    slot: Slots | None = None
    room: Callable[[], bool] = lambda: True
    """Pools: whether what is not locked suffices."""
    frees: list[Slots] = field(default_factory=list)
    at_start: Callable[[], None] = lambda: None
    at_end: Callable[[], None] = lambda: None
    bursts: Callable[[], list[int]] = list
    """Transfers: the bursts they move, asked for when they start."""
    is_write: bool = False
    started: int | None = None
    ended: int | None = None
    ends_at: int | None = None

    @property
    def is_open(self) -> bool:
        """Started and not ended."""
        return self.started is not None and self.ended is None

    @property
    def is_transfer(self) -> bool:
        """Whether a DMA engine does it."""
        return self.unit.startswith("dma_")

    def waits_for(self, layer: int) -> str | None:
        """The first reason why it cannot start (design rule "Who owns a cycle"), or None."""
        if self.layer > layer:
            return "dependency"
        missing = [need for need in self.needs if need.ended is None]
        if (self.slot is not None and self.slot.free == 0) or not self.room():
            return "output_full"
        if any(need.is_transfer and need.is_open for need in missing):
            return "dram"
        if self.turn is not None and self.turn.ended is None:
            return "dependency"
        return "operand" if missing else None


@dataclass
class Unit:
    """A unit, the jobs it has still to start, and its books."""

    name: str
    parts: Sequence[str]
    open_at_once: int = 1
    waiting: deque[Job] = field(default_factory=deque)
    begun: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    books: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def book(self, cycle: int, layer: int) -> None:
        """Give cycle `cycle` its owner, in every part."""
        owners = self._owners(cycle, layer)
        for part, owner in zip(self.parts, owners, strict=True):
            self.books[part][owner] += 1

    def _owners(self, cycle: int, layer: int) -> tuple[str, ...]:
        if self.running:
            job = self.running[0]
            assert job.started is not None
            return ("busy",) if job.is_transfer else job.cycles[cycle - job.started]
        reason = self.waiting[0].waits_for(layer) if self.waiting else "drained"
        assert reason is not None
        return (reason,) * len(self.parts)


class Machine:
    """Units, jobs and memory; `run` steps through every cycle."""

    def __init__(self, lanes: int, open_transfers: int, memory: Memory) -> None:
        self.memory = memory
        front = [Unit(name, [name]) for name in ("predictor", "mask_generator", "scheduler", "softmax")]
        array = Unit("pe_array", [f"lane_{lane}" for lane in range(lanes)])
        engines = [Unit(f"dma_{stream}", [f"dma_{stream}"], open_transfers) for stream in STREAMS]
        self.units = {unit.name: unit for unit in [*front, array, *engines]}
        self.jobs: list[Job] = []
        self.posted: list[Job] = []
        self.dram_owners: list[str] = []
        self.layer = 0

    def add(self, jobs: list[Job]) -> None:
        """Jobs of one layer, those of each unit in its order."""
        self.jobs += jobs
        for job in jobs:
            self.units[job.unit].waiting.append(job)

    def run(self) -> int:
        """All jobs; returns the total cycles."""
        left = Counter(job.layer for job in self.jobs)
        cycle = 0
        while True:
            for job in self._complete(cycle):
                left[job.layer] -= 1
            while self.layer in left and left[self.layer] == 0:
                self.layer += 1
            if self.layer not in left:
                return cycle
            self._start(cycle)
            self.memory.advance(cycle)
            self._transfers_known(cycle)
            self._book(cycle)
            cycle += 1

    def _complete(self, cycle: int) -> list[Job]:
        """All completions at this time."""
        over = [job for unit in self.units.values() for job in unit.running if job.ends_at == cycle]
        for job in over:
            self.units[job.unit].running.remove(job)
            job.ended = cycle
            for slots in job.frees:
                slots.free += 1
            job.at_end()
        return over

    def _start(self, cycle: int) -> None:
        """All starts at this time; a DMA engine may start several transfers."""
        for unit in self.units.values():
            while unit.waiting and self._may_start(unit):
                job = unit.waiting.popleft()
                unit.begun.append(job)
                unit.running.append(job)
                job.started = cycle
                if job.slot is not None:
                    job.slot.free -= 1
                job.at_start()
                if job.is_transfer:
                    self._post(job, cycle)
                else:
                    job.ends_at = cycle + len(job.cycles)

    def _may_start(self, unit: Unit) -> bool:
        """Transfer i of an engine starts when transfer i - open_transfers has ended and all before it have started."""
        job = unit.waiting[0]
        if job.is_transfer:
            oldest = unit.begun[-unit.open_at_once :]
            if len(oldest) == unit.open_at_once and oldest[0].ended is None:
                return False
        elif unit.running:
            return False
        return job.waits_for(self.layer) is None

    def _post(self, job: Job, cycle: int) -> None:
        """Hand a transfer to the memory; one of nothing takes one cycle and moves nothing."""
        bursts = job.bursts()
        if bursts:
            self.posted.append(job)
            stream = STREAMS.index(job.unit.removeprefix("dma_"))
            self.memory.post(job, stream, bursts, is_write=job.is_write)
        else:
            job.ends_at = cycle + 1

    def _transfers_known(self, cycle: int) -> None:
        """A transfer is ready in the first core cycle at or after the end of its last data."""
        for transfer in self.memory.finished:
            transfer.owner.ends_at = ceil(transfer.end_edge * self.memory.ratio)
            assert transfer.owner.ends_at > cycle
        self.memory.finished.clear()

    def _book(self, cycle: int) -> None:
        if not any(unit.running for unit in self.units.values()):
            waits = {unit.name: unit.waiting[0].waits_for(self.layer) for unit in self.units.values() if unit.waiting}
            raise AssertionError(f"deadlock of the twin at cycle {cycle}: {waits}")
        for unit in self.units.values():
            unit.book(cycle, self.layer)
        self.dram_owners.append(self._dram_owner(cycle))

    def _dram_owner(self, cycle: int) -> str:
        """Busy if a data bus moves in it; else dram if a transfer is open; else operand."""
        if cycle in self.memory.busy_cycles:
            return "busy"
        return "dram" if any(job.ended is None for job in self.posted) else "operand"

    def books(self) -> dict[str, Counter[str]]:
        """Cycles by owner of every part of every unit; after its last transfer the memory is drained."""
        last = max(job.ended for job in self.posted if job.ended is not None)
        dram = Counter(self.dram_owners[:last]) + Counter({"drained": len(self.dram_owners) - last})
        return {part: unit.books[part] for unit in self.units.values() for part in unit.parts} | {"dram": dram}
