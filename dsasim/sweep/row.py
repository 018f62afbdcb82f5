"""A row of the results: made where the point is run, so that the main process has but to write it down."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dsasim
from dsasim.errors import ConfigError, TraceError
from dsasim.inputs.printable import printable_lines
from dsasim.sweep.metrics import Constraint, Metric, first_broken
from dsasim.sweep.spec import SweepSpec, TraceChoice
from dsasim.sweep.store import Row
from dsasim.sweep.worker import Job

SCHEMA_VERSION = 1
Simulation = Callable[[Job], dict[str, Any]]
"""Returns the result of a job: `sweep.worker.run_job`, or what a test puts in its place."""


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

    def seen(self, row: Row) -> Seen:
        """Return what is remembered of a row."""
        found = row.get("objectives")
        values = None if found is None else tuple(found[metric.name] for metric in self.objectives)
        return Seen(row["status"], values, row.get("reason") or "")

    def line(self, row: Row) -> Line:
        """Write a row out."""
        text = json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return Line(row["point"], self.seen(row), f"{text}\n".encode())

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
