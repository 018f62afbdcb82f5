"""What one job takes, by the rule of its unit: the step between a mask and a job of the engine."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

from dsasim.machine.job import Events, Job, LaneCycles, Place
from dsasim.machine.space import Releasable, Space
from dsasim.machine.token import Token

NOTHING: Events = MappingProxyType({})


class Work(NamedTuple):
    """`cycles` in all, `conflict` of them lost to bank conflicts; what is counted; its name; `lanes` if it has."""

    cycles: int
    conflict: int = 0
    events: Events = NOTHING
    does: str = "predict"
    lanes: LaneCycles | None = None

    def times(self, count: int) -> "Work":
        """The same `count` times, one after the other, on a unit without lanes."""
        events = {name: number * count for name, number in self.events.items()}
        return Work(self.cycles * count, self.conflict * count, events, self.does)

    def job(
        self,
        unit: str,
        place: Place,
        operands: Sequence[Token] = (),
        space: Space | None = None,
        makes: Token | None = None,
        frees: Sequence[Releasable] = (),
    ) -> Job:
        """What a unit has to do, where, and what it waits for."""
        return Job(
            unit,
            self.does,
            place,
            self.cycles,
            self.conflict,
            operands,
            space,
            makes,
            frees,
            lanes=self.lanes,
            events=self.events,
        )
