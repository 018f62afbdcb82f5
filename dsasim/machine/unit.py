"""A hardware unit: it does its jobs in the order of the stream, and every cycle it does not work has an owner.

Worked example: a job of 5 cycles whose operand is set at 10 and whose slot frees at 12 runs in 12 .. 16.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias

from simpy import Environment, Event

from dsasim.machine.arbiter import Turn
from dsasim.machine.job import Job
from dsasim.machine.spec import UnitSpec
from dsasim.machine.statistics import Statistics
from dsasim.machine.token import Token
from dsasim.machine.waits import Wait, classify
from dsasim.machine.watcher import Watcher

Process: TypeAlias = Generator[Event, Any, None]
Queue: TypeAlias = Iterator[tuple[Job, Turn | None]]

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
        self.waiting_for = NOTHING
        self._last_output_at = 0

    def run(self, queue: Queue) -> Process:
        """Do the jobs of a stage; return when all have ended and their outputs are there."""
        for job, turn in queue:
            space_at = yield from self._acquire(job)
            turn_at = 0 if turn is None else (yield from self._take_turn(turn))
            self._idle(classify(self.idle_since, self.stage_began, space_at, turn_at, job.operands, int(self.env.now)))
            if turn is not None and turn.switch_cycles:
                yield from self._switch(turn.switch_cycles)
            yield self.env.timeout(job.cycles)
            self._end(job, turn)
        yield from self._lag_passed()

    def finish(self, total_cycles: int) -> None:
        """The run is over: the rest of it was idle because nothing was left to do."""
        if total_cycles > self.idle_since:
            self._idle([Wait("drained", self.idle_since, total_cycles)])

    def _acquire(self, job: Job) -> Generator[Event, Any, int]:
        """Wait for space for the output, then for all operands; return when there was space."""
        if job.space is not None:
            yield from self._wait(job.space.take(self.env, self.name), f"space in {job.space.name}")
        space_at = int(self.env.now)
        for operand in job.operands:
            if operand.at is None:
                yield from self._wait(operand.wait(self.env), operand.name)
        return space_at

    def _take_turn(self, turn: Turn) -> Generator[Event, Any, int]:
        """Wait for the job before this one on the shared hardware; return when it ended."""
        if turn.before is None:
            return 0
        yield from self._wait(turn.before.wait(self.env), turn.before.name)
        assert turn.before.at is not None
        return turn.before.at

    def _switch(self, cycles: int) -> Process:
        began = int(self.env.now)
        yield self.env.timeout(cycles)
        self._idle([Wait("dependency", began, began + cycles)])

    def _wait(self, event: Event | None, what: str) -> Process:
        if event is not None:
            self.waiting_for = what
            yield event
            self.waiting_for = NOTHING

    def _end(self, job: Job, turn: Turn | None) -> None:
        """Note how the cycles were spent, free the inputs, and announce the output."""
        now = int(self.env.now)
        start, self.idle_since = now - job.cycles, now
        if job.lanes is None:
            self.statistics[0].job(job, start, job.cycles - job.conflict, job.conflict)
        else:
            for lane, busy, conflict in zip(self.statistics, *job.lanes, strict=True):
                lane.job(job, start, busy, conflict, job.cycles - busy - conflict)
        if turn is not None:
            turn.ended.set(now)
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
