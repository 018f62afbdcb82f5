"""The rows of a sweep as a page needs them: axes and objectives of all, a design only of those that it shows.

Of the 9 kB of a row about 1 kB is held, and what rows have in common once: 100,000 points take 100 MB.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from dsasim.config.resolved import arch_to_dict
from dsasim.inputs.checked import checked_json
from dsasim.inputs.source import Source
from dsasim.report.html.schema import DesignOfRow, RefusedRow, SimulatedRow
from dsasim.sweep.load import FINISH, proven_lines, read_again, text_of
from dsasim.sweep.proof import RawLine
from dsasim.sweep.store import Warn

_REFUSED, _SIMULATED, _DESIGN = TypeAdapter(RefusedRow), TypeAdapter(SimulatedRow), TypeAdapter(DesignOfRow)
_RAN = b',"objectives":'
HELD = (
    *("point", "status", "axes", "strategy", "evaluation", "senses", "trace", "reason"),
    *("objectives", "predictor_free", "notes"),
)
SHARED = {"strategy", "senses", "trace", "reason", "notes", "design", "selection"}


class StoredRow(dict[str, Any]):
    """A row of which HELD is held, and what it ran (`design`, `selection`); `arch` is read again when asked for."""

    __slots__ = ("_line", "_source")

    def __init__(self, values: Mapping[str, Any], source: Source, line: RawLine) -> None:
        super().__init__(values)
        self._source, self._line = source, line._replace(text=b"")

    def __missing__(self, key: str) -> Any:
        """The design of a point that ran; the source's error if the file has changed."""
        if key != "arch":
            raise KeyError(key)
        line = read_again(self._source, self._line)
        found = checked_json(_DESIGN, text_of(line, self._source), self._source, line.number)
        return arch_to_dict(found["arch"])


def read_rows(source: Source, warn: Warn = lambda _: None) -> list[StoredRow]:
    """Return all whole rows; ConfigError if there are none, or one is not a sweep's. `warn` hears what is missing.

    That is a last row that breaks off, and rows before others that the strategy asked for later: of evaluations 0, 1
    and 4 two are missing. That rows at the end of a file are gone as a whole cannot be seen.
    """
    rows = list(_rows(source, warn))
    if not rows:
        source.refuse("holds no points")
    if not any(row["status"] in ("ok", "infeasible") for row in rows):
        reasons = dict.fromkeys(str(row["reason"]) for row in rows)
        source.refuse(f"none of its {len(rows)} points ran; the first reason: {next(iter(reasons))}")
    if missing := max(row.get("evaluation", 0) for row in rows) + 1 - len(rows):
        warn(f"{source.path}: has {len(rows):,} rows, of at least {len(rows) + missing:,}: {FINISH}")
    return rows


def _rows(source: Source, warn: Warn) -> Iterator[StoredRow]:
    """Each row, checked whole and against those before it, of which only what they have in common is known here."""
    shared: dict[str, Any] = {}
    sweep, objectives = "", tuple[str, ...]()
    for line in proven_lines(source, warn):
        row = _checked(source, line)
        sweep = sweep or row["sweep_sha256"]
        objectives = objectives or tuple(row.get("objectives", ()))
        if row["sweep_sha256"] != sweep:
            source.refuse("its rows are of several sweeps, which cannot be compared", line.number)
        if objectives != tuple(row.get("objectives", objectives)):
            source.refuse("its rows differ in their objectives", line.number)
        yield StoredRow(_held(row, shared), source, line)


def _checked(source: Source, line: RawLine) -> Mapping[str, Any]:
    schema: TypeAdapter[Any] = _SIMULATED if _RAN in line.text else _REFUSED
    found: Mapping[str, Any] = checked_json(schema, text_of(line, source), source, line.number)
    return found


def _held(row: Mapping[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """The part of a row that is held; `shared` has what those before it had in common."""
    values = {name: row[name] for name in HELD if name in row}
    if "arch" in row:
        values |= {"design": row["arch"]["name"], "selection": _selection(row["layers"])}
    for name in SHARED & values.keys():
        values[name] = shared.setdefault(json.dumps(values[name]), values[name])
    return values


def _selection(layers: Sequence[Mapping[str, Any]]) -> str:
    """Which layers and heads were run: `layers 13, 24, heads 0-8`, or layer by layer where their heads differ."""
    chosen = {layer["layer"]: _ranges([head["head"] for head in layer["heads"]]) for layer in layers}
    if len(set(chosen.values())) == 1:
        return f"layers {', '.join(map(str, chosen))}, heads {next(iter(chosen.values()))}"
    return "; ".join(f"layer {number}, heads {heads}" for number, heads in chosen.items())


def _ranges(numbers: Sequence[int]) -> str:
    whole = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}-{numbers[-1]}" if whole else ", ".join(map(str, numbers))
