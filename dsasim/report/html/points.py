"""The rows of a sweep as what its figures need: the axes that vary, the objectives, and the front on each trace."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import yaml

from dsasim.config.schemas import design_from
from dsasim.errors import ConfigError
from dsasim.report.html.label import Markup, lines
from dsasim.report.style import short_keys
from dsasim.sweep.metrics import Metric, find_metric
from dsasim.sweep.pareto import pareto_front

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AxisLabels:
    """Keys of a design that vary together, and the labels of their values in the order of the points."""

    keys: tuple[str, ...]
    short_keys: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """The keys, as they stand in a spec."""
        return ", ".join(self.keys)

    @property
    def title(self) -> Markup:
        """The keys, one a line; their last words hold the unit."""
        return lines(*self.keys)

    def label(self, row: Row) -> str:
        """Return the value that a point has."""
        return _label(row, self.keys)


@dataclass(frozen=True)
class PointGroup:
    """Points that can be compared: of one trace, and the same layers and heads of it."""

    name: str
    rows: Sequence[Row]
    metrics: Sequence[Metric]

    @cached_property
    def front(self) -> list[Row]:
        """The rows that no other beats; those that broke a constraint do not count."""
        points = {row["point"]: self.values(row) for row in self.rows if row["status"] == "ok"}
        by_point = {row["point"]: row for row in self.rows}
        return [by_point[number] for number in pareto_front(points, [metric.sense for metric in self.metrics])]

    @cached_property
    def texts(self) -> dict[int, str]:
        """What was written of a point for one figure, kept for the others."""
        return {}

    @cached_property
    def _labels(self) -> dict[AxisLabels, list[str]]:
        return {}

    def labels(self, axis: AxisLabels) -> list[str]:
        """Return the value of an axis that each row has; all objectives ask for it."""
        if axis not in self._labels:
            self._labels[axis] = [axis.label(row) for row in self.rows]
        return self._labels[axis]

    def values(self, row: Row) -> list[float]:
        """Return the objectives of a point."""
        return [row["objectives"][metric.name] for metric in self.metrics]


def groups(rows: Sequence[Row]) -> list[PointGroup]:
    """Return the points that ran, by what they ran on; ConfigError if an objective is not one that dsasim knows.

    Which way an objective was to go the rows say; those of an older sweep do not, and it is the usual way.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        objectives = row.get("objectives")
        if objectives and all(value is not None for value in objectives.values()):
            found.setdefault((row["trace"]["name"], row["selection"]), []).append(row)
    if not found:
        raise ConfigError("no point of the sweep has all its objectives")
    names = [trace for trace, _ in found]
    return [
        PointGroup(
            trace if names.count(trace) == 1 else f"{trace}, {selection}",
            members,
            [
                find_metric(name, members[0].get("senses", {}).get(name), design_from(members[0]["arch"]))
                for name in members[0]["objectives"]
            ],
        )
        for (trace, selection), members in found.items()
    ]


def axes_of(rows: Sequence[Row]) -> list[AxisLabels]:
    """Return the keys that have more than one value; those whose values go together are one axis."""
    keys = list(dict.fromkeys(key for row in rows for key in row["axes"]))
    partitions: dict[tuple[int, ...], list[str]] = {}
    for key in keys:
        seen: dict[str, int] = {}
        partition = tuple(seen.setdefault(_label(row, (key,)), len(seen)) for row in rows)
        if len(seen) > 1:
            partitions.setdefault(partition, []).append(key)
    varying = [key for together in partitions.values() for key in together]
    short = dict(zip(varying, short_keys(varying), strict=True))
    return [
        AxisLabels(
            keys=tuple(together),
            short_keys=tuple(short[key] for key in together),
            labels=tuple(dict.fromkeys(_label(row, together) for row in rows)),
        )
        for together in partitions.values()
    ]


def overrides_line(row: Row, axes: Sequence[AxisLabels]) -> str:
    """Return the values of the axes that vary, in one line."""
    return ", ".join(f"{' and '.join(axis.short_keys)} {axis.label(row)}" for axis in axes)


def overrides_yaml(row: Row) -> str:
    """Return what a point changes in the base design, as YAML."""
    nested: dict[str, Any] = {}
    for key, value in row["axes"].items():
        *sections, name = key.split(".")
        at = nested
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = value
    return "".join(_entry_yaml(json.dumps({name: value})) for name, value in nested.items()).rstrip("\n")


@lru_cache(4096)
def _entry_yaml(entry: str) -> str:
    """One entry of a mapping, given as JSON; points share them, and PyYAML takes half a millisecond for each."""
    return yaml.safe_dump(json.loads(entry), sort_keys=False, allow_unicode=True)


def _label(row: Row, keys: Sequence[str]) -> str:
    """Write the values of keys, a value that all have but once: 4096, or coupled, 16."""
    return ", ".join(dict.fromkeys(_text(row["axes"].get(key)) for key in keys))


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
