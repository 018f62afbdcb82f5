"""DMA engine: moves one stream between DRAM and its buffer, transfer after transfer, several open at a time.

Transfer i starts when transfer i - open_transfers has ended, its buffer has room (reads) and its operand is made (data
to write, or the plan that says what to fetch). The engine is busy while any of its transfers is open. A transfer of
nothing posts nothing and takes one cycle.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from simpy import Environment, Event

from dsasim.model.dram import Dram, Transfer
from dsasim.model.operands import Ready, Room, Slots
from dsasim.model.probe import Name
from dsasim.model.unit import Process, Unit
from dsasim.model.waits import classify

MOVING = Name("moving", "")
"""An engine's job as its books have it: at least one transfer is open."""


@dataclass(frozen=True)
class DmaJob:
    """A transfer, with what it waits for and what its end announces."""

    transfer: Transfer
    operand: Ready | None = None
    reserve: Room | None = None
    arrived: Ready | None = None
    release: Slots | None = None

    @property
    def name(self) -> str:
        """What is moved, by the operand that it becomes or was."""
        moved = self.arrived or self.operand
        return "" if moved is None else moved.name


class DmaEngine(Unit):
    """One engine; `stream` is its number at the memory controller."""

    def __init__(self, env: Environment, name: str, stream: int, dram: Dram, open_transfers: int) -> None:
        super().__init__(env, name)
        self.stream = stream
        self.dram = dram
        self.open_transfers = open_transfers
        self._open: deque[Event] = deque()
        self._started = 0
        self._num_open = 0
        self._busy_since = 0

    def run(self, jobs: Iterable[DmaJob]) -> Process:
        """Start the layer's transfers in order; return when all have ended."""
        for job in jobs:
            if len(self._open) == self.open_transfers:
                yield from self._oldest_ended()
            operands = [] if job.operand is None else [job.operand]
            room_at = yield from self.acquire(operands, job.reserve)
            now = int(self.env.now)
            if self._num_open == 0:
                self.book_idle(classify(self.idle_since, self.layer_began, room_at, 0, operands, now))
                self._busy_since = now
            self._start(job)
        while self._open:
            yield from self._oldest_ended()

    def _oldest_ended(self) -> Process:
        oldest = self._open.popleft()
        if not oldest.processed:
            self.waiting_for = "its oldest transfer"
            yield oldest
            self.waiting_for = "nothing"

    def _start(self, job: DmaJob) -> None:
        start, place = int(self.env.now), self._started % self.open_transfers
        self._started += 1
        self._num_open += 1
        if job.arrived is not None:
            job.arrived.opened = start
        done = self.env.timeout(1) if job.transfer.num_bytes == 0 else self.dram.post(self.stream, job.transfer)
        assert done.callbacks is not None
        done.callbacks.append(lambda _: self._ended(job, start, place))
        self._open.append(done)

    def _ended(self, job: DmaJob, start: int, place: int) -> None:
        now = int(self.env.now)
        self.probe.transfer(self.name, place, job.name, start, now, job.transfer)
        self._num_open -= 1
        if self._num_open == 0:
            self.idle_since = now
            self.book_job(MOVING, self._busy_since, now - self._busy_since)
        if job.arrived is not None:
            job.arrived.set()
        if job.release is not None:
            job.release.release()
