"""What a report is made from: the JSON of a run, or the rows of a sweep, checked and converted before it is drawn."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dsasim.inputs.checked import checked_json
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source
from dsasim.report.figures import products_unit
from dsasim.report.html.schema import MAX_REAL, RunJson
from dsasim.report.html.sweep_rows import StoredRow, read_rows
from dsasim.sweep.store import RESULTS, Warn, results_source

Result = dict[str, Any]

MAX_RESULT_BYTES = 1 << 28
"""Of a run's result: that of 10,000 heads takes two megabytes."""

MAX_INTEGER = 1 << 53
"""Whole numbers up to here are exact as doubles, and sums of many of them are NumPy's integers."""

_RUN = TypeAdapter(RunJson)


def read_input(path: str, warn: Warn = lambda _: None) -> Result | list[StoredRow]:
    """Return the result of a run, or the rows of a sweep (a folder or a .jsonl); ConfigError if it is neither.

    `warn` is called with a line on rows that are missing.
    """
    source = Path(path)
    with suppress(OSError, ValueError):  # opening it says why
        source = source / RESULTS if source.is_dir() else source
    if source.suffix == ".jsonl":
        return read_rows(results_source(source), warn)
    return read_run(Source(source, "the result of a run (dsasim run --json)", MAX_RESULT_BYTES))


def read_run(source: Source) -> Result:
    """Return the result that `dsasim run --json` wrote, every value of its kind; ConfigError names what is wrong."""
    found: Result = _RUN.dump_python(checked_json(_RUN, source.text(), source), mode="json")
    if (array := products_unit(found)) not in found["units"]:
        source.refuse(f"not {source.what}: units: lacks {array}")
    for key, value in _numbers(found):
        if abs(value) > (MAX_INTEGER if isinstance(value, int) else MAX_REAL) or 0 < abs(value) < 1 / MAX_REAL:
            source.refuse(f"not {source.what}: {key}: {value:.3g} is beyond what a run can have")
    for unit, stats in found["units"].items():
        counted, run = stats["busy_cycles"] + sum(stats["stall_cycles"].values()), stats["instances"] * found["cycles"]
        if counted != run:
            source.refuse(f"not {source.what}: units.{unit}: {counted:,} busy and stall cycles in a run of {run:,}")
    return found


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document, and the keys that lead to it."""
    if isinstance(value, dict | list):
        for name, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(child, f"{key}.{printable(name)}" if key else printable(name))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value
