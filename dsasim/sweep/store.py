"""The rows of a sweep in one JSONL file: appended as points end, at last put in the points' order.

A process that is killed in mid-write leaves a torn last line, which is cut off when the file is next opened. A row
is one line with one write, so all lines before it are whole.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from dsasim.errors import ConfigError, DsasimError

RESULTS = "results.jsonl"
ORDERED = ".results.part"
Row = dict[str, Any]


class ResultStore:
    """An open results file; rows are found by their point's number, and are not held in memory."""

    def __init__(self, folder: Path, sweep_sha256: str, *, resume: bool) -> None:
        """Open or make the file; ConfigError if another process writes it, or it holds rows: any, or those of another
        sweep if `resume`.
        """
        self._path = folder / RESULTS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not resume and self._path.exists() and self._path.stat().st_size:
                raise ConfigError(f"{self._path} has results already: go on with --resume, or choose another --out")
            self._file = _locked(self._path)
            self._places, self._end = self._found(sweep_sha256)
            self._file.truncate(self._end)
        except OSError as error:
            raise ConfigError(f"--out {folder}: cannot be written: {(error.strerror or str(error)).lower()}") from None

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def __len__(self) -> int:
        return len(self._places)

    def row(self, number: int) -> Row:
        """Return the row of a point."""
        return json.loads(self._line(number))  # type: ignore[no-any-return]

    def append(self, number: int, line: bytes) -> None:
        """Add a row, as one line; if the disk is full, what was there stays whole and DsasimError says so."""
        try:
            self._write(line)
        except OSError as error:
            self._file.truncate(self._end)
            raise DsasimError(
                f"{self._path}: {(error.strerror or str(error)).lower()}; its {len(self)} rows are whole: "
                "make room and go on with --resume"
            ) from None
        self._places[number] = (self._end, len(line))
        self._end += len(line)

    def finish(self) -> None:
        """Put the rows in the order of their points, by way of another file; DsasimError if there is no room."""
        part = self._path.with_name(ORDERED)
        try:
            with part.open("wb") as file:
                for number in sorted(self._places):
                    file.write(self._line(number))
            part.replace(self._path)
        except OSError as error:
            raise DsasimError(
                f"{part}: {(error.strerror or str(error)).lower()}; all rows are in {self._path}, not yet in order: "
                "make room and go on with --resume"
            ) from None
        finally:
            part.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _found(self, sweep_sha256: str) -> tuple[dict[int, tuple[int, int]], int]:
        try:
            return _find_rows(self._path, sweep_sha256)
        except ConfigError:
            self.close()
            raise

    def _write(self, line: bytes) -> None:
        written = 0
        while written < len(line):
            written += self._file.write(line[written:])

    def _line(self, number: int) -> bytes:
        offset, length = self._places[number]
        return os.pread(self._file.fileno(), length, offset)


def _locked(path: Path) -> FileIO:
    """Open a file to append, ours alone until it is closed: a second writer would move the ends of our rows."""
    file = FileIO(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"{path}: another sweep is writing it: wait for it, or choose another --out") from None
    except OSError:
        pass  # a file system without locks
    return file


def _find_rows(path: Path, sweep_sha256: str) -> tuple[dict[int, tuple[int, int]], int]:
    """Return where each point's row is, as offset and length, and where the last whole row ends."""
    places: dict[int, tuple[int, int]] = {}
    end = 0
    if not path.exists():
        return places, end
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            row = _parsed(line)
            if row is None and not file.peek(1):
                break  # torn in mid-write
            if row is None:
                raise ConfigError(f"{path}:{number}: is not a row of a sweep")
            if row["sweep_sha256"] != sweep_sha256:
                raise ConfigError(f"{path} is of another sweep, or of another dsasim: choose another --out")
            places.setdefault(row["point"], (end, len(line)))
            end += len(line)
    return places, end


def load_sweep(folder: str | Path) -> list[Row]:
    """Return all rows of a sweep's folder, as far as they are there, without a torn last line.

    ConfigError if there are none, or where another line is not a row.
    """
    return list(_rows(Path(folder) / RESULTS))


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                row = _parsed(line)
                if row is not None:
                    yield row
                elif file.peek(1):
                    raise ConfigError(f"{path}:{number}: is not a row of a sweep")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _parsed(line: bytes) -> Row | None:
    """Return the row of a line, or None if it is not a whole one."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"point", "sweep_sha256"} <= row.keys() else None
