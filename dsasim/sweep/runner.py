"""A whole sweep: points from the strategy, rows from the workers, and the Pareto front at the end."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from platform import node

from dsasim.errors import ConfigError, DsasimError
from dsasim.inputs.strict_json import parse_json
from dsasim.sweep import strategy
from dsasim.sweep.pareto import pareto_front
from dsasim.sweep.pool import Crash, JobRunner, Workers
from dsasim.sweep.row import Outcome, RowFormat, RowLine, Simulation, run_to_line
from dsasim.sweep.space import DesignPoint, DesignSpace
from dsasim.sweep.spec import SEARCHES, SweepSpec
from dsasim.sweep.store import ResultStore, Row, Warn
from dsasim.sweep.worker import SweepJob, run_job

LOG = "run.log"
MAX_REPAIRS = 5
"""Times that rows which changed under the sweep are made anew before it gives up."""

Progress = Callable[[int, int], None]


@dataclass
class SweepResult:
    """What came of a sweep; the rows themselves are in the results file.

    `num_runs` counts the simulations of this call: not those found in the file, and equal designs once.
    """

    spec: SweepSpec
    space: DesignSpace
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    num_runs: int = 0
    seconds: float = 0.0

    def with_status(self, status: str) -> list[int]:
        """Return the numbers of the points of this status (ok, infeasible, invalid, failed), ascending."""
        return sorted(number for number, outcome in self.outcomes.items() if outcome.status == status)

    def front(self, trace: int) -> list[int]:
        """Return the points on one trace that no other on it beats; those that broke a constraint do not count."""
        points = {
            number: outcome.objectives
            for number, outcome in self.outcomes.items()
            if outcome.status == "ok" and outcome.objectives is not None and number % len(self.spec.traces) == trace
        }
        return pareto_front(points, [metric.sense for metric in self.spec.objectives])


def run_sweep(
    spec: SweepSpec,
    folder: Path,
    workers: Workers,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    warn: Warn = lambda _: None,
    simulation: Simulation = run_job,
) -> SweepResult:
    """Run a sweep into `folder`; the same spec ends with the same bytes for any workers, resumed or not.

    Raises ConfigError if no point can be run or the folder holds another sweep's results, DsasimError if the disk is
    full or the folder is gone. Whatever ends it, the rows so far are kept, and `resume` goes on from them. A row that
    is found in the file and is not what the sweep wrote, or would have, is reported to `warn` and made anew.
    """
    space = DesignSpace(spec)
    result = SweepResult(spec, space)
    began = time.monotonic()
    store = ResultStore(folder, spec.sha256, resume=resume, warn=warn)
    _log(folder, f"{spec.name} on {node()}, {workers.num_workers} workers, {len(store)} rows found")
    try:
        row_format = RowFormat.of(spec)
        with JobRunner(workers, partial(run_to_line, simulation, row_format)) as runner:
            batches = _Batches(result, row_format, store, runner, progress)
            search = strategy.start(spec, space)
            numbers = next(search, None)
            while numbers is not None:
                batches.evaluate(numbers)
                numbers = _next(search, result.outcomes, numbers)
            batches.finish()
    finally:
        store.close()
        result.seconds = time.monotonic() - began
        _log(folder, f"{len(store)} rows after {result.num_runs} runs in {result.seconds:.1f} s")
    return result


def _next(search: strategy.Search, outcomes: Mapping[int, Outcome], numbers: Sequence[int]) -> list[int] | None:
    """Tell the strategy what came of its points and get the next ones, None at its end."""
    found = {
        number: objectives
        for number in numbers
        if outcomes[number].status == "ok" and (objectives := outcomes[number].objectives) is not None
    }
    try:
        return search.send(found)
    except StopIteration:
        return None


class _Batches:
    """Makes rows of point numbers: from the file, from an equal point's row, or by a run."""

    def __init__(
        self,
        result: SweepResult,
        row_format: RowFormat,
        store: ResultStore,
        runner: JobRunner,
        progress: Progress | None,
    ) -> None:
        self._result = result
        self._space = result.space
        self._spec = result.spec
        self._format = row_format
        self._store = store
        self._runner = runner
        self._progress = progress
        self._requested: dict[int, int] = {}
        self._ran: dict[str, int] = {}
        self._ended = 0

    def evaluate(self, numbers: Sequence[int]) -> None:
        """See to it that each of these points has a row."""
        groups: dict[str, list[int]] = {}
        refused = []
        for number in numbers:
            self._requested.setdefault(number, len(self._requested))
            point = self._space.point(number)
            if self._is_found(point):
                self._ran.setdefault(point.key, number)
            elif point.status == "ready":
                groups.setdefault(point.key, []).append(number)
            else:
                refused.append(point)
        if not groups and not self._ran and self._spec.strategy.method not in SEARCHES:
            reasons = sorted({point.reason for point in refused})[:10]
            raise ConfigError("no point can be run", *(line for reason in reasons for line in reason.split("\n")))
        for point in refused:
            self._add(self._format.without_result(self._head(point), point.status, point.reason))
        for key in [key for key in groups if key in self._ran]:
            line = self._store.line(self._ran[key])
            if line is not None:
                self._copy(line, groups.pop(key))
        self._run(groups)

    def finish(self) -> None:
        """Put the rows in order; those that were changed or cut off since they were written are made anew before."""
        for _ in range(MAX_REPAIRS):
            lost = self._store.finish(self._requested)
            if not lost:
                return
            self.evaluate(lost)
        raise DsasimError("rows change as fast as they are written: does something else write to --out?")

    def _is_found(self, point: DesignPoint) -> bool:
        """Whether the file has the row of a point; what it has in its place is dropped."""
        line = self._store.line(point.number)
        if line is None:
            return False
        outcome = self._format.found(self._head(point), line)
        if outcome is None:
            self._store.forget(point.number, "is not that of this point")
            return False
        self._result.outcomes[point.number] = outcome
        return True

    def _run(self, groups: Mapping[str, list[int]]) -> None:
        total = max(self._ended + len(groups), self._spec.strategy.num_points or 0)
        key_of = {members[0]: key for key, members in groups.items()}
        for job, ended in self._runner.run(self._jobs(key_of), len(key_of)):
            key = key_of[job.number]
            line = self._format.without_result(job.head, "failed", ended.reason) if isinstance(ended, Crash) else ended
            self._add(line)
            self._copy(line.text, groups[key][1:])
            self._ran[key] = job.number
            self._result.num_runs += 1
            self._ended += 1
            if self._progress is not None:
                self._progress(self._ended, total)

    def _jobs(self, numbers: Mapping[int, str]) -> Iterator[SweepJob]:
        quality, baselines = self._spec.needs("quality"), self._spec.needs("baseline")
        for number in numbers:
            point = self._space.point(number)
            assert point.arch is not None
            trace = point.trace
            yield SweepJob(self._head(point), point.arch, trace.path, trace.layers, trace.heads, quality, baselines)

    def _head(self, point: DesignPoint) -> Row:
        return self._format.head(point.number, self._requested[point.number], point.axes, point.trace)

    def _copy(self, line: bytes, numbers: Sequence[int]) -> None:
        """Give points the row of an equal one."""
        row = parse_json(line.decode()) if numbers else {}
        for number in numbers:
            head = self._head(self._space.point(number))
            self._add(self._format.line(row | {name: head[name] for name in ("point", "axes", "evaluation")}))

    def _add(self, line: RowLine) -> None:
        self._store.append(line.number, line.text)
        self._result.outcomes[line.number] = line.outcome


def _log(folder: Path, text: str) -> None:
    """Note what must not be in the results, times and hosts, if it can be: a full disk is the results' to report.

    A pipe without a reader is not waited for.
    """
    line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n"
    with suppress(OSError):
        number = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
        with os.fdopen(number, "a", encoding="utf-8") as file:
            file.write(line)
