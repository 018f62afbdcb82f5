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


class Systolic(NamedTuple):
    """R x C PEs, what they hold, and whether a fold overlaps with the next (rule "Folds")."""

    rows: int
    columns: int
    stationary: str = "output"
    pipelined: bool = True

    def streams(self, rows: int, inner: int, columns: int) -> list[int]:
        """Cycles for which each fold of an M x K x N product streams, without the skew."""
        down, across, stream = {
            "output": (rows, columns, inner),
            "weight": (inner, columns, rows),
            "input": (inner, rows, columns),
        }[self.stationary]
        folds = [stream for _ in range(0, down, self.rows) for _ in range(0, across, self.columns)]
        return [stream for stream in folds if stream > 0]

    def right_reads(self, rows: int, inner: int, columns: int) -> int:
        """Elements of the K x N operand that enter: once if held, else once for each fold of the result's rows."""
        height = {"output": self.rows, "weight": rows or 1, "input": self.columns}[self.stationary]
        return sum(inner * columns for _ in range(0, rows, height))

    def cycles(self, streams: list[int], port: int) -> int:
        """From the first element to the last result; what is held passes a column's port in `port` cycles a fold."""
        if not streams:
            return 0
        skew = self.rows + self.columns - 2
        if not self.pipelined:
            filling = 0 if self.stationary == "output" else port
            return sum(filling + stream + skew for stream in streams)
        return self._leaving(streams, port) if self.stationary == "output" else self._entering(streams, port)

    def _leaving(self, streams: list[int], port: int) -> int:
        """Sums leave a column while the next fold streams; its port serves one fold after the other."""
        begin, port_free = 0, 0
        for stream in streams:
            summed = max(begin + stream, port_free)
            begin, port_free = summed, summed + port
        return port_free + self.rows + self.columns - 2

    def _entering(self, streams: list[int], port: int) -> int:
        """What the next fold holds enters a column while this one streams."""
        loaded, free = port, 0
        for stream in streams:
            begin = max(loaded, free)
            loaded, free = begin + port, begin + stream
        return free + self.rows + self.columns - 2


def port_stretch(bits_per_cycle: int, banks: int, port_bytes: int) -> int:
    """Cycles in which a buffer delivers what an array consumes in one."""
    cycles = 1
    while cycles * banks * port_bytes * 8 < bits_per_cycle:
        cycles += 1
    return cycles


def product(array: Systolic, shape: tuple[int, int, int], stretch: int) -> list[str]:
    """An M x K x N product whose streamed operands come `stretch` times slower: the excess is bank conflict."""
    streams = array.streams(*shape)
    busy = array.cycles(streams, array.rows)
    return owners(busy, array.cycles([stream * stretch for stream in streams], array.rows))


def owners(busy: int, cycles: int) -> list[str]:
    """Owner of each cycle of a job that would take `busy` cycles with fast enough ports."""
    return ["busy"] * busy + ["bank_conflict"] * (cycles - busy)
