"""A row's line proves itself: the digest of all that is before it stands at its end, so no changed byte goes unnoticed.

    {"point":3,"status":"ok", … ,"row_sha256":"…"}

The digest is that of the row's JSON without this last key. Whoever computes it anew can still write what he likes; what
it finds is an editor, a torn write, and a file that was cut.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

KEY = "row_sha256"
MAX_LINE_BYTES = 1 << 26
"""Of a row: that of 4,096 heads takes half a megabyte."""

_END = re.compile(rb',"row_sha256":"([0-9a-f]{64})"\}\n')
_END_BYTES = len(KEY) + 72
_POINT = re.compile(rb'\{"point":(0|[1-9][0-9]{0,8}),')


class RawLine(NamedTuple):
    """A line of a results file: its number from 1, its first and last byte's places, and its bytes.

    Of a longer one than MAX_LINE_BYTES only the beginning is held. `whole`: it has an end; the last line of a sweep
    that was killed, or is under way, may have none.
    """

    number: int
    begin: int
    end: int
    text: bytes
    whole: bool


def signed(row: Mapping[str, Any]) -> bytes:
    """A row as its line; a digest that it has already is replaced."""
    text = canonical({name: value for name, value in row.items() if name != KEY})
    return b'%s,"%s":"%s"}\n' % (text[:-1], KEY.encode(), hashlib.sha256(text).hexdigest().encode())


def canonical(value: Mapping[str, Any]) -> bytes:
    """The only JSON that is written of a value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(line: bytes) -> bytes | None:
    """The digest of a line that proves itself; None for any other."""
    end = _END.fullmatch(line[-_END_BYTES:])
    if end is None:
        return None
    found = hashlib.sha256(line[:-_END_BYTES])
    found.update(b"}")
    return found.digest() if found.hexdigest() == end[1].decode() else None


def point_of(line: bytes) -> int | None:
    """The number that a line begins with, which is that of its point."""
    match = _POINT.match(line)
    return None if match is None else int(match[1])


def read_lines(file: BinaryIO) -> Iterator[RawLine]:
    """The lines of a file that was just opened."""
    number, begin = 1, 0
    while text := file.readline(MAX_LINE_BYTES):
        end, rest = begin + len(text), text
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
            end += len(rest)
        yield RawLine(number, begin, end, text, whole=rest.endswith(b"\n"))
        number, begin = number + 1, end
