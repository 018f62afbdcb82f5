"""A row of the results: made where the point is run, so that the main process has but to write it down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NotRequired

from pydantic import StrictFloat, StrictInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

import dsasim
from dsasim.errors import ConfigError, TraceError
from dsasim.inputs.printable import printable_lines
from dsasim.inputs.strict_json import parse_json
from dsasim.sweep.metrics import Constraint, Metric, first_broken
from dsasim.sweep.proof import canonical, signed
from dsasim.sweep.spec import SweepSpec, TraceChoice
from dsasim.sweep.store import Row
from dsasim.sweep.worker import SweepJob

SCHEMA_VERSION = 1
Simulation = Callable[[SweepJob], dict[str, Any]]
"""Returns the result of a job: `sweep.worker.run_job`, or what a test puts in its place."""


class _OutcomeJson(TypedDict):
    """The parts of a row that a sweep uses again."""

    status: Literal["ok", "infeasible", "invalid", "failed"]
    reason: str | None
    objectives: NotRequired[dict[str, StrictInt | StrictFloat | None]]


_OUTCOME_JSON = TypeAdapter(_OutcomeJson)


@dataclass(frozen=True)
class Outcome:
    """How a point ended, as far as the sweep uses it again: `objectives` in the spec's order, if it ran."""

    status: str
    objectives: tuple[float, ...] | None
    reason: str


@dataclass(frozen=True)
class RowLine:
    """A row as it is written, and how its point ended."""

    number: int
    outcome: Outcome
    text: bytes


@dataclass(frozen=True)
class RowFormat:
    """What all rows of a sweep share, and what they are made by."""

    sweep_sha256: str
    strategy: str
    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, spec: SweepSpec) -> "RowFormat":
        """Return the format of a spec's rows."""
        return cls(spec.sha256, spec.strategy.method, spec.objectives, spec.constraints)

    def head(self, number: int, evaluation: int, axes: Mapping[str, Any], trace: TraceChoice) -> Row:
        """Return the part of a row that is known before its point is run.

        `evaluation`: how many other points the strategy asked for before, whoever ran them and when. It, the strategy
        and the senses of the objectives are there for reports.
        """
        return {
            "point": number,
            "status": "ready",
            "axes": dict(axes),
            "schema_version": SCHEMA_VERSION,
            "dsasim_version": dsasim.__version__,
            "sweep_sha256": self.sweep_sha256,
            "strategy": self.strategy,
            "evaluation": evaluation,
            "senses": {metric.name: metric.sense for metric in self.objectives},
            "trace": {name: getattr(trace.meta, name) for name in ("name", "sha256", "kind", "model")},
        }

    def found(self, head: Mapping[str, Any], text: bytes) -> Outcome | None:
        """The outcome in a line that was found, if it is the row of the point of `head`: it begins as that does.

        None if it is another's: of other axes, another trace, or asked for at another time.
        """
        try:
            row = _OUTCOME_JSON.validate_python(parse_json(text.decode()))
        except (ValueError, ValidationError):  # UnicodeDecodeError is a ValueError
            return None
        begin = canonical(dict(head) | {"status": row["status"]})[:-1]
        names = {metric.name for metric in self.objectives}
        ran = "objectives" in row or row["status"] == "ok"
        if not text.startswith(begin + b",") or (ran and row.get("objectives", {}).keys() != names):
            return None
        return self._outcome(row)

    def line(self, row: Mapping[str, Any]) -> RowLine:
        """Write a row out."""
        return RowLine(row["point"], self._outcome(row), signed(row))

    def _outcome(self, row: Mapping[str, Any]) -> Outcome:
        found = row.get("objectives")
        values = None if found is None else tuple(found[metric.name] for metric in self.objectives)
        return Outcome(row["status"], values, row.get("reason") or "")

    def without_result(self, head: Mapping[str, Any], status: str, reason: str) -> RowLine:
        """Return the row of a point that was not run, or failed."""
        return self.line(dict(head) | {"status": status, "reason": reason})

    def with_result(self, head: Mapping[str, Any], result: Mapping[str, Any]) -> RowLine:
        """Return the row of a point that ran."""
        reason = first_broken(self.constraints, result) or None
        objectives = {metric.name: metric.value(result) for metric in self.objectives}
        status = "infeasible" if reason else "ok"
        return self.line(dict(head) | {"status": status, "reason": reason, "objectives": objectives} | dict(result))


def run_to_line(simulation: Simulation, row_format: RowFormat, job: SweepJob) -> RowLine:
    """Run a job and return its row; what is raised becomes one too: invalid if the design cannot run the trace."""
    try:
        return row_format.with_result(job.head, simulation(job))
    except (ConfigError, TraceError) as error:
        return row_format.without_result(job.head, "invalid", str(error))
    except Exception as error:  # noqa: BLE001 (a bug that one point meets is that point's)
        return row_format.without_result(job.head, "failed", printable_lines(f"{type(error).__name__}: {error}"))
