"""How a unit, or a lane of it, spent its cycles."""

from collections import Counter
from collections.abc import Sequence

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
        self.stall_cycles["bank_conflict"] += conflict
        self.stall_cycles["imbalance"] += imbalance
        for watcher in self._watchers:
            watcher.job(self.name, job, start, busy, conflict, imbalance)

    def idle(self, waits: Sequence[Wait]) -> None:
        """Add idle cycles."""
        for reason, start, end in waits:
            self.stall_cycles[reason] += end - start
        for watcher in self._watchers:
            watcher.idle(self.name, waits)
