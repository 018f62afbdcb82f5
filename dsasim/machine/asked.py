"""What the jobs of a run asked for, summed as they are made; laws compare it with what the machine did."""

from collections import Counter
from dataclasses import dataclass, field

from dsasim.machine.job import Job


@dataclass
class Asked:
    """Sums over all jobs; transfers and bursts of all memories together."""

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
