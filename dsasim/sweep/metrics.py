"""Numbers of a result that a sweep can optimise or limit: short names for common ones, and dotted paths."""

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from dsasim.config.keys import all_keys
from dsasim.config.loader import list_archs, load_arch
from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.config.schemas import design_from
from dsasim.cost.model import estimate_cost
from dsasim.errors import ConfigError
from dsasim.sim.engine import design_of, events_of, products_unit

Sense = Literal["min", "max"]
Result = Mapping[str, Any]
ResultPath = tuple[str, ...]

ARRAY = "*"
"""Stands in a path for the unit that does attention's products, whatever its machine calls it."""


@dataclass(frozen=True)
class Metric:
    """A number of a result: the product of what stands at `paths` (of one path in all but `edp`)."""

    name: str
    sense: Sense
    paths: tuple[ResultPath, ...]

    def value(self, result: Result) -> Any:
        """Return the number, of a result as `RunResult.to_json` writes it; None where the design has none there."""
        first, *others = (_at(result, path) for path in self.paths)
        return math.prod(others, start=first) if others else first

    def needs(self, part: str) -> bool:
        """Say whether the number comes from this part of the result, such as `baseline`."""
        return any(path[0] == part for path in self.paths)


def _at(result: Result, path: ResultPath) -> Any:
    value: Any = result
    for name in path:
        at = products_unit(design_of(design_from(result["arch"]))) if name == ARRAY else name
        value = None if value is None else value[at]
    return value


_NAMED = (
    Metric("cycles", "min", (("cycles",),)),
    Metric("time_ns", "min", (("time_ns",),)),
    Metric("energy_pj", "min", (("energy_pj", "total"),)),
    Metric("area_mm2", "min", (("area_mm2", "total"),)),
    Metric("edp", "min", (("energy_pj", "total"), ("time_ns",))),  # energy-delay product in pJ·ns
    Metric("captured_mass_ratio", "max", (("quality", "captured_mass_ratio"),)),
    Metric("mask_recall_ratio", "max", (("quality", "mask_recall_ratio"),)),
    Metric("output_rel_l2", "min", (("quality", "output_rel_l2"),)),
    Metric("speedup_vs_dense", "max", (("baseline", "speedup_vs_dense"),)),
    Metric("energy_vs_dense_ratio", "max", (("baseline", "energy_vs_dense_ratio"),)),
    Metric("utilisation_ratio", "max", (("units", ARRAY, "utilisation_ratio"),)),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _NAMED}

DRAM_COUNTERS = (
    ("dram_read_bytes", "dram_write_bytes", "dram_read_bursts", "dram_write_bursts", "dram_activates")
    + ("dram_precharges", "dram_refreshes", "dram_row_hits", "dram_row_misses", "dram_row_conflicts")
    + ("dram_open_edges", "dram_forwarded_reads", "dram_merged_writes")
)  # fmt: skip
"""Counters of the memory, as a run has them (a test compares the two)."""


@cache
def _usual_counters() -> tuple[str, ...]:
    """Events that units and buffers of the usual design declare."""
    return events_of(design_of(load_arch(list_archs()[0].path)))


def find_metric(name: str, sense: Sense | None = None, arch: MachineConfig | None = None) -> Metric:
    """Return the metric of a short name (case does not matter: EDP) or of `counters.NAME`, else raise ConfigError.

    A counter is minimised; `sense` overrides what is usual. Counters are those of a design, or of the usual one.
    """
    found = METRICS.get(name.lower())
    section, _, counter = name.partition(".")
    known = (*(_usual_counters() if arch is None else events_of(design_of(arch))), *DRAM_COUNTERS)
    if found is None and section == "counters" and counter in known:
        found = Metric(name, "min", (("counters", counter),))
    if found is None:
        names = [*METRICS, *(f"counters.{counter}" for counter in known)]
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(METRICS)} and counters.NAME"
        raise ConfigError(f"no metric {name}; {hint}")
    return Metric(found.name, sense or found.sense, found.paths)


_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONSTRAINT = re.compile(r"\s*([a-zA-Z_][\w.]*)\s*(<=|>=|<|>)\s*([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*")


@dataclass(frozen=True)
class Constraint:
    """A limit such as `area_mm2 < 5` on a metric, or `pe_array.lanes <= 8` on a number of the design."""

    text: str
    metric: Metric
    symbol: str
    limit: float

    @property
    def on_design(self) -> bool:
        """Whether the design alone decides, before anything is run."""
        return all(path[0] in ("arch", "area_mm2") for path in self.metric.paths)

    def broken(self, result: Result) -> str:
        """Return what is wrong with a result in words, or nothing if the constraint holds."""
        value = self.metric.value(result)
        if value is not None and _OPERATORS[self.symbol](value, self.limit):
            return ""
        return f"constraint {self.text}: it is {value if value is None else f'{value:.6g}'}"


def parse_constraint(
    text: str, arch: MachineConfig | None = None, schemas: Sequence[type[MachineConfig]] = (ArchConfig,)
) -> Constraint:
    """Read `METRIC < NUMBER` (or <=, >, >=), on a design's counters or on a key of any schema; raises ConfigError."""
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        raise ConfigError(f'a constraint is METRIC < NUMBER, also <=, > or >=, such as "area_mm2 < 5", not "{text}"')
    name, symbol, limit = match.groups()
    path = tuple(name.split("."))
    key = next((all_keys(schema)[path] for schema in schemas if path in all_keys(schema)), None)
    if key is not None and key.holds in (int, float, Decimal):
        metric = Metric(name, "min", (("arch", *name.split(".")),))
    else:
        metric = find_metric(name, arch=arch)
    return Constraint(text.strip(), metric, symbol, float(limit))


def first_broken(constraints: Iterable[Constraint], result: Result) -> str:
    """Return what is wrong with a result by the first constraint it breaks, or nothing."""
    return next((words for constraint in constraints if (words := constraint.broken(result))), "")


def design_result(arch: Any, values: Mapping[str, Any]) -> Result:
    """Return what of a result is known before a run: the design, resolved to `values`, and its area."""
    return {"arch": values, "area_mm2": estimate_cost(arch).area_mm2}
