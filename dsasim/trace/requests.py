"""DRAM request traces: CSV `op,addr,not_before`, plain or gzipped, read in parts of bounded size.

`op` is R or W and moves one burst, `addr` its byte address and `not_before` the earliest memory clock cycle at which it
may be offered, both decimal. The first line may name the columns. `not_before` may decrease.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.kernels import dram_csv as kernel

PART_BYTES = 4 << 20
PART_REQUESTS = 1 << 19
LONGEST_LINE = 4096
HEADER = b"op,addr,not_before"

WRONG = {
    kernel.BAD_OP: "op must be R or W",
    kernel.BAD_ADDRESS: "addr must be a whole number of at most 18 digits, in bytes",
    kernel.BAD_TIME: "not_before must be a whole number of memory clock cycles, at most 10^12",
    kernel.UNALIGNED: "addr is not a multiple of the burst of {access_bytes} bytes",
    kernel.EXTRA: "a line is op,addr,not_before",
}


@dataclass(frozen=True)
class Requests:
    """Consecutive requests: `bursts` int64 [n] (address / access bytes), `writes` uint8 [n], `not_before` int64 [n]."""

    bursts: NDArray[np.int64]
    writes: NDArray[np.uint8]
    not_before: NDArray[np.int64]
    share_read: float
    """Of the file's bytes, up to the end of this part."""


def read_requests(path: Path, access_bytes: int) -> Iterator[Requests]:
    """The requests of a trace, part by part; TraceError names file and line."""
    try:
        size = max(path.stat().st_size, 1)
        with path.open("rb") as file:
            yield from _parts(path, file, size, access_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(
            f"{path}: cannot be read: {(getattr(error, 'strerror', None) or str(error)).lower()}"
        ) from None


def _parts(path: Path, file: IO[bytes], size: int, access_bytes: int) -> Iterator[Requests]:
    source = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
    rest, lines = b"", 0
    while True:
        block = source.read(PART_BYTES)
        text = rest + block
        if not block:
            text += b"\n"
        end = text.rfind(b"\n") + 1
        text, rest = text[:end], text[end:]
        if len(rest) > LONGEST_LINE:
            raise TraceError(f"{path}:{lines + text.count(10) + 1}: a line of more than {LONGEST_LINE} characters")
        at = _after_header(text) if lines == 0 else 0
        lines += int(at > 0)
        while at < len(text):
            part, more, at, wrong = _parse(text, at, access_bytes)
            lines += more
            if wrong:
                raise TraceError(_message(path, lines + 1, text[at:], wrong, access_bytes))
            yield Requests(*part, share_read=min(file.tell() / size, 1.0) if file.seekable() else 0.0)
        if not block:
            return


def _after_header(text: bytes) -> int:
    first = text.partition(b"\n")[0]
    return len(first) + 1 if first.strip().replace(b" ", b"").lower() == HEADER else 0


def _parse(
    text: bytes, at: int, access_bytes: int
) -> tuple[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]], int, int, int]:
    room = min(PART_REQUESTS, (len(text) - at) // len("R,0,0\n") + 1)
    bursts, not_before, writes = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
    data = np.frombuffer(text, np.uint8)
    count, lines, at, wrong = kernel.parse_requests(data, at, access_bytes, bursts, writes, not_before)
    return (bursts[:count], writes[:count], not_before[:count]), lines, at, wrong


def _message(path: Path, line: int, text: bytes, wrong: int, access_bytes: int) -> str:
    found = text.partition(b"\n")[0][:60].decode("utf-8", "replace").rstrip()
    return f"{path}:{line}: {WRONG[wrong].format(access_bytes=access_bytes)}, got {found!r}"
