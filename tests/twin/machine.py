"""The loop over core cycles, and who owns each cycle of each unit (rules "Events" and "Who owns a cycle").

Time t is the boundary before cycle t: all completions at t, then all starts, then the cycle itself. A unit does its
jobs in order; a job starts when the one before it has ended, its operands are ready and its output has a slot.
"""

from collections import Counter, deque
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

    def __post_init__(self) -> None:
        self.is_transfer = self.unit.startswith("dma_")

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
    books: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Cycles by their owner in each part."""
    idle: tuple[str, ...] = ()
    """Who owns the cycles until something begins or ends, if nothing runs."""

    def book(self, cycle: int) -> None:
        """Give cycle `cycle` its owner, in every part."""
        if not self.running:
            self.books[self.idle] += 1
            return
        job = self.running[0]
        assert job.started is not None
        self.books[("busy",) if job.is_transfer else job.cycles[cycle - job.started]] += 1

    def look(self, layer: int) -> None:
        """Why it waits, if nothing runs."""
        if not self.running:
            reason = self.waiting[0].waits_for(layer) if self.waiting else "drained"
            assert reason is not None
            self.idle = (reason,) * len(self.parts)

    def books_of(self, part: str) -> Counter[str]:
        """Cycles of a part by owner."""
        at, owned = self.parts.index(part), Counter[str]()
        for owners, cycles in self.books.items():
            owned[owners[at]] += cycles
        return owned


class Machine:
    """Units, jobs and memory; `run` steps through every cycle."""

    def __init__(self, lanes: int, open_transfers: int, memory: Memory) -> None:
        self.memory = memory
        front = [Unit(name, [name]) for name in ("predictor", "mask_generator", "scheduler", "softmax")]
        array = Unit("pe_array", [f"lane_{lane}" for lane in range(lanes)])
        engines = [Unit(f"dma_{stream}", [f"dma_{stream}"], open_transfers) for stream in STREAMS]
        self.units = {unit.name: unit for unit in [*front, array, *engines]}
        self.jobs: list[Job] = []
        self.open: set[Job] = set()
        """Transfers that the memory has and whose end has not come."""
        self.last_transfer = 0
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
        cycle, stirred = 0, True
        while True:
            ended = self._complete(cycle)
            for job in ended:
                left[job.layer] -= 1
            while self.layer in left and left[self.layer] == 0:
                self.layer += 1
            if self.layer not in left:
                return cycle
            if ended or stirred:  # nothing can start, or wait for something else, before something begins or ends
                stirred = self._start(cycle) or bool(ended)
                for unit in self.units.values():
                    unit.look(self.layer)
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
            if job in self.open:
                self.open.remove(job)
                self.last_transfer = cycle
            for slots in job.frees:
                slots.free += 1
            job.at_end()
        return over

    def _start(self, cycle: int) -> bool:
        """All starts at this time, and whether there were any; a DMA engine may start several transfers."""
        any_start = False
        for unit in self.units.values():
            while unit.waiting and self._may_start(unit):
                any_start = True
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
        return any_start

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
            self.open.add(job)
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
            unit.book(cycle)
        self.dram_owners.append(self._dram_owner(cycle))

    def _dram_owner(self, cycle: int) -> str:
        """Busy if a data bus moves in it; else dram if a transfer is open; else operand."""
        if cycle in self.memory.busy_cycles:
            return "busy"
        return "dram" if self.open else "operand"

    def books(self) -> dict[str, Counter[str]]:
        """Cycles by owner of every part of every unit; after its last transfer the memory is drained."""
        last = self.last_transfer
        dram = Counter(self.dram_owners[:last]) + Counter({"drained": len(self.dram_owners) - last})
        return {part: unit.books_of(part) for unit in self.units.values() for part in unit.parts} | {"dram": dram}
