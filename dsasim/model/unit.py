"""A hardware unit: it does its jobs in a fixed order, and every cycle it does not work has an owner.

Timing rule of every unit: start = max(end of its previous job, output slot free, operands ready, layer begun). Nothing
is chosen by arrival, so results do not depend on the order of simultaneous events.

Each idle cycle belongs to the first of these that holds (design section 2.6):

    drained       no job is left for the unit in this run
    dependency    the next job belongs to a layer that has not begun
    output_full   the next job's output has no slot
    dram          a missing operand is being transferred
    operand       a missing operand has not been made yet

Worked example: the unit is free at 10, its layer began at 0, its output slot frees at 12, its operand's transfer opened
at 11 and ended at 20. Then cycles 10, 11 are output_full and 12 .. 19 are dram.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, TypeAlias

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

    def acquire(self, operands: Sequence[Ready], output: Slots | None = None) -> Generator[Event, Any, int]:
        """Wait for an output slot, then for all operands; return when the slot was free."""
        if output is not None:
            self.waiting_for = f"a free slot of {output.name}"
            yield output.reserve()
        slot_at = int(self.env.now)
        for operand in operands:
            if not operand.event.triggered:
                self.waiting_for = operand.name
                yield operand.event
        self.waiting_for = "nothing"
        return slot_at

    def wait(self, operands: Sequence[Ready], output: Slots | None = None) -> Process:
        """Wait for an output slot and all operands, and book the idle cycles."""
        slot_at = yield from self.acquire(operands, output)
        self.book_idle(classify(self.idle_since, self.layer_began, slot_at, operands, int(self.env.now)))

    def work(self, cycles: int, conflict_cycles: int = 0) -> Process:
        """Work for `cycles`, of which `conflict_cycles` are lost to bank conflicts."""
        yield self.env.timeout(cycles)
        self.busy_cycles += cycles - conflict_cycles
        self.stall_cycles["bank_conflict"] += conflict_cycles
        self.idle_since = int(self.env.now)

    def book_idle(self, reasons: dict[str, int]) -> None:
        """Add classified idle cycles to the books."""
        self.stall_cycles.update(reasons)

    def finish(self, total_cycles: int) -> None:
        """The run is over: the rest of it was idle because nothing was left to do."""
        self.book_idle({"drained": total_cycles - self.idle_since})


def classify(idle_since: int, layer_began: int, slot_at: int, operands: Sequence[Ready], start: int) -> dict[str, int]:
    """Give each cycle of the wait [idle_since, start) its owner; see the module's rule and example."""
    begun = min(max(idle_since, layer_began), start)
    slotted = min(max(begun, slot_at), start)
    transferring = 0
    covered = slotted
    windows = [(o.opened, o.at) for o in operands if o.opened is not None and o.at is not None]
    for opened, arrived in sorted(windows):
        low, high = max(covered, opened), min(arrived, start)
        if high > low:
            transferring += high - low
            covered = high
    return {
        "dependency": begun - idle_since,
        "output_full": slotted - begun,
        "dram": transferring,
        "operand": start - slotted - transferring,
    }
