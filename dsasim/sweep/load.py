"""The rows of a sweep for whoever reads them: each one proven, or the line that is not is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from dsasim.inputs.source import Source
from dsasim.sweep.proof import KEY, MAX_LINE_BYTES, RawLine, digest_of, point_of, read_lines
from dsasim.sweep.store import RESULTS, Row, Warn, results_source

FINISH = "the sweep is under way, or is to be finished with --resume"


def load_sweep(folder: str | Path) -> list[Row]:
    """Return all rows of a sweep's folder, as far as they are there, without a torn last line.

    ConfigError if there are none, or where another line is not a row as it was written.
    """
    source = results_source(Path(folder) / RESULTS)
    return [source.parsed(text_of(line, source), line.number) for line in proven_lines(source)]


def read_again(source: Source, line: RawLine) -> RawLine:
    """A line that was found before, whose text was not kept; the source's error if it is no longer there."""
    with source.open() as file:
        file.seek(line.begin)
        text = file.read(line.end - line.begin)
    if digest_of(text) is None:
        source.refuse("has changed while it was read", line.number)
    return line._replace(text=text)


def proven_lines(source: Source, warn: Warn = lambda _: None) -> Iterator[RawLine]:
    """The lines of a results file, all proven and of one point each; the source's error at any other.

    A last one that breaks off is left out with a line to `warn`.
    """
    points: set[int] = set()
    try:
        with source.open() as file:
            for line in read_lines(file):
                if not line.whole:
                    warn(f"{source.path}:{line.number}: breaks off: {FINISH}")
                    return
                point = point_of(line.text)
                if point is None or digest_of(line.text) is None:
                    _refuse(line, source)
                if point in points:
                    source.refuse(f"point {point} has a row already", line.number)
                points.add(point)
                yield line
    except OSError as error:
        source.refuse(f"cannot be read: {(error.strerror or str(error)).lower()}")


def _refuse(line: RawLine, source: Source) -> NoReturn:
    if line.end - line.begin > MAX_LINE_BYTES:
        source.refuse(f"is not a row of a sweep: longer than {MAX_LINE_BYTES:,} bytes", line.number)
    if point_of(line.text) is None:
        source.refuse("is not a row of a sweep: it begins with no point's number", line.number)
    if KEY.encode() in line.text:
        source.refuse("is not a row as a sweep wrote it: its digest is that of another text", line.number)
    if not line.text.endswith(b"}\n"):
        source.refuse("is not a row as a sweep wrote it: its end is missing", line.number)
    source.refuse("is not a row of a sweep: it has no digest, as rows of earlier versions have none", line.number)


def text_of(line: RawLine, source: Source) -> str:
    """The text of a line; the source's error if it is none."""
    try:
        return line.text.decode()
    except UnicodeDecodeError:
        source.refuse("is not a row of a sweep: it is not UTF-8 text", line.number)
