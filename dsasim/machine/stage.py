"""A stream of jobs between two barriers, handed out to units while it is being made."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dsasim.errors import DesignError
from dsasim.machine.arbiter import Arbiter, Turn
from dsasim.machine.job import Job
from dsasim.machine.spec import UnitSpec, check_job


@dataclass(frozen=True)
class Stage:
    """Jobs that may overlap; all end before the next stage begins.

    `jobs` is consumed once, lazily: each unit's jobs are done in their order in it. `units` are those that take part; a
    unit without a job would make the stream run to its end.
    """

    jobs: Iterable[Job]
    units: Collection[str]


class Dispatcher:
    """Hands each unit its jobs of a stage, and each job of shared hardware its turn, in the order of the stream.

    `note` is told of each job. A job is made when the first unit wants it or one behind it; those of others wait.
    """

    def __init__(
        self,
        stage: Stage,
        specs: Mapping[str, UnitSpec],
        arbiters: Mapping[str, Arbiter],
        note: Callable[[Job], None],
    ) -> None:
        self._jobs = iter(stage.jobs)
        self._specs = specs
        self._arbiters = arbiters
        self._note = note
        self._queues: dict[str, deque[tuple[Job, Turn | None]]] = {unit: deque() for unit in stage.units}

    def queue(self, unit: str) -> Iterator[tuple[Job, Turn | None]]:
        """A unit's jobs, with their turns."""
        own = self._queues[unit]
        while own or self._pull(unit):
            yield own.popleft()

    def _pull(self, unit: str) -> bool:
        """Make jobs until there is one of `unit`; False at the end of the stream."""
        for job in self._jobs:
            if job.unit not in self._queues:
                raise DesignError(f"a job of {job.unit} ({job.name}) in a stage that does not name it")
            check_job(self._specs[job.unit], job)
            self._note(job)
            arbiter = self._arbiters.get(job.unit)
            self._queues[job.unit].append((job, None if arbiter is None else arbiter.turn(job.unit)))
            if job.unit == unit:
                return True
        return False
