"""The axes of a sweep: which keys take which values, one at a time or several in step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from dsasim.config.check import value_problem
from dsasim.config.keys import all_keys, nearest
from dsasim.config.schema import MachineConfig
from dsasim.config.schemas import NAMING_KEYS, schema_of
from dsasim.config.strict_yaml import UNREADABLE, Document, KeyPath, Problem

MAX_VALUES = 10_000
"""More values than this on one axis are a slip of the pen."""

RANGE_KEYS = ("from", "to", "step", "scale")

Schemas: TypeAlias = Sequence[type[MachineConfig]]
"""Of the designs of a sweep: the base's first; a key of any of them may be an axis."""


@dataclass(frozen=True)
class Axis:
    """Keys that vary together: `values[i]` holds one value for each of `keys`; `places` is where they were written."""

    keys: tuple[KeyPath, ...]
    values: tuple[tuple[Any, ...], ...]
    lines: tuple[KeyPath, ...]
    """Paths of the keys in the spec, for messages."""


def read_axes(document: Document, schemas: Schemas) -> tuple[Axis, ...]:
    """Read the section `axes` of a spec, whose keys are of any of the schemas; `document.problems` gets what is wrong.

    A key takes a list, one value, or a range: {from: 4096, to: 65536, scale: log2} doubles, {from: 1, to: 7, step: 2}
    adds, both up to and including `to`. A name that is no key of a design holds a group of such keys that take
    their first values together, their second values together, and so on.
    """
    section = document.values["axes"]
    if not isinstance(section, dict) or not section:
        _complain(document, ("axes",), "must be a mapping of dotted keys to lists of values, ranges or groups")
        return ()
    axes = [axis for name in section if (axis := _axis(document, ("axes", name), schemas)) is not None]
    _refuse_twice(document, axes)
    return tuple(axes)


def axis_schemas(base: Mapping[str, Any], section: Any) -> Schemas:
    """The schema of a base design's values, and those of designs that differ from it in one name that an axis gives."""
    found = [schema_of(base)]
    if not isinstance(section, dict):
        return found
    for key in NAMING_KEYS:
        for name in _names(section, ".".join(key)):
            values = dict(base)
            if len(key) > 1:
                given = values.get(key[0])
                values[key[0]] = {**(given if isinstance(given, dict) else {}), key[1]: name}
            else:
                values[key[0]] = name
            found.append(schema_of(values))
    return tuple(dict.fromkeys(found))


def _names(section: Mapping[str, Any], key: str) -> Iterator[Any]:
    """What an axis of this key, alone or in a group, is written to take."""
    groups = [value for value in section.values() if isinstance(value, dict)]
    for written in (axes[key] for axes in (section, *groups) if key in axes):
        yield from written if isinstance(written, list) else [written]


def _schema_with(key: KeyPath, schemas: Schemas) -> type[MachineConfig] | None:
    return next((schema for schema in schemas if key in all_keys(schema)), None)


def _axis(document: Document, path: KeyPath, schemas: Schemas) -> Axis | None:
    value, key = document.value(path), tuple(path[-1].split("."))
    schema = _schema_with(key, schemas)
    known = None if schema is None else all_keys(schema)[key]
    if not isinstance(value, dict) or {"from", "to"} & value.keys() or (known is not None and not known.section):
        values = _values(document, path, schemas)
        return None if values is None else Axis((key,), tuple((value,) for value in values), (path,))
    columns = {name: _values(document, (*path, name), schemas) for name in value}
    lengths = {len(column) for column in columns.values() if column is not None}
    if None in columns.values() or not columns:
        if not columns:
            _complain(document, path, "is an empty group")
        return None
    if len(lengths) > 1:
        counts = ", ".join(f"{name} {len(column or ())}" for name, column in columns.items())
        _complain(document, path, f"keys of a group take equally many values, here {counts}")
        return None
    keys = tuple(tuple(name.split(".")) for name in columns)
    rows = tuple(zip(*(column or () for column in columns.values()), strict=True))
    return Axis(keys, rows, tuple((*path, name) for name in columns))


def _values(document: Document, path: KeyPath, schemas: Schemas) -> tuple[Any, ...] | None:
    """Return the values of one key, or None where anything is wrong."""
    key = tuple(path[-1].split("."))
    schema = _schema_with(key, schemas)
    if schema is None:
        _complain(document, path, f"no such key of a design{_nearest(key, schemas[0])}")
        return None
    written = document.value(path)
    values = _range(document, path, written) if isinstance(written, dict) else written
    if values is None and isinstance(written, dict):
        return None
    values = values if isinstance(values, list) else [values]
    if not values:
        _complain(document, path, "has no values")
    problems = [words for value in values if value is not UNREADABLE and (words := value_problem(key, value, schema))]
    for words in problems:
        _complain(document, path, words)
    return None if problems or not values or UNREADABLE in values else tuple(values)


def _nearest(key: KeyPath, schema: type[MachineConfig]) -> str:
    """Hint at the key that was meant; a section that is wrong itself is named before what is in it."""
    for depth in range(1, len(key)):
        if key[:depth] not in all_keys(schema):
            return nearest(key[:depth], schema)
    return nearest(key, schema)


def _range(document: Document, path: KeyPath, written: Mapping[str, Any]) -> list[Any] | None:
    """List the values of a range: {from: 1, to: 8, scale: log2} is 1, 2, 4, 8."""
    if unknown := [name for name in written if name not in RANGE_KEYS]:
        _complain(document, (*path, unknown[0]), f"unknown; a range has {', '.join(RANGE_KEYS)}")
        return None
    scale, low, high = written.get("scale", "linear"), written.get("from"), written.get("to")
    step = written.get("step", 1)
    problem = _range_problem(scale, low, high, step, "step" in written)
    values = [] if problem else _take(_walk(scale, low, high, step))
    if len(values) > MAX_VALUES:
        problem = f"has more than {MAX_VALUES:,} values"
    if problem:
        _complain(document, path, problem)
        return None
    return values


def _range_problem(scale: Any, low: Any, high: Any, step: Any, stepped: bool) -> str:
    if scale not in ("linear", "log2"):
        return "scale is linear or log2"
    if not all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in (low, high, step)):
        return "a range needs the numbers from and to, such as {from: 1, to: 8, scale: log2}"
    if low > high:
        return f"the range runs backwards, from {low} to {high}"
    if scale == "log2" and (stepped or low <= 0):
        return "a log2 range doubles: it has no step and begins above 0"
    if scale == "linear" and not stepped and any(value != int(value) for value in (low, high)):
        return f"a range of fractions needs its step, such as {{from: {low}, to: {high}, step: {high - low}}}"
    return "" if step > 0 else "step must be above 0"


def _walk(scale: str, low: Any, high: Any, step: Any) -> Iterator[Any]:
    value = low
    while value <= high:
        yield value
        value = value * 2 if scale == "log2" else value + step


def _take(values: Iterator[Any]) -> list[Any]:
    return [value for value, _ in zip(values, range(MAX_VALUES + 1), strict=False)]


def _refuse_twice(document: Document, axes: list[Axis]) -> None:
    seen: set[KeyPath] = set()
    for axis in axes:
        for key, line in zip(axis.keys, axis.lines, strict=True):
            if key in seen:
                _complain(document, line, "this key is in another axis too")
            seen.add(key)


def _complain(document: Document, path: KeyPath, text: str) -> None:
    document.problems.append(Problem(document.place(path), path, text))
