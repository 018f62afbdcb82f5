"""DMA engine: moves one stream between a memory and a buffer, transfer after transfer, several open at a time.

Transfer i starts when transfer i - open_transfers has ended, its buffer has space (reads) and its operands are made
(data to write, or the plan that says what to fetch). The engine is busy while any of its transfers is open. A transfer
of nothing posts nothing and takes one cycle.
"""

from collections import deque
from collections.abc import Sequence

from simpy import Environment, Event

from dsasim.machine.job import Job
from dsasim.machine.spec import UnitSpec
from dsasim.machine.transfer import Memory
from dsasim.machine.unit import Process, Queue, Unit
from dsasim.machine.waits import classify
from dsasim.machine.watcher import Watcher


class DmaEngine(Unit):
    """One engine; `stream` is its number at the memory."""

    def __init__(
        self, env: Environment, spec: UnitSpec, memory: Memory, stream: int, watchers: Sequence[Watcher] = ()
    ) -> None:
        super().__init__(env, spec, watchers)
        self.open_transfers = spec.open_transfers
        self._memory = memory
        self._stream = stream
        self._watchers = watchers
        self._open: deque[Event] = deque()
        self._started = 0
        self._num_open = 0
        self._busy_since = 0

    def run(self, queue: Queue) -> Process:
        """Start the transfers of a stage in order; return when all have ended."""
        for job, _ in queue:
            if len(self._open) == self.open_transfers:
                yield from self._oldest_ended()
            space_at = yield from self._acquire(job)
            now = int(self.env.now)
            if self._num_open == 0:
                self._idle(classify(self.idle_since, self.stage_began, space_at, 0, job.operands, now))
                self._busy_since = now
            self._start(job)
        while self._open:
            yield from self._oldest_ended()
        yield from self._lag_passed()

    def _oldest_ended(self) -> Process:
        oldest = self._open.popleft()
        if not oldest.processed:
            yield from self._wait(oldest, "its oldest transfer")

    def _start(self, job: Job) -> None:
        assert job.transfer is not None
        start, place = int(self.env.now), self._started % self.open_transfers
        self._started += 1
        self._num_open += 1
        if job.makes is not None:
            job.makes.opened = start
        empty = job.transfer.num_bytes == 0
        done = self.env.timeout(1) if empty else self._memory.post(self._stream, job.transfer)
        assert done.callbacks is not None
        done.callbacks.append(lambda _: self._ended(job, start, place))
        self._open.append(done)

    def _ended(self, job: Job, start: int, place: int) -> None:
        now = int(self.env.now)
        for watcher in self._watchers:
            watcher.transfer(self.name, place, job, start, now)
        self._num_open -= 1
        if self._num_open == 0:
            self.idle_since = now
            self.statistics[0].job(job, self._busy_since, now - self._busy_since)
        self._hand_on(job, now)
