"""Products on the PE array and on systolic arrays, cycle by cycle.

Each function returns the owner of every cycle of the job, a tuple with one entry a lane: busy, bank_conflict (waiting
for a bank) or imbalance (waiting for other lanes).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from twin.plan import Step

Cycles = list[tuple[str, ...]]


class Speeds(NamedTuple):
    """Lanes and the buffer they read."""

    lanes: int
    banks: int
    vector_cycles: int
    """A row's dot product with one key: ceil(d_head / macs_per_row)."""
    read_cycles: int
    """A bank delivering one vector: ceil(vector bytes / port bytes)."""


@dataclass
class Lane:
    """A lane and the steps it still has to do."""

    steps: deque[Step]
    elapsed: int = 0
    unread: int = 0
    in_step: bool = False


@dataclass
class Bank:
    """A bank and the lanes whose vectors it still has to deliver, first come first served."""

    asked: deque[list[Lane]] = field(default_factory=deque)
    delivering: int = 0

    def advance(self, read_cycles: int) -> None:
        """Deliver for one cycle."""
        if self.asked:
            self.delivering += 1
            if self.delivering == read_cycles:
                self.delivering = 0
                for lane in self.asked.popleft():
                    lane.unread -= 1


def walk(groups: list[list[Step]], speeds: Speeds, lane_sync: str = "lock_step") -> tuple[Cycles, int]:
    """A job whose lane l does groups l, l + lanes, ... (rule "Array"): its cycles, and the vectors read."""
    dealt = [groups[lane :: speeds.lanes] for lane in range(speeds.lanes)]
    lanes = [Lane(deque(step for group in own for step in group)) for own in dealt]
    banks = [Bank() for _ in range(speeds.banks)]
    cycles: Cycles = []
    reads = 0
    while True:
        over = [lane for lane in lanes if lane.in_step and lane.elapsed >= speeds.vector_cycles and not lane.unread]
        if lane_sync == "independent" or len(over) == sum(lane.in_step for lane in lanes):
            for lane in over:
                lane.in_step = False
        starting = [lane for lane in lanes if not lane.in_step and lane.steps]
        if lane_sync == "independent":
            reads += sum(_start([lane], banks) for lane in starting)
        elif not any(lane.in_step for lane in lanes):
            reads += _start(starting, banks)
        if not any(lane.in_step for lane in lanes):
            return cycles or [("imbalance",) * speeds.lanes], reads
        cycles.append(tuple(_owner(lane, speeds) for lane in lanes))
        for lane in lanes:
            lane.elapsed += 1
        for bank in banks:
            bank.advance(speeds.read_cycles)


def _start(lanes: list[Lane], banks: list[Bank]) -> int:
    """Lanes that start a step together share their reads; returns the vectors they ask for."""
    wanting: dict[int, list[Lane]] = {}
    for lane in lanes:
        lane.in_step, lane.elapsed, lane.unread = True, 0, 0
        for key in lane.steps.popleft():
            wanting.setdefault(key, []).append(lane)
            lane.unread += 1
    for key, sharing in wanting.items():
        banks[key % len(banks)].asked.append(sharing)
    return len(wanting)


def _owner(lane: Lane, speeds: Speeds) -> str:
    if not lane.in_step:
        return "imbalance"
    return "busy" if lane.elapsed < speeds.vector_cycles else "bank_conflict"


def product(
    rows: int, inner: int, columns: int, array: tuple[int, int], stretch: int = 1, *, drain_port: bool = False
) -> list[str]:
    """An output-stationary product M x K x N on R x C PEs: the owner of each cycle (rule "Folds").

    Fold after fold streams `inner` operands without a gap (R at least, where results leave through the array's rows);
    the buffer's ports deliver the operands of one cycle in `stretch`. The PE in the far corner ends R + C - 2 later.
    """
    streaming = 0
    for _row_fold in range(0, rows, array[0]):
        for _column_fold in range(0, columns, array[1]):
            streaming += max(inner, array[0]) if drain_port else inner
    return with_skew(streaming, array, stretch)


def with_skew(streaming: int, array: tuple[int, int], stretch: int) -> list[str]:
    """Cycles of a product whose folds stream for `streaming` cycles."""
    return (["busy"] + ["bank_conflict"] * (stretch - 1)) * streaming + ["busy"] * (array[0] + array[1] - 2)


def port_stretch(bits_per_cycle: int, banks: int, port_bytes: int) -> int:
    """Cycles in which a buffer delivers what an array consumes in one."""
    cycles = 1
    while cycles * banks * port_bytes * 8 < bits_per_cycle:
        cycles += 1
    return cycles
