"""A hardware unit: it does its jobs in a fixed order, and every cycle it does not work has an owner.

Timing rule of every unit: start = max(end of its previous job, output slot free, operands ready, its turn, layer
begun). Nothing is chosen by arrival, so results do not depend on the order of simultaneous events.
Who owns the idle cycles: `model.waits`.
"""

from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from simpy import Environment, Event

from dsasim.model.operands import Ready, Room
from dsasim.model.probe import NO_PROBE, Name, Probe
from dsasim.model.waits import Wait, classify

Process: TypeAlias = Generator[Event, Any, None]


@dataclass(frozen=True)
class Turn:
    """A job's place in an order that several units share: after `before`, and after a switch of modes."""

    before: Ready | None
    switch_cycles: int
    ended: Ready


class Unit:
    """Base of all units: waits, works, and keeps the books."""

    def __init__(self, env: Environment, name: str) -> None:
        self.env = env
        self.name = name
        self.probe: Probe = NO_PROBE
        self.busy_cycles = 0
        self.stall_cycles: Counter[str] = Counter()
        self.idle_since = 0
        self.layer_began = 0
        self.waiting_for = "nothing"
        self.turns: deque[Turn] = deque()
        """Turns of the jobs to come, where the unit shares hardware with another; otherwise empty."""
        self._turn: Turn | None = None

    def acquire(self, operands: Sequence[Ready], output: Room | None = None) -> Generator[Event, Any, int]:
        """Wait for room for the output, then for all operands; return when there was room."""
        if output is not None:
            self.waiting_for = f"room in {output.name}"
            yield output.reserve()
        room_at = int(self.env.now)
        for operand in operands:
            if not operand.event.triggered:
                self.waiting_for = operand.name
                yield operand.event
        self.waiting_for = "nothing"
        return room_at

    def wait(self, operands: Sequence[Ready], output: Room | None = None) -> Process:
        """Wait for room, for all operands and for the job's turn, and book the idle cycles."""
        room_at = yield from self.acquire(operands, output)
        turn_at = yield from self._take_turn()
        self.book_idle(classify(self.idle_since, self.layer_began, room_at, turn_at, operands, int(self.env.now)))
        if self._turn is not None and self._turn.switch_cycles:
            began = int(self.env.now)
            yield self.env.timeout(self._turn.switch_cycles)
            self.book_idle([Wait("dependency", began, int(self.env.now))])

    def work(self, name: Name, cycles: int, conflict_cycles: int = 0) -> Process:
        """Work for `cycles`, of which `conflict_cycles` are lost to bank conflicts."""
        yield from self.spend(cycles)
        self.book_job(name, self.idle_since - cycles, cycles - conflict_cycles, conflict_cycles)

    def spend(self, cycles: int) -> Process:
        """Let the job's time pass and end its turn."""
        yield self.env.timeout(cycles)
        self.idle_since = int(self.env.now)
        if self._turn is not None:
            self._turn.ended.set()

    def book_job(self, name: Name, start: int, busy: int, conflict: int = 0, imbalance: int = 0) -> None:
        """Add the cycles of a job to the books."""
        self.busy_cycles += busy
        self.stall_cycles["bank_conflict"] += conflict
        self.stall_cycles["imbalance"] += imbalance
        self.probe.job(self.name, name, start, busy, conflict, imbalance)

    def book_idle(self, waits: Sequence[Wait]) -> None:
        """Add classified idle cycles to the books."""
        for reason, start, end in waits:
            self.stall_cycles[reason] += end - start
        self.probe.idle(self.name, waits)

    def finish(self, total_cycles: int) -> None:
        """The run is over: the rest of it was idle because nothing was left to do."""
        if total_cycles > self.idle_since:
            self.book_idle([Wait("drained", self.idle_since, total_cycles)])

    def _take_turn(self) -> Generator[Event, Any, int]:
        """Wait for the job before this one in the shared order; return when it ended."""
        self._turn = self.turns.popleft() if self.turns else None
        if self._turn is None or self._turn.before is None:
            return 0
        before = self._turn.before
        if not before.event.triggered:
            self.waiting_for = before.name
            yield before.event
            self.waiting_for = "nothing"
        assert before.at is not None
        return before.at
