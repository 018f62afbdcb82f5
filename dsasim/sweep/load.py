"""The rows of a sweep for whoever reads them: each one proven, or the line that is not is named."""

from collections.abc import Iterator
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from dsasim.inputs.source import Source
from dsasim.inputs.strict_json import parse_json
from dsasim.sweep.proof import MAX_LINE_BYTES, RawLine, digest_of, read_lines
from dsasim.sweep.store import RESULTS, Row, results_source


class FoundRow(NamedTuple):
    """A proven row, and the line it was on."""

    line: RawLine
    row: dict[str, Any]


def load_sweep(folder: str | Path) -> list[Row]:
    """Return all rows of a sweep's folder, as far as they are there, without a torn last line.

    ConfigError if there are none, or where another line is not a row as a sweep wrote it.
    """
    return [found.row for found in proven_rows(results_source(Path(folder) / RESULTS))]


def proven_rows(source: Source) -> Iterator[FoundRow]:
    """The rows of a results file one by one; the source's error where one is not as it was written, or is there twice.

    A torn last line is that of a sweep under way, and left out.
    """
    points: set[int] = set()
    for line in proven_lines(source):
        row = _parsed(line, source)
        if row["point"] in points:
            source.refuse(f"point {row['point']} has a row already", line.number)
        points.add(row["point"])
        yield FoundRow(line, row)


def row_at(source: Source, found: RawLine) -> Row:
    """A row that was found before, read again."""
    with source.open() as file:
        file.seek(found.begin)
        text = file.read(found.end - found.begin)
    line = found._replace(text=text)
    if digest_of(text) is None:
        source.refuse("has changed while it was read", found.number)
    return _parsed(line, source)


def proven_lines(source: Source) -> Iterator[RawLine]:
    """The lines of a results file whose digests hold, without a torn last one; the source's error at any other."""
    try:
        with source.open() as file:
            for line in takewhile(attrgetter("whole"), read_lines(file)):
                if digest_of(line.text) is None:
                    _refuse(line, source)
                yield line
    except OSError as error:
        source.refuse(f"cannot be read: {(error.strerror or str(error)).lower()}")


def _refuse(line: RawLine, source: Source) -> None:
    if line.end - line.begin > MAX_LINE_BYTES:
        source.refuse(f"is not a row of a sweep: longer than {MAX_LINE_BYTES:,} bytes", line.number)
    if b'"row_sha256":' in line.text:
        source.refuse("is not a row as a sweep wrote it: its digest is that of another text", line.number)
    source.refuse("is not a row of a sweep: it has no digest, as rows of dsasim before 0.2 have none", line.number)


def _parsed(line: RawLine, source: Source) -> Row:
    """The row of a line; whoever can make a digest can write anything before it."""
    try:
        row = parse_json(line.text.decode())
    except ValueError as error:  # UnicodeDecodeError is one
        source.refuse(f"is not a row of a sweep: {error}", line.number)
    if not isinstance(row, dict) or type(row.get("point")) is not int or row["point"] < 0:
        source.refuse("is not a row of a sweep: it has no point", line.number)
    return row
