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
from dsasim.sweep.worker import Job

SCHEMA_VERSION = 1
Simulation = Callable[[Job], dict[str, Any]]
"""Returns the result of a job: `sweep.worker.run_job`, or what a test puts in its place."""


class _Remembered(TypedDict):
    """The parts of a row that a sweep looks at again."""

    status: Literal["ok", "infeasible", "invalid", "failed"]
    reason: str | None
    objectives: NotRequired[dict[str, StrictInt | StrictFloat | None]]


_REMEMBERED = TypeAdapter(_Remembered)


@dataclass(frozen=True)
class Seen:
    """What is remembered of a row: `objectives` in the spec's order, of a point that ran."""

    status: str
    objectives: tuple[float, ...] | None
    reason: str


@dataclass(frozen=True)
class Line:
    """A row as it is written, and what is remembered of it."""

    number: int
    seen: Seen
    text: bytes


@dataclass(frozen=True)
class Form:
    """What all rows of a sweep share, and what they are made by."""

    sweep_sha256: str
    strategy: str
    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, spec: SweepSpec) -> "Form":
        """Return the form of a spec's rows."""
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

    def found(self, head: Mapping[str, Any], text: bytes) -> Seen | None:
        """What is remembered of a line that was found, if it is the row of the point of `head`: it begins as that does.

        None if it is another's: of other axes, another trace, or asked for at another time.
        """
        try:
            row = _REMEMBERED.validate_python(parse_json(text.decode()))
        except (ValueError, ValidationError):  # UnicodeDecodeError is a ValueError
            return None
        begin = canonical(dict(head) | {"status": row["status"]})[:-1]
        names = {metric.name for metric in self.objectives}
        ran = "objectives" in row or row["status"] == "ok"
        if not text.startswith(begin + b",") or (ran and row.get("objectives", {}).keys() != names):
            return None
        return self._seen(row)

    def line(self, row: Mapping[str, Any]) -> Line:
        """Write a row out."""
        return Line(row["point"], self._seen(row), signed(row))

    def _seen(self, row: Mapping[str, Any]) -> Seen:
        found = row.get("objectives")
        values = None if found is None else tuple(found[metric.name] for metric in self.objectives)
        return Seen(row["status"], values, row.get("reason") or "")

    def without_result(self, head: Mapping[str, Any], status: str, reason: str) -> Line:
        """Return the row of a point that was not run, or failed."""
        return self.line(dict(head) | {"status": status, "reason": reason})

    def with_result(self, head: Mapping[str, Any], result: Mapping[str, Any]) -> Line:
        """Return the row of a point that ran."""
        reason = first_broken(self.constraints, result) or None
        objectives = {metric.name: metric.value(result) for metric in self.objectives}
        status = "infeasible" if reason else "ok"
        return self.line(dict(head) | {"status": status, "reason": reason, "objectives": objectives} | dict(result))


def run_to_line(simulation: Simulation, form: Form, job: Job) -> Line:
    """Run a job and return its row; what is raised becomes one too: invalid if the design cannot run the trace."""
    try:
        return form.with_result(job.head, simulation(job))
    except (ConfigError, TraceError) as error:
        return form.without_result(job.head, "invalid", str(error))
    except Exception as error:  # noqa: BLE001 (a bug that one point meets is that point's)
        return form.without_result(job.head, "failed", printable_lines(f"{type(error).__name__}: {error}"))
