"""Lines of a DRAM request trace, `op,addr,not_before`, from bytes to numbers."""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

ByteArray = NDArray[np.uint8]
Ints = NDArray[np.int64]

FINE, BAD_OP, BAD_ADDRESS, BAD_TIME, UNALIGNED, COLUMNS = 0, 1, 2, 3, 4, 5
"""What is wrong with a line."""
MAX_DIGITS = 18
"""Of a number, so that it fits an int64."""
MAX_TIME = 10**12
"""Cycles, some minutes of memory time: far from where cycles or the sum of latencies would leave an int64."""
NEWLINE, RETURN, COMMA, ZERO, NINE, READ, WRITE = (ord(character) for character in "\n\r,09RW")


@njit()
def _number(text: ByteArray, at: int) -> tuple[int, int]:
    """The decimal number at `at` and where it ends; -1 if there is none or it is too long."""
    value, start = 0, at
    while ZERO <= text[at] <= NINE:
        value = 10 * value + int(text[at]) - ZERO
        at += 1
        if at - start > MAX_DIGITS:
            return -1, at
    return (value if at > start else -1), at


@njit()
def _ends(text: ByteArray, at: int) -> bool:
    """Whether a line ends here."""
    return bool(text[at] == NEWLINE or (text[at] == RETURN and text[at + 1] == NEWLINE))


@njit()
def parse_requests(  # noqa: PLR0911
    text: ByteArray, at: int, access_bytes: int, bursts: Ints, writes: ByteArray, not_before: Ints
) -> tuple[int, int, int, int]:
    """Parse whole lines of `text` from byte `at` on, until it ends or the arrays are full; empty lines count as lines.

    `text` ends with a newline. `bursts` receives addresses / access bytes. Returns (requests, lines, next byte, what is
    wrong with the line that begins there).
    """
    count = lines = 0
    while at < len(text) and count < len(bursts):
        line = at
        if _ends(text, at):
            at += 1 if text[at] == NEWLINE else 2
            lines += 1
            continue
        if text[at] not in (READ, WRITE) or (text[at + 1] != COMMA and not _ends(text, at + 1)):
            return count, lines, line, BAD_OP
        if text[at + 1] != COMMA:
            return count, lines, line, COLUMNS
        address, at = _number(text, line + 2)
        if address < 0 or (text[at] != COMMA and not _ends(text, at)):
            return count, lines, line, BAD_ADDRESS
        if text[at] != COMMA:
            return count, lines, line, COLUMNS
        if address % access_bytes:
            return count, lines, line, UNALIGNED
        time, at = _number(text, at + 1)
        if time < 0 or time > MAX_TIME:
            return count, lines, line, BAD_TIME
        if text[at] == RETURN:
            at += 1
        if text[at] != NEWLINE:
            return count, lines, line, COLUMNS if text[at] == COMMA else BAD_TIME
        bursts[count], writes[count], not_before[count] = address // access_bytes, text[line] == WRITE, time
        count += 1
        lines += 1
        at += 1
    return count, lines, at, FINE
