"""What a report is made from: the JSON of a run, or the rows of a sweep, checked before anything is drawn."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from dsasim.api import SCHEMA_VERSION, Part
from dsasim.baseline.dense import Baseline
from dsasim.config.schema import MachineConfig
from dsasim.config.schemas import schema_of
from dsasim.errors import ConfigError
from dsasim.quality.measure import QualityFigures
from dsasim.report.figures import products_unit
from dsasim.sim.result import LayerReport, UnitReport
from dsasim.sweep.store import RESULTS

Result = dict[str, Any]


class _Trace(TypedDict):
    name: str
    sha256: str
    kind: str
    model: str


def _holding(*names: str) -> AfterValidator:
    """A mapping must have these keys."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"lacks {missing[0]}")
        return found

    return AfterValidator(check)


def _whole(unit: UnitReport) -> UnitReport:
    """Its books are divided by what there is of it."""
    if unit.instances < 1:
        raise ValueError("instances must be at least 1")
    return unit


_Costs = Annotated[dict[str, NonNegativeFloat], _holding("total")]
_Units = dict[str, Annotated[UnitReport, AfterValidator(_whole)]]
_Counters = Annotated[
    dict[str, NonNegativeInt],
    _holding("macs_sddmm", "macs_spmm", "dram_read_bytes", "dram_write_bytes"),
]


class _Quality(TypedDict):
    mask_recall_ratio: float
    captured_mass_ratio: float
    output_rel_l2: float
    oracle: QualityFigures
    random: QualityFigures
    sink_window: QualityFigures


class _Run(TypedDict):
    """The parts of a result that a report looks at; there are more."""

    dsasim_version: str
    arch: dict[str, Any]
    trace: _Trace
    scope: str
    cycles: PositiveInt
    time_ns: NonNegativeFloat
    predictor_free: bool
    units: _Units
    counters: _Counters
    layers: Annotated[list[LayerReport], Field(min_length=1)]
    energy_pj: _Costs
    area_mm2: _Costs
    quality: _Quality | None
    baseline: Baseline | None
    invariants: dict[str, bool]
    changes: NotRequired[list[str]]
    part: NotRequired[Part]


class _Row(TypedDict):
    """The parts of every row of a sweep."""

    point: int
    status: Literal["ok", "infeasible", "invalid", "failed"]
    axes: dict[str, Any]
    trace: _Trace
    reason: str | None
    sweep_sha256: str


class _Measured(_Row):
    """What a row of a point that ran has besides."""

    objectives: dict[str, float | None]
    senses: NotRequired[dict[str, Literal["min", "max"]]]
    strategy: NotRequired[str]
    evaluation: NotRequired[NonNegativeInt]
    arch: dict[str, Any]
    layers: list[LayerReport]
    predictor_free: bool


_RUN, _ROW, _MEASURED = TypeAdapter(_Run), TypeAdapter(_Row), TypeAdapter(_Measured)


def read_input(path: str) -> Result | list[Result]:
    """Return the result of a run, or the rows of a sweep (a folder or a .jsonl); ConfigError if it is neither."""
    source = Path(path)
    source = source / RESULTS if source.is_dir() else source
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: is not a result of dsasim: not text") from None
    if source.suffix == ".jsonl":
        return read_rows(text, str(source))
    return read_run(text, str(source))


def read_run(text: str, label: str) -> Result:
    """Return the result that `dsasim run --json` wrote; ConfigError naming what is wrong with it."""
    result = _parsed(text, f"{label}: is not the result of a run (dsasim run --json)")
    _check_version(result, label)
    complaint = "is not the result of a run (dsasim run --json)"
    _check(_RUN, result, label, complaint)
    _check_arch(result, label, complaint)
    if (array := products_unit(result)) not in result["units"]:
        raise ConfigError(f"{label}: {complaint}: units: value error, lacks {array}")
    return result


def read_rows(text: str, label: str) -> list[Result]:
    """Return all whole rows; ConfigError if there are none, or one is not a sweep's."""
    rows = list(_rows(text, label))
    if not rows:
        raise ConfigError(f"{label}: holds no points")
    if len({row["sweep_sha256"] for row in rows}) > 1:
        raise ConfigError(f"{label}: its rows are of several sweeps, which cannot be compared")
    if len({tuple(row["objectives"]) for row in rows if row.get("objectives")}) > 1:
        raise ConfigError(f"{label}: its rows differ in their objectives")
    if not any(row["status"] in ("ok", "infeasible") for row in rows):
        reasons = dict.fromkeys(str(row["reason"]) for row in rows)
        raise ConfigError(f"{label}: none of its {len(rows)} points ran; the first reason: {next(iter(reasons))}")
    return rows


def _rows(text: str, label: str) -> Iterator[Result]:
    *lines, torn = text.split("\n")  # a torn last line is that of a sweep under way
    del torn
    for number, line in enumerate(lines, 1):
        place = f"{label}:{number}"
        row = _parsed(line, f"{place}: is not a row of a sweep")
        _check_version(row, place)
        _check(_ROW, row, place, "is not a row of a sweep")
        if row.get("objectives") is not None or row["status"] == "ok":
            _check(_MEASURED, row, place, "is not a row of a sweep")
            _check_arch(row, place, "is not a row of a sweep")
        yield row


def _parsed(text: str, complaint: str) -> Result:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(complaint) from None
    if not isinstance(value, dict):
        raise ConfigError(complaint)
    return value


def _check_version(value: Result, label: str) -> None:
    version = value.get("schema_version")
    if version is not None and version != SCHEMA_VERSION:
        raise ConfigError(f"{label}: schema_version {version!r} is not one that this dsasim reads ({SCHEMA_VERSION})")


def _check_arch(value: Result, label: str, complaint: str) -> None:
    """The design, by the schema of its machine and parts."""
    _check(_adapter(schema_of(value["arch"])), value["arch"], label, complaint, "arch")


@cache
def _adapter(schema: type[MachineConfig]) -> TypeAdapter[MachineConfig]:
    return TypeAdapter(schema)


def _check(adapter: TypeAdapter[Any], value: Result, label: str, complaint: str, *within: str) -> None:
    """Name the first thing that is missing or of the wrong kind."""
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, (*within, *first["loc"])))
        raise ConfigError(f"{label}: {complaint}: {where}: {first['msg'].lower()}") from None
