"""DRAM request traces: CSV `op,addr,not_before`, plain or gzipped, read in parts of bounded size.

`op` is R or W and moves one burst, `addr` its byte address and `not_before` the earliest memory clock cycle at which it
may be offered, both decimal. The first line that is not empty may name the columns, and a byte-order mark may come
before it. `not_before` may decrease. Gzipped data are known by their first two bytes, or by the suffix `.gz`, so that a
trace may also come through a pipe. Whatever a trace holds, reading it takes bounded memory, and no more than MAX_BYTES
of text are read, after unpacking.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.inputs.source import Source
from dsasim.inputs.stream import open_stream
from dsasim.kernels import dram_csv as kernel

MAX_BYTES = 16 << 30
"""Of a trace's text: a thousand million requests of 17 characters; a file of a few megabytes may unpack to more."""
PART_BYTES = 4 << 20
PART_REQUESTS = 1 << 19
LONGEST_LINE = 4096
HEADER = b"op,addr,not_before"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"

WRONG = {
    kernel.BAD_OP: "op must be R or W",
    kernel.BAD_ADDRESS: "addr must be a whole number of at most 18 digits, in bytes",
    kernel.BAD_TIME: "not_before must be a whole number of memory clock cycles, at most 10^12",
    kernel.UNALIGNED: "addr is not a multiple of the burst of {access_bytes} bytes",
    kernel.COLUMNS: "a line is op,addr,not_before",
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
    """The requests of a trace, a file or a pipe, part by part.

    TraceError names file and line, or says that there are no requests, that it is no file or pipe, that a pipe brings
    nothing, or that there is too much.
    """
    source = Source(path, "a request trace", MAX_BYTES, TraceError)
    requests = 0
    try:
        with open_stream(source) as file:
            for part in _parts(source, file, access_bytes):
                requests += len(part.bursts)
                yield part
    except OSError as error:
        source.refuse(f"cannot be read: {(error.strerror or str(error)).lower()}")
    if requests == 0:
        source.refuse(f"no requests; a line is {HEADER.decode()}, such as R,64,0")


def _parts(source: Source, file: BinaryIO, access_bytes: int) -> Iterator[Requests]:
    rest, lines, begun = b"", 0, False
    size = max(os.fstat(file.fileno()).st_size, 1)
    for block in _blocks(source, file):
        text = rest + (block or b"\n")
        end = text.rfind(b"\n") + 1
        text, rest = text[:end], text[end:]
        if len(rest) > LONGEST_LINE:
            source.refuse(f"a line of more than {LONGEST_LINE} characters", lines + text.count(10) + 1)
        at = 0
        if not begun:
            at = _after_header(text)
            lines += text.count(10, 0, at)
            begun = at < len(text)
        while at < len(text):
            part, more, at, wrong = _parse(text, at, access_bytes)
            lines += more
            if wrong:
                source.refuse(_problem(text[at:], wrong, access_bytes), lines + 1)
            yield Requests(*part, share_read=min(file.tell() / size, 1.0) if file.seekable() else 0.0)


def _blocks(source: Source, file: BinaryIO) -> Iterator[bytes]:
    """The text block by block, and an empty one at its end."""
    gzipped = source.path.suffix == ".gz" or cast("Any", file).peek(2)[:2] == GZIP_MAGIC
    text = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if gzipped else file)
    line, num_bytes, block = 1, 0, b"\n"
    while block:
        block = _read(source, text, line)
        line += block.count(10)
        num_bytes += len(block)
        if num_bytes > MAX_BYTES:
            source.refuse(f"more than {MAX_BYTES:,} bytes of text: not {source.what}")
        yield block


def _read(source: Source, text: IO[bytes], line: int) -> bytes:
    """The next block; `line` is the first that is not read yet."""
    try:
        return text.read(PART_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if line == 1 and isinstance(error, gzip.BadGzipFile):
            raise
        source.refuse(f"cannot be read from this line or a later one on: {str(error).lower()}", line)


def _after_header(text: bytes) -> int:
    """Where the first line begins that is neither empty nor the names of the columns."""
    at = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    while at < len(text):
        end = text.index(b"\n", at) + 1
        line = text[at:end].strip()
        if line and line.replace(b" ", b"").lower() != HEADER:
            return at
        at = end
        if line:
            return at
    return at


def _parse(
    text: bytes, at: int, access_bytes: int
) -> tuple[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]], int, int, int]:
    capacity = min(PART_REQUESTS, (len(text) - at) // len("R,0,0\n") + 1)
    bursts, not_before, writes = (
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.uint8),
    )
    data = np.frombuffer(text, np.uint8)
    count, lines, at, wrong = kernel.parse_requests(data, at, access_bytes, bursts, writes, not_before)
    return (bursts[:count], writes[:count], not_before[:count]), lines, at, wrong


def _problem(text: bytes, wrong: int, access_bytes: int) -> str:
    """What is wrong with the line that begins here."""
    found = text.partition(b"\n")[0][:60].decode("utf-8", "replace").rstrip()
    return f"{WRONG[wrong].format(access_bytes=access_bytes)}, got {found!r}"
