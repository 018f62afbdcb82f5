"""The JSON of a run and the rows of a sweep as types: every key that `RunResult.to_json` and `sweep.row` write."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    ValidationError,
)
from typing_extensions import TypedDict

from dsasim.api import SCHEMA_VERSION
from dsasim.baseline.dense import Baseline
from dsasim.config.resolved import arch_to_dict
from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.config.schemas import design_from
from dsasim.inputs.checked import first_problem
from dsasim.quality.measure import QualityFigures
from dsasim.sim.result import LayerReport, UnitReport


def _readable(version: int) -> int:
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {version} is not one that this dsasim reads ({SCHEMA_VERSION})")
    return version


def _design(document: Any) -> MachineConfig:
    """By the schema of its machine and parts. Numbers of a design are decimals, which strict JSON has none of."""
    try:
        return design_from(document) if isinstance(document, dict) else ArchConfig.model_validate(document)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None


def _holding(*names: str) -> AfterValidator:
    """A mapping must have these keys."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"lacks {missing[0]}")
        return found

    return AfterValidator(check)


def _whole(unit: UnitReport) -> UnitReport:
    """Its statistics are divided by its number of instances."""
    if unit.instances < 1:
        raise ValueError("instances must be at least 1")
    return unit


def _apart(axes: dict[str, Any]) -> dict[str, Any]:
    """No key lies within another, as `a.b` does in `a`."""
    for key in axes:
        if any(other.startswith(f"{key}.") for other in axes):
            raise ValueError(f"{key} and a part of it both have a value")
    return axes


def _usable(value: float) -> float:
    if abs(value) > MAX_REAL or 0 < abs(value) < 1 / MAX_REAL:
        raise ValueError(f"{value:.3g} is beyond what a run can have")
    return value


def _with_widths(baseline: Baseline) -> Baseline:
    """Ratios of widths are shown."""
    peak = baseline.peak
    if peak.array_bits < 1 or (peak.predictor_bits or 1) < 1 or (peak.predictor_macs and not peak.predictor_bits):
        raise ValueError("peak: widths must be at least 1")
    return baseline


MAX_REAL = 1e100
"""Sums, products and quotients of what is below this and above its inverse are numbers too."""

BoundedFloat = Annotated[float, AfterValidator(_usable)]
Axes = Annotated[dict[str, bool | int | BoundedFloat | str | None], AfterValidator(_apart)]
Version = Annotated[int, AfterValidator(_readable)]
DesignJson = Annotated[MachineConfig, PlainValidator(_design), PlainSerializer(arch_to_dict)]
Costs = Annotated[dict[str, Annotated[NonNegativeFloat, Field(allow_inf_nan=False)]], _holding("total")]
Units = dict[str, Annotated[UnitReport, AfterValidator(_whole)]]
Counters = Annotated[
    dict[str, NonNegativeInt],
    _holding("macs_sddmm", "macs_spmm", "dram_read_bytes", "dram_write_bytes"),
]
LayersJson = Annotated[list[Annotated[LayerReport, PlainSerializer(LayerReport.to_json)]], Field(min_length=1)]


class TraceJson(TypedDict):
    """Which trace was run."""

    name: str
    sha256: str
    kind: str
    model: str


class QualityJson(TypedDict):
    """Our figures, and those of other masks."""

    mask_recall_ratio: FiniteFloat
    captured_mass_ratio: FiniteFloat
    output_rel_l2: FiniteFloat
    density: FiniteFloat
    oracle: QualityFigures
    random: QualityFigures
    sink_window: QualityFigures


class PartJson(TypedDict):
    """What the layers and heads that were run were chosen from."""

    of_layers: int
    of_heads: int


class RunJson(TypedDict):
    """A result; sources are shown, and looked at no further."""

    schema_version: Version
    dsasim_version: str
    arch: DesignJson
    arch_sha256: str
    trace: TraceJson
    scope: str
    cycles: PositiveInt
    time_ns: NonNegativeFloat
    predictor_free: bool
    units: Units
    counters: Counters
    dram_channels: list[dict[str, int]]
    layers: LayersJson
    energy_pj: Costs
    area_mm2: Costs
    cost_sources: NotRequired[dict[str, str]]
    dram_sources: NotRequired[list[dict[str, Any]]]
    quality: QualityJson | None
    baseline: Annotated[Baseline, AfterValidator(_with_widths)] | None
    invariants: dict[str, bool]
    notes: NotRequired[list[str]]
    changes: NotRequired[list[str]]
    part: NotRequired[PartJson]


class _Row(TypedDict):
    """What every row of a sweep has."""

    point: NonNegativeInt
    axes: Axes
    schema_version: Version
    sweep_sha256: str
    strategy: NotRequired[str]
    evaluation: NotRequired[NonNegativeInt]
    senses: NotRequired[dict[str, Literal["min", "max"]]]
    trace: TraceJson
    reason: str | None


class RefusedRow(_Row):
    """A row of a point that was not run, or failed."""

    status: Literal["infeasible", "invalid", "failed"]


class _Name(TypedDict):
    name: str


class _HeadJson(TypedDict):
    head: int


class _LayerJson(TypedDict):
    layer: int
    heads: list[_HeadJson]


class SimulatedRow(_Row):
    """A row of a point that ran, as far as a page looks at all of them."""

    status: Literal["ok", "infeasible"]
    objectives: dict[str, BoundedFloat | None]
    arch: _Name
    layers: Annotated[list[_LayerJson], Field(min_length=1)]
    predictor_free: bool
    notes: NotRequired[list[str]]


class DesignOfRow(TypedDict):
    """What it shows besides of a point on the front."""

    arch: DesignJson
