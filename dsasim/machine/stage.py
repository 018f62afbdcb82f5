"""A stream of jobs between two barriers, handed out to units while it is being made."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from dsasim.errors import DesignError
from dsasim.machine.arbiter import Grant
from dsasim.machine.job import Job


@dataclass(frozen=True)
class NoMore:
    """In a stream: the unit has no more jobs in it, so that it does not make the stream run to its end for one."""

    unit: str


@dataclass(frozen=True)
class Stage:
    """Jobs that may overlap; all end before the next stage begins.

    `jobs` is consumed once, lazily: each unit's jobs are done in their order in it. `units` are those that take part.
    """

    jobs: Iterable[Job | NoMore]
    units: Collection[str]


class Dispatcher:
    """Hands each unit its jobs of a stage.

    A job is made when the first unit wants it or one behind it; those of others wait. Each is admitted when it is made,
    so that shared hardware is granted in the order of the stream.
    """

    def __init__(self, stage: Stage, admit: Callable[[Job], Grant | None]) -> None:
        self._jobs = iter(stage.jobs)
        self._admit = admit
        self._queues: dict[str, deque[tuple[Job, Grant | None]]] = {unit: deque() for unit in stage.units}

    def queue(self, unit: str) -> Iterator[tuple[Job, Grant | None]]:
        """A unit's jobs, with their grants."""
        return self._handed_out(unit, self._queues[unit])

    def _handed_out(self, unit: str, own: deque[tuple[Job, Grant | None]]) -> Iterator[tuple[Job, Grant | None]]:
        while own or self._pull(unit):
            yield own.popleft()

    def _pull(self, unit: str) -> bool:
        """Make jobs until there is one of `unit`; False if there is none."""
        while unit in self._queues and (job := next(self._jobs, None)) is not None:
            if isinstance(job, NoMore):
                del self._queues[job.unit]
                continue
            if job.unit not in self._queues:
                raise DesignError(f"a job of {job.unit} ({job.name}) in a stage that does not name it, or no more")
            self._queues[job.unit].append((job, self._admit(job)))
            if job.unit == unit:
                return True
        return False
