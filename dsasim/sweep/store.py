"""The rows of a sweep in one JSONL file: appended as points end, at last put in the points' order.

Nothing in the file is trusted for being there: every row proves itself (`sweep.proof`) when the file is opened, and is
compared with what was written whenever it is read again. A process that is killed in mid-write leaves a torn last line,
which is cut off when the file is next opened.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from io import FileIO
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from dsasim.errors import ConfigError, DsasimError
from dsasim.inputs.source import Source
from dsasim.sweep.proof import digest_of, point_of, read_lines

RESULTS = "results.jsonl"
ORDERED = ".results.part"
MAX_FILE_BYTES = 1 << 40
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Row = dict[str, Any]
Warn = Callable[[str], None]
"""Called with a line for each row that is not what it should be, and is made anew."""


class _RowExtent(NamedTuple):
    offset: int
    length: int
    digest: bytes


def results_source(path: Path) -> Source:
    """The results file of a sweep, for those who only read it."""
    return Source(path, "the rows of a sweep", MAX_FILE_BYTES)


class ResultStore:
    """An open results file; rows are found by their point's number, and are not held in memory."""

    def __init__(self, folder: Path, sweep_sha256: str, *, resume: bool, warn: Warn = lambda _: None) -> None:
        """Open or make the file; ConfigError if another process writes it, or it holds rows: any, or those of another
        sweep if `resume`.
        """
        self._folder, self._path, self._warn = folder, folder / RESULTS, warn
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not resume and self._path.exists() and self._path.stat().st_size:
                raise ConfigError(f"{self._path} has results already: go on with --resume, or choose another --out")
            self._file = _locked(self._path)
            self._extents: dict[int, _RowExtent] = {}
            self._end = 0
            self._begin(sweep_sha256)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links is a RuntimeError, a NUL a ValueError
            raise ConfigError(f"--out {folder}: cannot be written: {_reason(error)}") from None

    def __contains__(self, number: int) -> bool:
        return number in self._extents

    def __len__(self) -> int:
        return len(self._extents)

    def line(self, number: int) -> bytes | None:
        """The row of a point as it was written; None if there is none, or it is no longer what it was."""
        place = self._extents.get(number)
        if place is None:
            return None
        line = os.pread(self._file.fileno(), place.length, place.offset)
        if digest_of(line) != place.digest:
            self.forget(number, "has changed since it was written")
            return None
        return line

    def forget(self, number: int, why: str) -> None:
        """Drop the row of a point, and say so."""
        del self._extents[number]
        self._warn(f"{self._path}: the row of point {number} {why}: it is made anew")

    def append(self, number: int, line: bytes) -> None:
        """Add a row, as one line that proves itself; if the disk is full, what was there stays whole.

        DsasimError says that, or that the folder is gone.
        """
        digest = digest_of(line)
        assert digest is not None
        if not os.fstat(self._file.fileno()).st_nlink:
            self._check_folder()
        try:
            self._write(line)
        except OSError as error:
            self._file.truncate(self._end)
            self._give_up(error, f"{self._path}", f"its {len(self)} rows are whole")
        self._extents[number] = _RowExtent(self._end, len(line), digest)
        self._end += len(line)

    def finish(self, numbers: Iterable[int]) -> list[int]:
        """Put the rows of these points in order, by way of another file, and close: nothing else is left in the file.

        Points whose rows are not there, or no longer what they were, are returned; then nothing was put in order.
        DsasimError if there is no space, or no folder any more.
        """
        wanted = sorted(numbers)
        self._check_folder()
        part = self._path.with_name(ORDERED)
        lost = []
        try:
            part.unlink(missing_ok=True)  # what a killed sweep left
            with part.open("wb") as file:
                for number in wanted:
                    line = self.line(number)
                    lost += [number] if line is None else []
                    file.write(line or b"")
            if lost:
                return lost
            for number in self._extents.keys() - set(wanted):
                self._warn(f"{self._path}: the row of point {number} is of no point of this sweep: it is left out")
            self._take_over(part)
        except OSError as error:
            self._give_up(error, f"{part}", f"all rows are in {self._path}, not yet in order")
        finally:
            part.unlink(missing_ok=True)
        self.close()
        return []

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self, sweep_sha256: str) -> None:
        try:
            self._find_rows(sweep_sha256)
            self._file.truncate(self._end)
        except BaseException:
            self.close()
            raise

    def _find_rows(self, sweep_sha256: str) -> None:
        """Learn where each point's row is, and where the last whole line ends."""
        name = f'"sweep_sha256":"{sweep_sha256}"'.encode()
        wrong: list[str] = []
        ours = False
        with results_source(self._path).open() as file:
            for line in takewhile(attrgetter("whole"), read_lines(file)):
                self._end = line.end
                number, digest = point_of(line.text), digest_of(line.text)
                ours |= name in line.text
                if digest is not None and name not in line.text:
                    self._refuse_sweep()
                if digest is None or number is None:
                    which = "its point" if number is None else f"point {number}"
                    wrong.append(f"{line.number}: is not as a sweep wrote it: {which} is made anew")
                elif number in self._extents:
                    wrong.append(f"{line.number}: point {number} has a row already: this one is left out")
                else:
                    self._extents[number] = _RowExtent(line.begin, len(line.text), digest)
        if wrong and not ours:
            self._refuse_sweep()
        for what in wrong:
            self._warn(f"{self._path}:{what}")

    def _refuse_sweep(self) -> NoReturn:
        raise ConfigError(f"{self._path} is of another sweep, or of another dsasim: choose another --out")

    def _write(self, line: bytes) -> None:
        """At our own end, wherever others have put the file's: what they cut off cannot move what we know."""
        written = 0
        while written < len(line):
            written += os.pwrite(self._file.fileno(), line[written:], self._end + written)

    def _take_over(self, part: Path) -> None:
        """Name the ordered file as the results, if no other sweep has begun one of that name where ours was deleted."""
        if os.fstat(self._file.fileno()).st_nlink:
            part.replace(self._path)
            return
        with _locked(self._path):
            part.replace(self._path)

    def _check_folder(self) -> None:
        if not self._folder.is_dir():
            raise DsasimError(f"{self._folder}: was deleted while the sweep ran, and its rows with it")

    def _give_up(self, error: OSError, what: str, state: str) -> NoReturn:
        advice = "make room and go on with --resume" if error.errno in NO_SPACE else "go on with --resume"
        raise DsasimError(f"{what}: {_reason(error)}; {state}: {advice}") from None


def _locked(path: Path) -> FileIO:
    """Open a file to read and write, ours alone until it is closed: a second writer would move the ends of our rows."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    file = FileIO(number, "r+")
    if not stat.S_ISREG(os.fstat(number).st_mode):
        file.close()
        raise ConfigError(f"{path}: is a pipe or a device, not the rows of a sweep")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"{path}: another sweep is writing it: wait for it, or choose another --out") from None
    except OSError:
        pass  # a file system without locks
    return file


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
