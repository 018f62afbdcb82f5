"""The loop that runs jobs on any `concurrent.futures` executor, whatever its workers do."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from dsasim.sweep.row import RowLine
from dsasim.sweep.worker import SweepJob, begin_worker

MAX_CRASHES = 2
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Each worker is one core: more threads would get in each other's way, and change the order of float sums."""

NOT_TO_WORKERS = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}
"""Signals that a worker does not hear as it begins; after that SIGTERM ends it (`begin_worker`)."""

PUT_AWAY_SECONDS = 5.0
"""A pool whose processes are dead is put away in milliseconds; nobody waits for one that is stuck."""

CHUNK_SECONDS = 0.25
"""Jobs are handed over in chunks of about this time: a hand-over costs the main process a quarter of a millisecond."""

CHUNKS_LEFT = 4
"""A chunk is at most a worker's share of what is left over this: at the end no worker waits long for another."""

Task = Callable[[SweepJob], RowLine]
_Done: TypeAlias = tuple[list[RowLine], float]
"""The rows of a chunk of jobs, and how many seconds it took."""


@dataclass(frozen=True)
class Crash:
    """How a job ended that cost its worker process, and so has no row."""

    reason: str


class Workers(Protocol):
    """Makes executors of `num_workers` workers, anew after a crash broke the last one, and ends one at once.

    `lost` is what a job's future raises if its worker died.
    """

    num_workers: int
    lost: type[Exception]

    def start(self) -> Executor:
        """Return a new executor."""

    def stop(self, executor: Executor) -> None:
        """End the executor without waiting for what it runs."""


class LocalWorkers:
    """Processes of this machine, spawned unless told otherwise (a forked one inherits the parent's locks)."""

    lost: type[Exception] = BrokenExecutor

    def __init__(self, num_workers: int, start_method: str = "spawn") -> None:
        self.num_workers = num_workers
        self._start_method = start_method
        self._others = set(multiprocessing.active_children())

    def start(self) -> Executor:
        """Return a new pool, its processes under way."""
        try:
            return self._begin()
        except BaseException:  # told to stop in the middle of it
            self._kill()
            raise

    def stop(self, executor: Executor) -> None:
        """Kill the processes, and wait for the thread that looks after them: at exit Python would run into its end."""
        self._kill()
        put_away = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        put_away.start()
        put_away.join(PUT_AWAY_SECONDS)

    def _begin(self) -> Executor:
        for name in ONE_THREAD:
            os.environ.setdefault(name, "1")
        # A process takes over what is blocked: Ctrl-C in a worker's first second, before it can ignore it, prints no
        # traceback; and where a terminal is closed, Python's own process that looks after semaphores outlives us, as it
        # must.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_TO_WORKERS)
        try:
            executor = ProcessPoolExecutor(
                self.num_workers, multiprocessing.get_context(self._start_method), begin_worker
            )
            signal.pthread_sigmask(signal.SIG_BLOCK, NOT_TO_WORKERS)  # to start that process unblocks Ctrl-C
            for _ in range(self.num_workers):
                executor.submit(os.getpid)  # a process starts with a job that finds none idle
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return executor

    def _kill(self) -> None:
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()


class JobRunner:
    """Runs jobs, some at a time, and blames the right one for a crash.

    A dead worker breaks a process pool, and every job in flight is lost with it. A cluster lives on and tries again,
    but gives up whatever waited for a worker when it died. Those jobs are suspects: each is run again, alone, and only
    a job that crashed alone is blamed. After `MAX_CRASHES` of those it has failed; after one on a cluster, which has
    tried more often by then.
    """

    def __init__(self, workers: Workers, task: Task) -> None:
        self._workers = workers
        self._task = task
        self._executor: Executor | None = None
        self._flying: dict[Future[_Done], Sequence[SweepJob]] = {}
        self._suspects: deque[SweepJob] = deque()
        self._crashes: Counter[int] = Counter()
        self._job_seconds = CHUNK_SECONDS

    def __enter__(self) -> Self:
        """Let the workers start, which takes them a second, while the points are still being looked at."""
        self._executor = self._workers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard_executor()

    def run(self, jobs: Iterable[SweepJob], num_jobs: int) -> Iterator[tuple[SweepJob, RowLine | Crash]]:
        """Yield each of `num_jobs` jobs with what came of it, as they end; they are taken only as workers need more."""
        fresh, left = iter(jobs), num_jobs
        while True:
            left -= self._launch(fresh, left)
            if not self._flying and not self._suspects:
                return
            done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                done, _ = wait(self._flying)  # they are all lost, or ended in time
            yield from self._landed([(self._flying.pop(future), future) for future in done])

    def _landed(
        self, ended: Iterable[tuple[Sequence[SweepJob], Future[_Done]]]
    ) -> Iterator[tuple[SweepJob, RowLine | Crash]]:
        lost: list[SweepJob] = []
        broken = False
        for chunk, future in ended:
            error = future.exception()
            if error is None:
                lines, seconds = future.result()
                self._job_seconds = seconds / len(chunk)
                yield from zip(chunk, lines, strict=True)
            elif isinstance(error, self._workers.lost):
                broken |= isinstance(error, BrokenExecutor)
                lost += chunk
            else:  # it never ran: a worker of another dsasim, say
                yield from ((job, Crash(f"{type(error).__name__}: {error}")) for job in chunk)
        if broken:
            self._discard_executor()
        alone = len(lost) == 1 and not self._flying
        yield from self._blame(lost, alone * (1 if broken else MAX_CRASHES))

    def _launch(self, fresh: Iterator[SweepJob], left: int) -> int:
        """Keep the workers busy, a suspect alone; return how many of the `left` fresh jobs were taken."""
        taken = 0
        if self._suspects:
            if not self._flying:
                self._submit([self._suspects.popleft()])
            return taken
        # two chunks a worker: the next one is there when one ends
        while len(self._flying) < 2 * self._workers.num_workers and taken < left and not self._suspects:
            chunk = list(islice(fresh, self._chunk_size(left - taken)))
            taken += len(chunk)
            self._submit(chunk)
        return taken

    def _chunk_size(self, left: int) -> int:
        timely = int(CHUNK_SECONDS / max(self._job_seconds, 1e-6))
        return max(1, min(timely, left // (CHUNKS_LEFT * self._workers.num_workers)))

    def _submit(self, chunk: Sequence[SweepJob]) -> None:
        for _ in range(MAX_CRASHES):
            if self._executor is None:
                self._executor = self._workers.start()
            try:
                future = self._executor.submit(_run_chunk, self._task, chunk)
            except BrokenExecutor:
                if self._flying:  # `run` finds out from them
                    break
                self._discard_executor()  # a worker died idle
            else:
                self._flying[future] = chunk
                return
        self._suspects.extend(chunk)

    def _blame(self, lost: Sequence[SweepJob], crashes: int) -> Iterator[tuple[SweepJob, Crash]]:
        for job in sorted(lost, key=lambda job: job.number):
            self._crashes[job.number] += crashes
            if self._crashes[job.number] < MAX_CRASHES:
                self._suspects.append(job)
            else:
                yield job, Crash(f"its worker process died {MAX_CRASHES} times")

    def _discard_executor(self) -> None:
        if self._executor is not None:
            self._workers.stop(self._executor)
        self._executor = None


def _run_chunk(task: Task, jobs: Sequence[SweepJob]) -> _Done:
    """What a worker does: run jobs one after the other, by the clock."""
    began = time.monotonic()
    return [task(job) for job in jobs], time.monotonic() - began
