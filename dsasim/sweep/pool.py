"""The loop that runs jobs on any `concurrent.futures` executor, whatever its workers do."""

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from dsasim.errors import ConfigError, TraceError
from dsasim.sweep.worker import Job, begin_worker, run_job

MAX_CRASHES = 2
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Each worker is one core: more threads would get in each other's way, and change the order of float sums."""

Task = Callable[[Job], dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `status` is `ok` with a `result`, `invalid` (the design cannot run the trace) or `failed`."""

    status: str
    result: dict[str, Any] | None
    reason: str = ""


class Workers(Protocol):
    """Makes executors of `num_workers` workers, anew after a crash broke the last one, and ends one at once."""

    num_workers: int

    def start(self) -> Executor:
        """Return a new executor."""

    def stop(self, executor: Executor) -> None:
        """End the executor without waiting for what it runs."""


class LocalWorkers:
    """Processes of this machine, spawned unless told otherwise (a forked one inherits the parent's locks)."""

    def __init__(self, num_workers: int, start_method: str = "spawn") -> None:
        self.num_workers = num_workers
        self._start_method = start_method
        self._others = set(multiprocessing.active_children())

    def start(self) -> Executor:
        """Return a new pool."""
        for name in ONE_THREAD:
            os.environ.setdefault(name, "1")
        return ProcessPoolExecutor(self.num_workers, multiprocessing.get_context(self._start_method), begin_worker)

    def stop(self, executor: Executor) -> None:
        """Kill the processes."""
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()


class JobRunner:
    """Runs jobs and blames the right one for a crash.

    A dead worker breaks a process pool, and every job in flight is lost with it. Those jobs are suspects: each is run
    again, alone, and only a job that crashed alone is blamed. After `MAX_CRASHES` of those it has failed.
    """

    def __init__(self, workers: Workers, task: Task = run_job) -> None:
        self._workers = workers
        self._task = task
        self._executor: Executor | None = None
        self._flying: dict[Future[dict[str, Any]], Job] = {}
        self._suspects: deque[Job] = deque()
        self._crashes: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard_executor()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield each job with its outcome, as they end; `jobs` is taken from only as workers need more."""
        fresh = iter(jobs)
        while self._launch(fresh):
            done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                done, _ = wait(self._flying)  # they are all lost, or ended in time
            ended = [(self._flying.pop(future), future) for future in done]
            lost = [job for job, future in ended if isinstance(future.exception(), BrokenExecutor)]
            for job, future in ended:
                if job not in lost:
                    yield job, _outcome(future)
            if lost:
                self._discard_executor()
            yield from self._blame(lost)

    def _launch(self, fresh: Iterator[Job]) -> bool:
        """Keep the workers busy, a suspect alone; say whether anything runs."""
        if self._suspects:
            if not self._flying:
                self._submit(self._suspects.popleft())
            return True
        # two a worker: the next one is there when one ends
        while len(self._flying) < 2 * self._workers.num_workers and (job := next(fresh, None)) is not None:
            self._submit(job)
        return bool(self._flying)

    def _submit(self, job: Job) -> None:
        for _ in range(MAX_CRASHES):
            if self._executor is None:
                self._executor = self._workers.start()
            try:
                future = self._executor.submit(self._task, job)
            except BrokenExecutor:
                if self._flying:  # `run` finds out from them
                    break
                self._discard_executor()  # a worker died idle
            else:
                self._flying[future] = job
                return
        self._suspects.append(job)

    def _blame(self, lost: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in sorted(lost, key=lambda job: job.number):
            self._crashes[job.number] += len(lost) == 1
            if self._crashes[job.number] < MAX_CRASHES:
                self._suspects.append(job)
            else:
                yield job, Outcome("failed", None, f"its worker process died {MAX_CRASHES} times")

    def _discard_executor(self) -> None:
        if self._executor is not None:
            self._workers.stop(self._executor)
        self._executor = None


def _outcome(future: Future[dict[str, Any]]) -> Outcome:
    error = future.exception()
    if error is None:
        return Outcome("ok", future.result())
    if isinstance(error, ConfigError | TraceError):
        return Outcome("invalid", None, str(error))
    return Outcome("failed", None, f"{type(error).__name__}: {error}")
