"""How a unit, or a lane of it, spent its cycles; and what the jobs of a run asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsasim.machine.job import Job
from dsasim.machine.waits import Wait
from dsasim.machine.watcher import Watcher


class Statistics:
    """Busy cycles, and stalls by reason."""

    def __init__(self, name: str, watchers: Sequence[Watcher]) -> None:
        self.name = name
        self.busy_cycles = 0
        self.stall_cycles: Counter[str] = Counter()
        self._watchers = watchers

    def job(self, job: Job, start: int, busy: int, conflict: int = 0, imbalance: int = 0) -> None:
        """Add the cycles of a job that began at `start`."""
        self.busy_cycles += busy
        if conflict:
            self.stall_cycles["bank_conflict"] += conflict
        if imbalance:
            self.stall_cycles["imbalance"] += imbalance
        for watcher in self._watchers:
            watcher.job(self.name, job, start, busy, conflict, imbalance)

    def idle(self, waits: Sequence[Wait]) -> None:
        """Add idle cycles."""
        for reason, start, end in waits:
            self.stall_cycles[reason] += end - start
        for watcher in self._watchers:
            watcher.idle(self.name, waits)


@dataclass
class Totals:
    """Sums over all jobs as they are made, which laws compare with what the machine did; all memories together."""

    events: Counter[str] = field(default_factory=Counter)
    job_cycles: int = 0
    """Of all jobs one after the other until their outputs are there, transfers apart."""
    transfers: int = 0
    bursts: int = 0

    def add(self, job: Job, bursts: int) -> None:
        """One more job; `bursts` of its transfer."""
        for name, number in job.events.items():
            self.events[name] += number
        self.job_cycles += job.cycles + job.lag
        self.transfers += job.transfer is not None
        self.bursts += bursts
