"""A whole sweep: points from the strategy, rows from the workers, and the Pareto front at the end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from platform import node
from typing import Any

import dsasim
from dsasim.errors import ConfigError
from dsasim.sweep import strategy
from dsasim.sweep.metrics import first_broken
from dsasim.sweep.pareto import pareto_front
from dsasim.sweep.pool import JobRunner, Outcome, Task, Workers
from dsasim.sweep.space import Point, Space
from dsasim.sweep.spec import SEARCHES, SweepSpec
from dsasim.sweep.store import ResultStore, Row
from dsasim.sweep.worker import Job, run_job

LOG = "run.log"
SCHEMA_VERSION = 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """What is remembered of a row: `objectives` in the spec's order, of a point that ran."""

    status: str
    objectives: tuple[float, ...] | None
    reason: str


@dataclass
class SweepResult:
    """What came of a sweep; the rows themselves are in the results file.

    `num_runs` counts the simulations of this call: not those found in the file, and equal designs once.
    """

    spec: SweepSpec
    space: Space
    seen: dict[int, Seen] = field(default_factory=dict)
    num_runs: int = 0
    seconds: float = 0.0

    def with_status(self, status: str) -> list[int]:
        """Return the numbers of the points of this status (ok, infeasible, invalid, failed), ascending."""
        return sorted(number for number, seen in self.seen.items() if seen.status == status)

    def front(self, trace: int) -> list[int]:
        """Return the points on one trace that no other on it beats; those that broke a constraint do not count."""
        points = {
            number: seen.objectives
            for number, seen in self.seen.items()
            if seen.status == "ok" and seen.objectives is not None and number % len(self.spec.traces) == trace
        }
        return pareto_front(points, [metric.sense for metric in self.spec.objectives])


def run_sweep(
    spec: SweepSpec,
    folder: Path,
    workers: Workers,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    task: Task = run_job,
) -> SweepResult:
    """Run a sweep into `folder`; the same spec ends with the same bytes for any workers, resumed or not.

    Raises ConfigError if no point can be run or the folder holds another sweep's results, DsasimError if the disk is
    full. Whatever ends it, the rows so far are kept, and `resume` goes on from them.
    """
    space = Space(spec)
    result = SweepResult(spec, space)
    began = time.monotonic()
    store = ResultStore(folder, spec.sha256, resume=resume)
    _log(folder, f"{spec.name} on {node()}, {workers.num_workers} workers, {len(store)} rows found")
    try:
        with JobRunner(workers, task) as runner:
            batches = _Batches(result, store, runner, progress)
            search = strategy.start(spec, space)
            numbers = next(search, None)
            while numbers is not None:
                batches.evaluate(numbers)
                numbers = _next(search, result.seen, numbers)
        store.finish()
    finally:
        store.close()
        result.seconds = time.monotonic() - began
        _log(folder, f"{len(store)} rows after {result.num_runs} runs in {result.seconds:.1f} s")
    return result


def _next(search: strategy.Search, seen: Mapping[int, Seen], numbers: Sequence[int]) -> list[int] | None:
    """Tell the strategy what came of its points and get the next ones, None at its end."""
    found = {
        number: objectives
        for number in numbers
        if seen[number].status == "ok" and (objectives := seen[number].objectives) is not None
    }
    try:
        return search.send(found)
    except StopIteration:
        return None


class _Batches:
    """Makes rows of point numbers: from the file, from an equal point's row, or by a run."""

    def __init__(self, result: SweepResult, store: ResultStore, runner: JobRunner, progress: Progress | None) -> None:
        self._result = result
        self._space = result.space
        self._spec = result.spec
        self._store = store
        self._runner = runner
        self._progress = progress
        self._ran: dict[str, int] = {}
        self._ended = 0

    def evaluate(self, numbers: Sequence[int]) -> None:
        """See to it that each of these points has a row."""
        groups: dict[str, list[int]] = {}
        refused = []
        for number in numbers:
            point = self._space.point(number)
            if number in self._store:
                self._remember(self._store.row(number))
                self._ran.setdefault(point.key, number)
            elif point.status == "ready":
                groups.setdefault(point.key, []).append(number)
            else:
                refused.append(point)
        if not groups and not self._ran and self._spec.strategy.method not in SEARCHES:
            raise ConfigError("\n".join(("no point can be run", *sorted({point.reason for point in refused})[:10])))
        for point in refused:
            self._add(self._refused_row(point))
        for key in [key for key in groups if key in self._ran]:
            self._copy(self._ran[key], groups.pop(key))
        self._run(groups)

    def _run(self, groups: Mapping[str, list[int]]) -> None:
        total = max(self._ended + len(groups), self._spec.strategy.num_points or 0)
        key_of = {members[0]: key for key, members in groups.items()}
        for job, outcome in self._runner.run(self._jobs(key_of)):
            key = key_of[job.number]
            self._add(self._row(self._space.point(job.number), outcome))
            self._copy(job.number, groups[key][1:])
            self._ran[key] = job.number
            self._result.num_runs += 1
            self._ended += 1
            if self._progress is not None:
                self._progress(self._ended, total)

    def _jobs(self, numbers: Mapping[int, str]) -> Iterator[Job]:
        quality, baselines = self._spec.needs("quality"), self._spec.needs("baseline")
        for number in numbers:
            point = self._space.point(number)
            assert point.arch is not None
            trace = point.trace
            yield Job(number, point.arch, trace.path, trace.layers, trace.heads, quality, baselines)

    def _row(self, point: Point, outcome: Outcome) -> Row:
        if outcome.result is None:
            return self._head(point, outcome.status) | {"trace": _trace_facts(point), "reason": outcome.reason}
        reason = first_broken(self._spec.constraints, outcome.result)
        head = self._head(point, "infeasible" if reason else "ok")
        objectives = {metric.name: metric.value(outcome.result) for metric in self._spec.objectives}
        return head | {"reason": reason or None, "objectives": objectives} | outcome.result

    def _refused_row(self, point: Point) -> Row:
        return self._head(point, point.status) | {"trace": _trace_facts(point), "reason": point.reason}

    def _head(self, point: Point, status: str) -> Row:
        return {
            "point": point.number,
            "status": status,
            "axes": dict(point.axes),
            "schema_version": SCHEMA_VERSION,
            "dsasim_version": dsasim.__version__,
            "sweep_sha256": self._spec.sha256,
        }

    def _copy(self, source: int, numbers: Sequence[int]) -> None:
        """Give points the row of an equal one."""
        for number in numbers:
            self._add(self._store.row(source) | {"point": number, "axes": dict(self._space.point(number).axes)})

    def _add(self, row: Row) -> None:
        self._store.append(row)
        self._remember(row)

    def _remember(self, row: Row) -> None:
        objectives = row.get("objectives")
        values = None if objectives is None else tuple(objectives[metric.name] for metric in self._spec.objectives)
        self._result.seen[row["point"]] = Seen(row["status"], values, row.get("reason") or "")


def _trace_facts(point: Point) -> dict[str, Any]:
    return {name: getattr(point.trace.meta, name) for name in ("name", "sha256", "kind", "model")}


def _log(folder: Path, text: str) -> None:
    """Note what must not be in the results, times and hosts, if it can be: a full disk is the results' to report."""
    with suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
