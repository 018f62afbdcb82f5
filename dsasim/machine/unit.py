"""A hardware unit: it does its jobs in the order of the stream, and every cycle it does not work has an owner.

Worked example: a job of 5 cycles whose operand is set at 10 and whose slot frees at 12 runs in 12 .. 16.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias

from simpy import Environment, Event

from dsasim.machine.arbiter import Grant
from dsasim.machine.job import Job
from dsasim.machine.space import Space
from dsasim.machine.spec import UnitSpec
from dsasim.machine.statistics import Statistics
from dsasim.machine.token import Token
from dsasim.machine.waits import Wait, classify
from dsasim.machine.watcher import Watcher

Process: TypeAlias = Generator[Event, Any, None]
Queue: TypeAlias = Iterator[tuple[Job, Grant | None]]

NOTHING = "nothing"


class Unit:
    """Waits, works, and keeps statistics: one, or one a lane."""

    def __init__(self, env: Environment, spec: UnitSpec, watchers: Sequence[Watcher] = ()) -> None:
        self.env = env
        self.name = spec.name
        self.lanes = spec.lanes
        self.statistics = tuple(Statistics(name, watchers) for name in spec.lanes or (spec.name,))
        self.idle_since = 0
        self.stage_began = 0
        self._awaited: Token | Space | str = NOTHING
        self._last_output_at = 0

    @property
    def waiting_for(self) -> str:
        """What it waits for at the moment, in words."""
        if isinstance(self._awaited, str):
            return self._awaited
        return self._awaited.name if isinstance(self._awaited, Token) else f"space in the {self._awaited.name}"

    def run(self, queue: Queue) -> Process:
        """Do the jobs of a stage; return when all have ended and their outputs are there."""
        for job, grant in queue:
            space_at = yield from self._acquire(job)
            granted_at = 0
            if grant is not None and grant.before is not None:
                yield from self._wait(grant.before.wait(self.env), grant.before)
                granted_at = grant.before.at or 0
            start = int(self.env.now)
            if start > self.idle_since:
                self._idle(classify(self.idle_since, self.stage_began, space_at, granted_at, job.operands, start))
            if grant is not None and grant.switch_cycles:
                yield self.env.timeout(grant.switch_cycles)
                self._idle([Wait("dependency", start, start + grant.switch_cycles)])
            yield self.env.timeout(job.cycles)
            self._end(job, grant)
        yield from self._lag_passed()

    def finish(self, total_cycles: int) -> None:
        """The run is over: the rest of it was idle because nothing was left to do."""
        if total_cycles > self.idle_since:
            self._idle([Wait("drained", self.idle_since, total_cycles)])

    def _acquire(self, job: Job) -> Generator[Event, Any, int]:
        """Wait for space for the output, then for all operands; return when there was space."""
        if job.space is not None:
            yield from self._wait(job.space.take(self.env, self.name), job.space)
        space_at = int(self.env.now)
        for operand in job.operands:
            if operand.at is None:
                yield from self._wait(operand.wait(self.env), operand)
        return space_at

    def _wait(self, event: Event | None, awaited: Token | Space | str) -> Process:
        if event is not None:
            self._awaited = awaited
            yield event
            self._awaited = NOTHING

    def _end(self, job: Job, grant: Grant | None) -> None:
        """Note how the cycles were spent, free the inputs, and announce the output."""
        now = int(self.env.now)
        start, self.idle_since = now - job.cycles, now
        if job.lanes is None:
            self.statistics[0].job(job, start, job.cycles - job.conflict, job.conflict)
        else:
            for lane, busy, conflict in zip(self.statistics, *job.lanes, strict=True):
                lane.job(job, start, busy, conflict, job.cycles - busy - conflict)
        if grant is not None:
            grant.ended.set(now)
        self._hand_on(job, now)

    def _hand_on(self, job: Job, now: int) -> None:
        for space in job.frees:
            space.release()
        if job.makes is None:
            return
        if job.lag:
            self._set_later(job.makes, job.lag)
        else:
            job.makes.set(now)

    def _set_later(self, token: Token, lag: int) -> None:
        later = self.env.timeout(lag)
        assert later.callbacks is not None
        later.callbacks.append(lambda _: token.set(int(self.env.now)))
        self._last_output_at = max(self._last_output_at, int(self.env.now) + lag)

    def _lag_passed(self) -> Process:
        """A stage has not ended before its last output is there."""
        left = self._last_output_at - int(self.env.now)
        if left > 0:
            yield self.env.timeout(left)

    def _idle(self, waits: Sequence[Wait]) -> None:
        """Every lane is idle for the same reasons."""
        for statistics in self.statistics:
            statistics.idle(waits)
