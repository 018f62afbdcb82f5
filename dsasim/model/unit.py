"""A hardware unit: it does its jobs in a fixed order, and every cycle it does not work has an owner.

Timing rule of every unit: start = max(end of its previous job, output slot free, operands ready, its turn, layer
begun). Nothing is chosen by arrival, so results do not depend on the order of simultaneous events.

Each idle cycle belongs to the first of these that holds:

    drained       no job is left for the unit in this run
    dependency    the next job belongs to a layer that has not begun
    output_full   the next job's output has no room
    dram          a missing operand is being transferred
    dependency    the job whose turn comes before has not ended, or the hardware is being switched (`model.turns`)
    operand       a missing operand has not been made yet

Worked example: the unit is free at 10, its layer began at 0, its output slot frees at 12, its operand's transfer opened
at 11 and ended at 20. Then cycles 10, 11 are output_full and 12 .. 19 are dram.
"""

from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from simpy import Container, Environment, Event

Process: TypeAlias = Generator[Event, Any, None]


class Ready:
    """An operand that will be in its buffer: its arrival, and when its transfer opened if DMA brings it."""

    __slots__ = ("at", "event", "name", "opened")

    def __init__(self, env: Environment, name: str) -> None:
        self.event = env.event()
        self.name = name
        self.opened: int | None = None
        self.at: int | None = None

    def set(self) -> None:
        """Announce that the operand is complete now."""
        self.at = int(self.event.env.now)
        self.event.succeed()


class Room(Protocol):
    """Somewhere an output can go."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def reserve(self) -> Event:
        """An event that fires when there is room, which is yours from then on."""


class Slots:
    """The slots of a buffer between two units: reserved at a job's start, freed by the end of the last reader."""

    def __init__(self, env: Environment, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self._free = Container(env, capacity=count, init=count)

    def reserve(self) -> Event:
        """An event that fires when a slot is yours."""
        return self._free.get(1)

    def release(self) -> None:
        """Give a slot back."""
        self._free.put(1)


@dataclass(frozen=True)
class After:
    """Room that another job's end makes: a fetch into a pool waits for the part whose keys it may overwrite."""

    ready: Ready
    name: str

    def reserve(self) -> Event:
        """The other job's end."""
        return self.ready.event


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
            yield self.env.timeout(self._turn.switch_cycles)
            self.book_idle({"dependency": self._turn.switch_cycles})

    def work(self, cycles: int, conflict_cycles: int = 0) -> Process:
        """Work for `cycles`, of which `conflict_cycles` are lost to bank conflicts."""
        yield from self.spend(cycles)
        self.busy_cycles += cycles - conflict_cycles
        self.stall_cycles["bank_conflict"] += conflict_cycles

    def spend(self, cycles: int) -> Process:
        """Let the job's time pass and end its turn."""
        yield self.env.timeout(cycles)
        self.idle_since = int(self.env.now)
        if self._turn is not None:
            self._turn.ended.set()

    def book_idle(self, reasons: dict[str, int]) -> None:
        """Add classified idle cycles to the books."""
        self.stall_cycles.update(reasons)

    def finish(self, total_cycles: int) -> None:
        """The run is over: the rest of it was idle because nothing was left to do."""
        self.book_idle({"drained": total_cycles - self.idle_since})

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


def classify(
    idle_since: int, layer_began: int, room_at: int, turn_at: int, operands: Sequence[Ready], start: int
) -> dict[str, int]:
    """Give each cycle of the wait [idle_since, start) its owner; see the module's rule and example."""
    begun = min(max(idle_since, layer_began), start)
    roomy = min(max(begun, room_at), start)
    windows = [(o.opened, o.at) for o in operands if o.opened is not None and o.at is not None]
    transferring = _covered(windows, roomy, start)
    turn = min(max(roomy, turn_at), start)
    out_of_turn = turn - roomy - _covered(windows, roomy, turn)
    return {
        "dependency": begun - idle_since + out_of_turn,
        "output_full": roomy - begun,
        "dram": transferring,
        "operand": start - roomy - transferring - out_of_turn,
    }


def _covered(windows: Sequence[tuple[int, int]], low: int, high: int) -> int:
    """Cycles of [low, high) that at least one window [opened, arrived) covers."""
    covered, last = 0, low
    for opened, arrived in sorted(windows):
        first, end = max(last, opened), min(arrived, high)
        if end > first:
            covered += end - first
            last = end
    return covered
